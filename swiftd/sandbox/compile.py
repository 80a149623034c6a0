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
from contextlib import suppress
from typing import TYPE_CHECKING

from wasmtime import WasmtimeError, wat2wasm
from wasmtime import component as wc

from swiftd import files, shortage
from swiftd.sandbox.contract import AsyncExportError, ContractError, check_imports, read_contract
from swiftd.sandbox.engine import make_engine
from swiftd.sandbox.filetype import COMPONENT, is_text_form, text_form, what_it_is
from swiftd.sandbox.hardening import harden
from swiftd.sandbox.messages import Compiled, CompileReport, Refused, Trouble, pack
from swiftd.sandbox.producers import language
from swiftd.text import beginning

if TYPE_CHECKING:
    import socket

NICENESS = 10

_WITHOUT_ASYNC = {
    "Python": "`def handle` instead of `async def handle`",
    "Rust": "`fn handle` instead of `async fn handle`, and no `async:` in `generate!`",
    "JavaScript": "`handle` without `async`, and `--sync` for componentize-qjs",
}
"""What there is to change in a source besides its WIT."""


def serve(connection: socket.socket, source: int, artefact: int) -> None:
    """Compile what the descriptor `source` holds into the descriptor `artefact`, and report on `connection`."""
    # A crash, and the limit on processor time, leave some words on the connection: without any, the daemon takes it
    # that the process was killed from outside. The compiler's own are written to stderr, as those of all native code.
    os.dup2(connection.fileno(), 2)
    faulthandler.enable(2, all_threads=False)
    faulthandler.register(signal.SIGXCPU, 2, all_threads=True, chain=True)
    report: CompileReport
    try:
        _limit()
        report = _report(source, artefact)
    except MemoryError:
        report = Trouble(shortage.of_memory(), again=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said
        report = Trouble(f"the process that compiles failed: {type(error).__name__}: {error}", again=False)
    connection.sendall(pack(report))


def _limit() -> None:
    """Take no more than what compiling may take, nor more than what this process was allowed before."""
    memory = shortage.allowed(resource.RLIMIT_AS, shortage.COMPILE_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    seconds = shortage.allowed(resource.RLIMIT_CPU, shortage.COMPILE_SECONDS)
    end = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if end == resource.RLIM_INFINITY or end > seconds + 5:
        end = seconds + 5
    # The signal must come before the end, or there are no last words.
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, max(1, end - 1)), end))
    with suppress(OSError):
        os.nice(NICENESS)
    harden((), ())


def _report(source: int, artefact: int) -> CompileReport:
    try:
        with open(source, "rb") as file:
            wasm = file.read()
    except OSError as error:
        return Trouble(f"the file can't be read: {files.reason(error)}", again=True)
    digest = hashlib.sha256(wasm).hexdigest()
    try:
        report, serialized = _compile(wasm, digest)
    except ContractError as error:
        return _refused(digest, str(error))
    except WasmtimeError as error:
        if "(os error 12)" in str(error):  # the kernel's ENOMEM
            return Trouble(shortage.of_memory(), again=False)
        return _refused(digest, f"not a valid component: {str(error).strip().splitlines()[-1].strip()}")
    try:
        with open(artefact, "wb") as file:
            file.write(serialized)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Trouble(*shortage.of(error))
    return report


def _refused(source_digest: str, message: str) -> Refused:
    return Refused(source_digest, beginning(message))


def _compile(wasm: bytes, source_digest: str) -> tuple[Compiled, bytearray]:
    wasm = _binary(wasm)
    engine = make_engine(threads=shortage.can_start(os.cpu_count() or 1))
    component = wc.Component(engine, wasm)
    spoken = language(wasm)
    try:
        contract = read_contract(component, engine)
    except AsyncExportError as error:
        hint = f" ({_WITHOUT_ASYNC[spoken]})" if spoken in _WITHOUT_ASYNC else ""
        raise ContractError(f"{error}{hint}") from error
    check_imports(component, engine)
    serialized = component.serialize()
    report = Compiled(
        source=source_digest,
        digest=hashlib.sha256(serialized).hexdigest(),
        contract=contract,
        language=spoken,
        imports=sorted(component.type.imports(engine)),
    )
    return report, serialized


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
