"""What a guest can reach outside itself: everything else does not exist for it.

wasmtime's WASI gives no files and no sockets by itself, but real clocks, 64 MiB of random bytes at once, and outgoing
HTTP to whoever imports it. What a plugin lacks is shadowed in the linker by functions of ours, which note the attempt
and refuse. Shadowing replaces an interface of exactly one version, so each plugin has a linker of its own, made from
its own imports. Four rules:

- Where WASI has an error to return, a refusal returns it; where it has none, the call traps with the reason.
- A denied clock neither fails nor traps, because every language's runtime reads it: see clock.py.
- What a runtime asks for while its instance is made is no attempt of the plugin's, and is not noted.
- Only WasmtimeError may leave a function here: wasmtime-py carries exceptions through one global.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import WasmtimeError
from wasmtime import component as wc

from swiftd.sandbox import bound, host, lift
from swiftd.sandbox.clock import MONOTONIC_CLOCK, WALL_CLOCK, StillClock
from swiftd.sandbox.record import Record, Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftd.sandbox.messages import Load

    Function = Callable[..., Any]

PREOPENS = "wasi:filesystem/preopens"
RANDOM = ("wasi:random/random", "wasi:random/insecure")
SOCKETS = ("wasi:sockets/tcp-create-socket", "wasi:sockets/udp-create-socket", "wasi:sockets/ip-name-lookup")
HTTP = "wasi:http/outgoing-handler"


class Capabilities:
    """One plugin's linker and what its stores are given, both made from its imports and grants."""

    def __init__(self, engine: Any, component: wc.Component, load: Load, shared: Shared) -> None:
        self._load = load
        self._shared = shared
        self._clock: StillClock | None = None
        self.record = Record(load.limits.log)
        """Of the run that is going on; a worker runs one call at a time."""
        self.linker = wc.Linker(engine)
        imports = component.type.imports(engine)
        self._has_wasi = any(name.startswith("wasi:") for name in imports)
        self._has_http = any(name.startswith("wasi:http/") for name in imports)
        if self._has_wasi:
            self.linker.allow_shadowing = True
            self.linker.add_wasip2()
        if self._has_http:
            self.linker.add_wasi_http()
        with self.linker.root() as root:
            for name, item in imports.items():
                if host.is_host_import(name):
                    host.define(root, name, load.settings, self._say)
                else:
                    self._shadow(root, name, item)

    def store(self, engine: Any) -> wasmtime.Store:
        """A store for one run, with everything that the plugin was granted and nothing else.

        Raises:
            StaleError: a granted folder is another one now than when this process was let into it.

        """
        with ExitStack() as descriptors:
            return self._store(engine, descriptors)

    def _store(self, engine: Any, descriptors: ExitStack) -> wasmtime.Store:
        """The same; what is opened for it is left to be closed, once wasmtime has opened it for itself."""
        grants = self._load.grants
        granted = [(*folder, False) for folder in grants.read] + [(*folder, True) for folder in grants.write]
        given = [(guest, writable, *_entered(guest, real, descriptors)) for guest, real, writable in granted]
        store = wasmtime.Store(engine)
        limits = self._load.limits
        store.set_limits(limits.memory, limits.table_elements, limits.instances, limits.tables, limits.memories)
        self._shared.begin(self._load.slot)
        self.record = record = Record(limits.log, self._shared)
        record.lacking = [why for *_, why in given if why]
        if self._clock is not None:
            self._clock.start()
        if self._has_wasi:
            wasi = wasmtime.WasiConfig()
            wasi.env = grants.env
            for guest, writable, descriptor, why in given:
                try:
                    if why is None:
                        wasi.preopen_dir(f"/proc/self/fd/{descriptor}", guest, writable)
                except WasmtimeError:
                    record.lacking.append(f"the granted folder {guest} can't be opened")
            # These two are called by threads of wasmtime's, also after the run: each keeps to its own record.
            wasi.stdout_custom = lambda data: record.printed("stdout", data)
            wasi.stderr_custom = lambda data: record.printed("stderr", data)
            store.set_wasi(wasi)
        if self._has_http:
            store.set_wasi_http()
        return store

    def _say(self, level: str, message: str) -> None:
        self.record.say(level, message)

    def _deny(self, capability: str) -> None:
        self.record.deny(capability)

    def _shadow(self, root: wc.LinkerInstance, name: str, item: Any) -> None:
        """Put functions of ours in the place of an interface that the plugin may not have as it is."""
        interface = name.partition("@")[0]
        if interface in RANDOM:
            self._define(root, name, item, {}, "random")
        elif interface in (WALL_CLOCK, MONOTONIC_CLOCK) and not self._load.grants.clock:
            self._clock = self._clock or StillClock(self.linker.engine, self._deny)
            self._define(root, name, item, self._clock.functions(interface), "clock")
        elif interface == PREOPENS and not (self._load.grants.read or self._load.grants.write):
            self._define(root, name, item, {"get-directories": self._no_folders}, "files")
        elif interface in SOCKETS:
            refused = self._noted("network", "access-denied")
            functions = ("create-tcp-socket", "create-udp-socket", "resolve-addresses")
            self._define(root, name, item, dict.fromkeys(functions, refused), "network")
        elif interface == HTTP:
            refused = self._noted("network", wc.Variant("HTTP-request-denied"))
            self._define(root, name, item, {"handle": refused}, "network")

    def _define(
        self, root: wc.LinkerInstance, name: str, item: Any, ours: dict[str, Function], capability: str
    ) -> None:
        """Define exactly what the guest imports of an interface. A function that is not `ours` traps."""
        with root.add_instance(name) as interface:
            for number, (export, found) in enumerate(item.ty.exports(self.linker.engine).items()):
                if isinstance(found.ty, wc.ResourceType):
                    if f"[method]{export}." in " ".join(item.ty.exports(self.linker.engine)):  # its own, not borrowed
                        interface.add_resource(export, wc.ResourceType.host(number), lambda _store, _rep: None)
                elif not isinstance(found.ty, wc.FuncType):
                    continue
                elif export in ("get-random-bytes", "get-insecure-random-bytes"):
                    lift.add_random_bytes(interface, export, self._load.limits.random, self._too_much_random)
                elif export in ("get-random-u64", "get-insecure-random-u64"):
                    interface.add_func(export, lambda _store: int.from_bytes(os.urandom(8)))
                else:
                    interface.add_func(export, ours.get(export) or self._trap(f"{name} {export}", capability))

    def _no_folders(self, _store: Any) -> list[Any]:
        self.record.asked_for_folders()
        return []

    def _noted(self, capability: str, answer: Any) -> Function:
        def refuse(store: Any, *arguments: Any) -> Any:
            self.record.deny(capability)
            for argument in arguments:
                if isinstance(argument, wc.ResourceAny):  # a borrowed handle must not outlive the call
                    argument.drop(store)
            return answer

        return refuse

    def _trap(self, what: str, capability: str) -> Function:
        def refuse(*_arguments: Any) -> Any:
            self.record.deny(capability)
            need = "the network, which no plugin gets" if capability == "network" else f"the grant `{capability}`"
            raise WasmtimeError(f"denied: {what} needs {need}")

        return refuse

    def _too_much_random(self, wanted: int) -> str:
        self.record.deny("random")
        return f"denied: {wanted} random bytes at once, where at most {self._load.limits.random // 1024} KiB are given"


def _entered(guest: str, real: str, descriptors: ExitStack) -> tuple[int, str | None]:
    """A descriptor of a granted folder, or why it can't be given now: the path must lead to where it led.

    What is given is what was looked at, whatever has its name a moment later.

    Raises:
        StaleError: it is another one now than when this process was let into it.

    """
    if os.path.realpath(guest) != real:
        return -1, f"the granted folder {guest} is not what it was when it was granted: it leads elsewhere now"
    if (descriptor := bound.enter(real)) is not None:
        descriptors.callback(os.close, descriptor)
        return descriptor, None
    return -1, f"the granted folder {guest} is {'no folder' if os.path.exists(real) else 'not there'}"  # noqa: PTH110
