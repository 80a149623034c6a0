"""Every message of the wire, as tagged structs.

A client sends requests `{"op", "id", ...}`. Every request id gets any number of frames and then exactly one with
`"done": true`, whatever happens. An answer is `{"type", "id", ...}`. Fields that a struct here does not name are
ignored; an unknown `op` is an error. How a message becomes bytes is framing.py's business.

`PROTOCOL` counts incompatible changes. New fields and new ops come without a new number.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PROTOCOL = 1

Id = int | str

ErrorCode = Literal[
    # The request's fault.
    "bad-frame",
    "bad-request",
    "unknown-op",
    "duplicate-id",
    "unsupported-protocol",
    "unknown-key",
    "unknown-plugin",
    "unknown-target",
    "input-too-long",
    # The daemon's state.
    "busy",
    "internal",
    "config",
]

PluginErrorCode = Literal["timeout", "trap", "memory", "too-large", "contract", "compiling", "busy", "failing"]

PluginState = Literal["found", "compiling", "ready", "refused", "failing", "disabled"]

QueryStatus = Literal["complete", "partial", "superseded"]


# ---- requests ---------------------------------------------------------------------------------------------------


class Request(msgspec.Struct, tag_field="op", kw_only=True):
    """What all requests share. Ids are the client's own, unique among its unfinished requests."""

    id: Id


class Hello(Request, tag="hello"):
    """Asks who serves here; the only request that may fail for the protocol's version."""

    protocol: int = PROTOCOL


class Query(Request, tag="query"):
    """Asks the plugins. `input` is the whole text, trigger included."""

    input: str
    limit: int | None = None
    """At most this many items."""
    plugins: list[str] | None = None
    """Consider only these plugins, by name."""
    deadline_ms: int | None = None
    """Answer with what there is after this time. A plugin's own deadline holds as well."""
    stream: bool = False
    """A frame per plugin as it finishes; the last one has `done`."""
    supersede: bool = False
    """Ends this connection's earlier unfinished queries."""
    wait_ms: int = 0
    """How long to wait for plugins that are still compiling, instead of naming them in `errors`."""


class Cancel(Request, tag="cancel"):
    """Ends an unfinished request of this connection: a query as superseded, a watch as done."""

    target: Id


class Activate(Request, tag="activate"):
    """Asks for the item behind a key of an earlier answer, for the front end to start."""

    key: str


class Plugins(Request, tag="plugins"):
    """Asks for every plugin, whatever its state."""


class Stats(Request, tag="stats"):
    """Asks for counts and latencies."""


AnyRequest = Hello | Query | Cancel | Activate | Plugins | Stats


class Envelope(msgspec.Struct):
    """What is read of a request that could not be understood, so that the error can name its id."""

    id: Id | None = None
    op: str | None = None


# ---- answers ----------------------------------------------------------------------------------------------------


class Answer(msgspec.Struct, tag_field="type", kw_only=True):
    """What all answers share. `id` is None only where the request's own could not be read."""

    id: Id | None
    done: bool = True


class Item(msgspec.Struct):
    """One row. `key` is opaque, and good for `activate` while the answer is remembered."""

    key: str
    plugin: str
    name: str
    exec: str
    keywords: str


class PluginError(msgspec.Struct):
    """What kept one plugin from answering, beside the rest of the answer."""

    plugin: str
    code: PluginErrorCode
    message: str


class PluginTimes(msgspec.Struct):
    """Milliseconds; None where it did not happen in this daemon's life."""

    compile_ms: float | None = None
    load_ms: float | None = None


class PluginInfo(msgspec.Struct):
    """One plugin as the daemon sees it."""

    name: str
    path: str
    bundled: bool
    trigger: str | None
    """None before the plugin was asked."""
    state: PluginState
    error: str | None
    contract: str | None
    """Such as `swift:launcher/runner@0.1.0, record`."""
    size: int
    """Bytes of the .wasm file."""
    language: str | None
    """From the module's `producers` section, where it has one."""
    grants: dict[str, object]
    times: PluginTimes


class HelloAnswer(Answer, tag="hello"):
    """Who serves here."""

    server: str
    version: str
    protocol: int


class Results(Answer, tag="results"):
    """What the plugins answered. `partial`: some plugin did not answer in time."""

    items: list[Item]
    errors: list[PluginError]
    status: QueryStatus


class ItemAnswer(Answer, tag="item"):
    """The item that `activate` asked for."""

    item: Item


class PluginsAnswer(Answer, tag="plugins"):
    """Every plugin, ordered by name."""

    plugins: list[PluginInfo]


class Latency(msgspec.Struct):
    """Milliseconds over a plugin's last calls (at most 1,000), waiting for a worker included."""

    p50: float
    p90: float
    p99: float


class PluginStats(msgspec.Struct):
    """Counts since the daemon started."""

    plugin: str
    calls: int
    errors: dict[str, int]
    latency_ms: Latency | None


class StatsAnswer(Answer, tag="stats"):
    """Counts since the daemon started."""

    version: str
    uptime_s: float
    pid: int
    queries: int
    sessions: int
    """Open connections now."""
    workers: int
    """Worker processes now."""
    workers_killed: int
    plugins: list[PluginStats]


class Event(Answer, tag="event"):
    """Something happened while a request goes on: a plugin's state changed."""

    event: str
    plugin: str | None
    message: str | None = None


class Ok(Answer, tag="ok"):
    """Done, and nothing to say."""


class Error(Answer, tag="error"):
    """The request failed as a whole."""

    code: ErrorCode
    message: str


AnyAnswer = HelloAnswer | Results | ItemAnswer | PluginsAnswer | StatsAnswer | Event | Ok | Error
