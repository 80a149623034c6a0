"""A one-shot process that compiles one component: bytes in, artefact and contract out.

The compiler is the largest piece of code that ever sees an untrusted file, and some modules make it abort or eat all
memory. So it runs where that costs one error message: with limits, at low priority, and without any file but the two
descriptors it was handed.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import resource
import signal
from typing import TYPE_CHECKING

from wasmtime import WasmtimeError, wat2wasm
from wasmtime import component as wc

from swiftd.sandbox.contract import ContractError, check_imports, read_contract
from swiftd.sandbox.engine import make_engine
from swiftd.sandbox.hardening import harden
from swiftd.sandbox.messages import Compiled, CompileReport, Refused, pack

if TYPE_CHECKING:
    import socket

MEMORY_LIMIT = 4 * 1024**3
"""Bytes of address space. A Python plugin (18 MB) needs 0.5 GB of memory; threads reserve more than they use."""
CPU_LIMIT = 60
"""Seconds of processor time. That plugin takes 10."""
NICENESS = 10

_CORE_MODULE = b"\0asm\x01\x00\x00\x00"
_COMPONENT = b"\0asm\x0d\x00\x01\x00"


def serve(connection: socket.socket, source: int, artefact: int) -> None:
    """Compile what the descriptor `source` holds into the descriptor `artefact`, and report on `connection`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 5))
    os.nice(NICENESS)
    harden((), ())
    # A crash, and the limit on processor time, leave some words on the connection: without any, the daemon takes it
    # that the process was killed from outside, and does not hold it against the plugin.
    faulthandler.enable(connection.fileno(), all_threads=False)
    faulthandler.register(signal.SIGXCPU, connection.fileno(), all_threads=True, chain=True)
    with open(source, "rb") as file:
        wasm = file.read()
    digest = hashlib.sha256(wasm).hexdigest()
    report: CompileReport
    try:
        report = _compile(wasm, digest, artefact)
    except ContractError as error:
        report = Refused(digest, str(error))
    except WasmtimeError as error:
        report = Refused(digest, f"not a valid component: {str(error).strip().splitlines()[-1].strip()}")
    except MemoryError:
        report = Refused(digest, f"compiling it takes more than {MEMORY_LIMIT // 1024**3} GiB of memory")
    connection.sendall(pack(report))


def _compile(wasm: bytes, source_digest: str, artefact: int) -> Compiled:
    wasm = _binary(wasm)
    engine = make_engine()
    component = wc.Component(engine, wasm)
    contract = read_contract(component, engine)
    check_imports(component, engine)
    serialized = component.serialize()
    with open(artefact, "wb") as file:
        file.write(serialized)
        file.flush()
        os.fsync(file.fileno())
    return Compiled(
        source=source_digest,
        digest=hashlib.sha256(serialized).hexdigest(),
        contract=contract,
        language=_language(wasm),
        imports=sorted(component.type.imports(engine)),
    )


def _binary(wasm: bytes) -> bytes:
    """The file's content as a binary component; text is assembled first, as wasmtime itself does.

    Raises:
        ContractError: it is something else. Says what.

    """
    if not wasm:
        raise ContractError("expected a WebAssembly component, found an empty file")
    if not wasm.startswith(b"\0asm") and wasm.lstrip().startswith((b"(", b";;")):
        wasm = bytes(wat2wasm(wasm))
    if wasm.startswith(_CORE_MODULE):
        raise ContractError(
            "expected a WebAssembly component, found a core module: make it one with `wasm-tools component new`"
        )
    if not wasm.startswith(_COMPONENT):
        raise ContractError(f"expected a WebAssembly component, found something that starts with {wasm[:8]!r}")
    return wasm


def _language(wasm: bytes) -> str | None:
    """The source language by the component's `producers` section, if it has one.

    The section is a list of fields `name, count, (value, version)*` (tool-conventions, ProducersSection.md). The
    first one found is the innermost module's, which is the plugin's own code or the runtime that carries it.
    """
    at = wasm.find(b"\x08language")
    if at < 0:
        return None
    length_at = at + len(b"\x08language") + 1
    if length_at >= len(wasm):
        return None
    name = wasm[length_at + 1 : length_at + 1 + wasm[length_at]]
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() and len(text) <= 40 else None  # noqa: PLR2004 - a name, not a text
