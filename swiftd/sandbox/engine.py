"""The one way to make an Engine: an artefact only loads where its settings are the same as where it was compiled."""

from __future__ import annotations

import hashlib
import platform
import resource
from importlib.metadata import version
from pathlib import Path

import wasmtime

import swiftd
from swiftd.shortage import allowed

ROOM = 64 * 1024**3
"""Bytes of address space from which on each linear memory gets 4 GiB of it, which makes checks of bounds needless. A
plugin may have several, and one is made while the last is given back."""
HAS_ROOM = allowed(resource.RLIMIT_AS, ROOM) == ROOM
"""Whether that much may be used (`ulimit -v`): as it was before this process set limits of its own."""
GROWTH = 1024 * 1024
"""Bytes that a memory without such room is given ahead of time whenever it has to be moved."""

SETTINGS = "cranelift speed, no threads, 512 KiB stack" + ("" if HAS_ROOM else ", bounds checked")
"""Names what `make_engine` sets: part of the cache's key, to be changed with it."""

REPORT = 2
"""Counts the changes in what the compile child says of a component, which the cache keeps with the artefact."""


def make_engine(*, threads: bool = True) -> wasmtime.Engine:
    """An engine with no epochs and no fuel: a guest that runs too long is killed with its process.

    It compiles with or without `threads` of its own; what comes out is the same.
    """
    config = wasmtime.Config()
    config.parallel_compilation = threads
    if not HAS_ROOM:
        config.memory_reservation = 0
        config.memory_reservation_for_growth = GROWTH
        config.memory_guard_size = 0
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
