"""The one way to make an Engine: an artefact only loads where its settings are the same as where it was compiled."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import wasmtime

import swiftd

SETTINGS = "cranelift speed, no threads, 512 KiB stack"
"""Names what `make_engine` sets: part of the cache's key, to be changed with it."""

REPORT = 2
"""Counts the changes in what the compile child says of a component, which the cache keeps with the artefact."""


def make_engine() -> wasmtime.Engine:
    """An engine with no epochs and no fuel: a guest that runs too long is killed with its process."""
    config = wasmtime.Config()
    config.cranelift_opt_level = "speed"
    config.wasm_threads = False
    config.shared_memory = False
    config.max_wasm_stack = 512 * 1024
    return wasmtime.Engine(config)


def runtime_id() -> str:
    """What an entry of the cache depends on besides its source: both versions, the settings, the report, the target.

    The code is compiled for this very processor, so its features count: a home folder may be shared by machines.
    """
    versions = f"swiftd {swiftd.__version__}; wasmtime {version('wasmtime')}"
    return f"{versions}; {SETTINGS}; report {REPORT}; {platform.machine()} {_processor_features()}"


def _processor_features() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                return hashlib.sha256(line.encode()).hexdigest()[:16]
    except OSError:
        pass  # a container without /proc/cpuinfo: wasmtime itself still refuses code for another processor
    return "unknown"
