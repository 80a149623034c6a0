"""The clock of a plugin that may not read the real one: it stands still, and moves on by what it is waited for.

A language's runtime reads clocks when it starts (Go refuses to start on a zero) and waits on them when it fails (Go
sleeps before it prints why), so neither may trap. A wait returns at once and the clock is put forward by it, as in
Go's playground: a plugin that sleeps sees the time pass that it slept, and nothing real can be timed by it.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from wasmtime import component as wc

from swiftd.sandbox.engine import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., Any]

WALL_CLOCK = "wasi:clocks/wall-clock"
MONOTONIC_CLOCK = "wasi:clocks/monotonic-clock"

STILL_SECONDS = 1_577_836_800
"""What the wall clock shows: 2020-01-01, late enough for every runtime's sanity checks."""
STARTED = 1_000_000_000
"""Nanoseconds that the monotonic clock shows: a machine that has been on for a second."""
MOMENT = 1_000_000
"""Nanoseconds. A longer wait is the plugin's own: Go waits that long at a time for its threads to stop."""
LONGEST = 2**62
"""Nanoseconds that the clock can move in all: a century, which leaves room in 64 bits."""

SECOND = 1_000_000_000

_READY = """(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "ready") (result i32) (call $subscribe (i64.const 0))))
  (core instance $i (instantiate $m (with "" (instance (export "subscribe" (func $subscribe))))))
  (func (export "ready") (result (own $pollable)) (canon lift (core func $i "ready"))))"""
"""Makes a pollable that is ready: one of wasmtime's own, which a guest's `poll` takes, and only a component can get."""


class StillClock:
    """Both clocks of one plugin, which show the same time."""

    def __init__(self, engine: Any, deny: Callable[[str], None]) -> None:
        self._engine = engine
        self._deny = deny
        self._moved = 0
        self._instance: wc.Instance | None = None

    def start(self) -> None:
        """A new run begins, in a new store."""
        self._moved = 0
        self._instance = None

    def functions(self, interface: str) -> dict[str, Function]:
        """What takes the place of an interface's functions."""
        if interface == MONOTONIC_CLOCK:
            _ready(self._engine)  # now, and not in a call, whose memory is limited
            return {
                "now": lambda _store: STARTED + self._moved,
                "resolution": lambda _store: 1,
                "subscribe-duration": self._wait,
                "subscribe-instant": lambda store, when: self._wait(store, when - STARTED - self._moved),
            }
        return {"now": self._wall_clock, "resolution": lambda _store: _datetime(1)}

    def _wall_clock(self, _store: Any) -> Any:
        self._deny("clock")  # the date is worth a grant; of time that passes runtimes keep an account for themselves
        return _datetime(STILL_SECONDS * SECOND + self._moved)

    def _wait(self, store: Any, duration: int) -> Any:
        if duration > MOMENT:
            self._deny("clock")
        self._moved = min(self._moved + max(0, duration), LONGEST)
        if self._instance is None:
            linker, component = _ready(self._engine)
            self._instance = linker.instantiate(store, component)
        ready = self._instance.get_func(store, "ready")
        assert ready is not None  # noqa: S101 - it stands above
        return ready(store)


@lru_cache(maxsize=1)  # a worker has one engine
def _ready(engine: Any) -> tuple[wc.Linker, wc.Component]:
    linker = wc.Linker(engine)
    linker.add_wasip2()
    return linker, wc.Component.deserialize(engine, artefact())


@cache
def artefact() -> bytes:
    """That component, compiled: by a process of its own, as the zygote must have no engine, and a worker no compiler.

    The zygote asks for it once, and its children have it from there.

    Raises:
        OSError: no process can be made, or it failed.

    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            serialized = wc.Component(make_engine(threads=False), _READY).serialize()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(serialized)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        made = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise OSError("the process that compiles the component of the clock failed")
    return made


def _datetime(nanoseconds: int) -> wc.Record:
    value = wc.Record()
    seconds, rest = divmod(nanoseconds, SECOND)
    vars(value).update(seconds=seconds, nanoseconds=rest)
    return value
