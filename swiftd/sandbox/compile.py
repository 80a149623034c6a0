"""A one-shot process that compiles one component: bytes in, artefact and contract out.

The compiler is the largest piece of code that ever sees an untrusted file, and some modules make it abort or eat all
memory. So it runs where that costs one error message: with limits, at low priority, and without any file but the two
descriptors it was handed.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import re
import resource
import signal
from typing import TYPE_CHECKING

from wasmtime import WasmtimeError, wat2wasm
from wasmtime import component as wc

from swiftd.sandbox.contract import AsyncExportError, ContractError, check_imports, read_contract
from swiftd.sandbox.engine import make_engine
from swiftd.sandbox.filetype import COMPONENT, is_text_form, text_form, what_it_is
from swiftd.sandbox.hardening import harden
from swiftd.sandbox.messages import Compiled, CompileReport, Refused, pack
from swiftd.sandbox.producers import language
from swiftd.text import one_line

if TYPE_CHECKING:
    import socket

MEMORY_LIMIT = 4 * 1024**3
"""Bytes of address space. A Python plugin (18 MB) needs 0.5 GB of memory; threads reserve more than they use."""
CPU_LIMIT = 60
"""Seconds of processor time. That plugin takes 10."""
NICENESS = 10

LONGEST_REFUSAL = 500
"""Characters. A refusal may quote names that a plugin's author chose, and types that nest."""

_WITHOUT_ASYNC = {
    "Python": "`def handle` instead of `async def handle`",
    "Rust": "`fn handle` instead of `async fn handle`, and no `async:` in `generate!`",
    "JavaScript": "`handle` without `async`, and `--sync` for componentize-qjs",
}
"""What there is to change in a source besides its WIT."""


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
        report = _refused(digest, str(error))
    except WasmtimeError as error:
        report = _refused(digest, f"not a valid component: {str(error).strip().splitlines()[-1].strip()}")
    except MemoryError:
        report = _refused(digest, f"compiling it takes more than {MEMORY_LIMIT // 1024**3} GiB of memory")
    connection.sendall(pack(report))


def _refused(source_digest: str, message: str) -> Refused:
    message = one_line(message[: LONGEST_REFUSAL + 1])
    return Refused(source_digest, message if len(message) <= LONGEST_REFUSAL else message[: LONGEST_REFUSAL - 1] + "…")


def _compile(wasm: bytes, source_digest: str, artefact: int) -> Compiled:
    wasm = _binary(wasm)
    engine = make_engine()
    component = wc.Component(engine, wasm)
    spoken = language(wasm)
    try:
        contract = read_contract(component, engine)
    except AsyncExportError as error:
        hint = f" ({_WITHOUT_ASYNC[spoken]})" if spoken in _WITHOUT_ASYNC else ""
        raise ContractError(f"{error}{hint}") from error
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
        language=spoken,
        imports=sorted(component.type.imports(engine)),
    )


def _binary(wasm: bytes) -> bytes:
    """The file's content as a binary component; text is assembled first, as wasmtime itself does.

    Raises:
        ContractError: it is something else. Says what.

    """
    if is_text_form(wasm):
        try:
            wasm = bytes(wat2wasm(text_form(wasm)))
        except WasmtimeError as error:
            raise ContractError(f"not valid as WebAssembly text: {_mistake(str(error))}") from error
    if not wasm.startswith(COMPONENT):
        raise ContractError(f"expected a WebAssembly component, found {what_it_is(wasm)}")
    return wasm


def _mistake(message: str) -> str:
    """A mistake in a text: its line before what is wrong there, which wasmtime shows as a picture."""
    wrong = message.strip().splitlines()[0].strip() if message.strip() else "unknown error"
    place = re.search(r"--> .*?:(\d+):(\d+)", message)
    return f"line {place[1]}, column {place[2]}: {wrong}" if place else wrong
