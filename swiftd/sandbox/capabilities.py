"""What a guest can reach outside itself: everything else does not exist for it.

wasmtime's WASI gives no files and no sockets by itself, but real clocks. What a plugin lacks is shadowed in the
linker. Shadowing replaces an interface of exactly one version, so each plugin has a linker of its own, made from its
own imports. A denied clock stands still instead of failing, because JavaScript's and Python's runtimes read it when
they start; only waiting on it traps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import WasmtimeError
from wasmtime import component as wc

from swiftd.sandbox import host

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftd.sandbox.messages import Load

EPOCH_SECONDS = 1_577_836_800
"""What a clock that stands still shows: 2020-01-01, late enough for every runtime's sanity checks."""


@dataclass
class Record:
    """What one run of a guest printed, and what it tried without having it."""

    room: int
    """Bytes that may still be kept; what comes after is thrown away."""
    log: list[tuple[str, str]] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    _open: dict[str, bytearray] = field(default_factory=dict)

    def say(self, level: str, message: str) -> None:
        """Keep a message of the guest's."""
        text = message.encode()[: self.room]
        self.room -= len(text)
        if text:
            self.log.append((level, harmless(text.decode("utf-8", "ignore"))))

    def printed(self, stream: str, data: bytes) -> int:
        """Keep what the guest printed, a line at a time. Always claims to have taken everything."""
        kept = data[: self.room]
        self.room -= len(kept)
        self._open.setdefault(stream, bytearray()).extend(kept)
        return len(data)

    def deny(self, capability: str) -> None:
        """Note that the guest tried something it has no grant for."""
        if capability not in self.denied:
            self.denied.append(capability)

    def finish(self) -> list[tuple[str, str]]:
        """Everything kept, what was printed split into lines."""
        for stream, data in self._open.items():
            level = "info" if stream == "stdout" else "warning"
            self.log += [(level, harmless(line)) for line in data.decode("utf-8", "replace").splitlines() if line]
        self._open.clear()
        return self.log


def harmless(text: str) -> str:
    """`text` without control characters, which could drive the terminal it is shown on."""
    return "".join(c if c.isprintable() else " " if c in "\t\n\r" else "\ufffd" for c in text)


class Capabilities:
    """One plugin's linker and what its stores are given, both made from its imports and grants."""

    def __init__(self, engine: Any, component: wc.Component, load: Load) -> None:
        self._load = load
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
                interface = name.partition("@")[0]
                if host.is_host_import(name):
                    host.define(root, name, load.settings, self._say)
                elif interface in ("wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock") and not load.grants.clock:
                    self._shadow(root, name, item, _still_clock(interface), "clock")
                elif interface == "wasi:http/outgoing-handler":
                    self._shadow(root, name, item, {}, "network")

    def store(self, engine: Any) -> wasmtime.Store:
        """A store for one run, with everything that the plugin was granted and nothing else."""
        store = wasmtime.Store(engine)
        limits = self._load.limits
        store.set_limits(limits.memory, limits.table_elements, limits.instances, limits.tables, limits.memories)
        self.record = record = Record(limits.log)
        if self._has_wasi:
            wasi = wasmtime.WasiConfig()
            wasi.env = self._load.grants.env
            wasi.stdout_custom = lambda data: record.printed("stdout", data)
            wasi.stderr_custom = lambda data: record.printed("stderr", data)
            store.set_wasi(wasi)
        if self._has_http:
            store.set_wasi_http()
        return store

    def _say(self, level: str, message: str) -> None:
        self.record.say(level, message)

    def _shadow(
        self, root: wc.LinkerInstance, name: str, item: Any, replaced: dict[str, Callable[..., Any]], capability: str
    ) -> None:
        """Define exactly the functions that the guest imports: those not in `replaced` trap and are recorded."""
        with root.add_instance(name) as interface:
            for function, exported in item.ty.exports(self.linker.engine).items():
                if isinstance(exported.ty, wc.FuncType):
                    interface.add_func(function, replaced.get(function) or self._trap(f"{name} {function}", capability))

    def _trap(self, what: str, capability: str) -> Callable[..., Any]:
        def denied(*_args: Any) -> Any:
            self.record.deny(capability)
            raise WasmtimeError(f"denied: {what} needs the grant `{capability}`")

        return denied


def _still_clock(interface: str) -> dict[str, Callable[..., Any]]:
    if interface == "wasi:clocks/monotonic-clock":
        return {"now": lambda _store: 0, "resolution": lambda _store: 1}
    return {"now": lambda _store: _datetime(EPOCH_SECONDS, 0), "resolution": lambda _store: _datetime(0, 1)}


def _datetime(seconds: int, nanoseconds: int) -> wc.Record:
    value = wc.Record()
    vars(value).update(seconds=seconds, nanoseconds=nanoseconds)
    return value
