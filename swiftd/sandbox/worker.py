"""A sandbox process: loads finished components and runs one call at a time, each in a fresh store and instance.

It is single-threaded and blocks: it never has to be asked to stop. When a call must end, for whatever reason, the
daemon kills the process and takes another.
"""

from __future__ import annotations

import hashlib
import os
import resource
from typing import TYPE_CHECKING, Any

import msgspec
import wasmtime
from wasmtime import WasmtimeError
from wasmtime import component as wc

import swiftd
from swiftd import files
from swiftd.sandbox import bound, lift
from swiftd.sandbox.capabilities import Capabilities
from swiftd.sandbox.engine import make_engine
from swiftd.sandbox.failures import failed
from swiftd.sandbox.hardening import harden
from swiftd.sandbox.messages import (
    HEADER,
    Failed,
    Handle,
    Handled,
    Harden,
    Hardened,
    Job,
    Load,
    Loaded,
    Reply,
    Trigger,
    Triggered,
    Unload,
    decode_job,
    pack,
)
from swiftd.sandbox.record import Shared
from swiftd.shortage import allowed

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from wasmtime import Store

    from swiftd.sandbox.messages import Contract, Limits


class StaleArtefactError(Exception):
    """The cache's file is not the one that was compiled."""


class Guest:
    """One loaded plugin."""

    def __init__(self, engine: Any, load: Load, shared: Shared) -> None:
        self._engine = engine
        self.limits = load.limits
        self._used: Store | None = None
        self._component = _deserialize(engine, load)
        self._capabilities = Capabilities(engine, self._component, load, shared)
        contract = load.contract
        self._trigger = self._index(contract, "get-trigger")
        self._handle = self._index(contract, "handle")
        self._methods: list[Any] | None = None
        if contract.form == "resource":
            names = ("name", "exec", "keywords")[: 3 if contract.has_keywords else 2]
            self._methods = [self._index(contract, f"[method]action-item.get-{name}") for name in names]

    def _index(self, contract: Contract, function: str) -> wc.ExportIndex:
        runner = self._component.get_export_index(contract.runner)
        index = self._component.get_export_index(function, runner)
        if index is None:
            raise StaleArtefactError(f"the artefact has no `{function}`, although its contract was read")
        return index

    def run(self, job: Trigger | Handle) -> Triggered | Handled | Failed:
        """Run one call in a store and instance of its own. Whatever the guest does, there is a reply.

        To be followed by `clean_up`, once the reply is on its way.
        """
        capabilities = self._capabilities
        try:
            self._used = store = capabilities.store(self._engine)
        except bound.StaleError as error:
            return Failed(code="stale", message=str(error))
        reply: Triggered | Handled | Failed
        record = capabilities.record
        try:
            instance = capabilities.linker.instantiate(store, self._component)
            record.starting = False
            match job:
                case Handle():
                    reply = self._handled(store, instance, job)
                case Trigger():
                    reply = self._asked(store, instance)
        except WasmtimeError as error:
            reply = failed(error, record, self.limits, starting=record.starting)
        except lift.TooLargeError as error:
            reply = Failed(code="too-large", message=str(error))
        reply.log, reply.denied, reply.lacking = record.finish(), record.denied, record.lacking
        return reply

    def clean_up(self) -> None:
        """Give back the last run's memory: a quarter of what a small call takes, which nobody should wait for."""
        if self._used is not None:
            self._used.close()
            self._used = None

    def close(self) -> None:
        """Give back what the plugin holds: the linker's functions refer to it, so it would never be collected."""
        self._capabilities.linker.close()
        self._component.close()

    def _asked(self, store: Any, instance: wc.Instance) -> Triggered:
        trigger = instance.get_func(store, self._trigger)
        return Triggered(trigger=lift.call_for_string(store, trigger, self.limits.trigger))

    def _handled(self, store: Any, instance: wc.Instance, job: Handle) -> Handled:
        text = lift.lower(job.input)
        try:
            result = lift.call(store, instance.get_func(store, self._handle), text)
        finally:
            lift.free(text)
        try:
            if self._methods is None:
                items, cut = lift.records(result, self.limits)
            else:
                methods = [instance.get_func(store, index) for index in self._methods]
                items, cut = lift.resources(result, store, [*methods, None][:3], self.limits)
        finally:
            lift.free(result)
        return Handled(items=items, cut=cut)


def _deserialize(engine: Any, load: Load) -> wc.Component:
    """Load an artefact, after its digest was checked: wasmtime trusts what it is given here.

    Raises:
        StaleError: the folder it lies in is another one now than when this process was let into it.
        StaleArtefactError: it is not what was compiled.
        OSError: it can't be read.

    """
    folder = os.path.realpath(os.path.dirname(load.artefact))  # noqa: PTH120 - a name
    bound.check(folder)
    with files.opened(load.artefact, links=False) as (number, _), open(number, "rb", closefd=False) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != load.digest:
            raise StaleArtefactError(f"{load.artefact} is not what was compiled")
        if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return wc.Component.deserialize_file(engine, load.artefact)
        # From such a file system no code can be mapped: it is copied into this process's own memory.
        file.seek(0)
        code = file.read()
    if hashlib.sha256(code).hexdigest() != load.digest:
        raise StaleArtefactError(f"{load.artefact} is not what was compiled")
    return wc.Component.deserialize(engine, code)


ROOM = 1 << 62
"""Bytes. More than any process can have."""


class DataLimit:
    """A limit on all memory that a run may take in this process, which the store's limits can't see as a whole.

    The kernel counts private writable pages. A guest at the limit finds its memory unable to grow; wasmtime itself
    at the limit aborts, which costs this process and nothing else.
    """

    def __init__(self) -> None:
        self._most = allowed(resource.RLIMIT_DATA, ROOM)
        self._status = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)  # Landlock will hide /proc

    def set(self, limits: Limits) -> None:
        """Allow what a plugin may take, on top of what is taken now, but no more than this process was allowed."""
        taken = int(os.pread(self._status, 128, 0).split()[5]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (min(self._most, taken + limits.memory + limits.beyond), hard))


def serve(connection: socket.socket, memory: int | None = None) -> None:
    """Do jobs until the daemon closes its end. `memory` is the descriptor of what record.py shares with it."""
    shared = Shared(memory)
    if memory is not None:
        os.close(memory)
    data_limit = DataLimit()
    # After the fork: it has state that a fork would tear. Nothing is compiled here, so it needs no threads for that;
    # native code that wants a thread and gets none ends the process.
    engine = make_engine(threads=False)
    guests: dict[int, Guest] = {}
    for job in _jobs(connection):
        if isinstance(job, Handle | Trigger):
            data_limit.set(guests[job.slot].limits)
        elif isinstance(job, Load):
            data_limit.set(job.limits)
        reply = _do(engine, guests, shared, job)
        if reply is not None:
            connection.sendall(pack(reply))
        if isinstance(job, Handle | Trigger):
            shared.begin()
            guests[job.slot].clean_up()


def _do(engine: Any, guests: dict[int, Guest], shared: Shared, job: Job) -> Reply | None:
    match job:
        case Handle() | Trigger():
            return guests[job.slot].run(job)
        case Harden():
            return Hardened(harden([*job.read, *_own_folders()], job.write))
        case Load():
            return _load(engine, guests, shared, job)
        case Unload():
            if guest := guests.pop(job.slot, None):
                guest.close()
            return None


def _load(engine: Any, guests: dict[int, Guest], shared: Shared, job: Load) -> Loaded | Failed:
    try:
        guests[job.slot] = Guest(engine, job, shared)
    except bound.StaleError as error:
        return Failed(code="stale", message=str(error))
    except (OSError, StaleArtefactError) as error:
        return Failed(code="artefact", message=str(error))
    except WasmtimeError as error:
        return Failed(code="artefact", message=str(error).splitlines()[0])
    return Loaded()


def _own_folders() -> list[str]:
    """What this program itself may still want to read: a module that is imported late, a source line for a report."""
    modules = (os, wasmtime, msgspec, swiftd)
    folders = [os.path.realpath(os.path.dirname(module.__file__ or "/dev/null")) for module in modules]  # noqa: PTH120
    return [*folders, "/dev/null"]


def _jobs(connection: socket.socket) -> Iterator[Job]:
    """Every job that comes, until the daemon closes its end."""
    buffer = bytearray()
    while data := connection.recv(65536):
        buffer += data
        while len(buffer) >= HEADER.size and len(buffer) >= (end := HEADER.size + HEADER.unpack_from(buffer)[0]):
            job: Job = decode_job(bytes(buffer[HEADER.size : end]))
            del buffer[:end]
            yield job
