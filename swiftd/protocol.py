"""Every message of the wire, as tagged structs.

A client sends requests `{"op", "id", ...}`. Every request id gets any number of frames and then exactly one with
`"done": true`, whatever happens. An answer is `{"type", "id", ...}`. Fields that a struct here does not name are
ignored; an unknown `op` is an error. How a message becomes bytes is framing.py's business.

`PROTOCOL` counts incompatible changes. New fields and new ops come without a new number.
"""

from __future__ import annotations

from typing import Annotated, Literal

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
    "refused",
]

PluginErrorCode = Literal["timeout", "trap", "memory", "too-large", "contract", "compiling", "busy"]

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
    plugins: Annotated[list[str], msgspec.Meta(max_length=1000)] | None = None
    """Consider only these plugins, by name: 1,000 at most, for each takes more memory than it has bytes."""
    deadline_ms: int | None = None
    """Answer with what there is after this time. A plugin's own deadline holds as well."""
    stream: bool = False
    """A frame per plugin as it finishes; the last one has `done`."""
    supersede: bool = False
    """Ends this connection's earlier unfinished queries."""
    wait_ms: int = 0
    """How long to wait, instead of naming them in `errors`, for plugins that are still compiling or are put off, and
    for a file that was put there just now."""


class Cancel(Request, tag="cancel"):
    """Ends an unfinished request of this connection: a query as superseded, a watch as done."""

    target: Id


class Activate(Request, tag="activate"):
    """Asks for the item behind a key of an earlier answer, for the front end to start."""

    key: str


class Plugins(Request, tag="plugins"):
    """Asks for every plugin, whatever its state."""


class Reload(Request, tag="reload"):
    """Looks at the folders and the configuration again, also at what was refused; answers when that has settled."""

    plugin: str | None = None


class Enable(Request, tag="enable"):
    """Switches a plugin on that `disable` switched off."""

    plugin: str


class Disable(Request, tag="disable"):
    """Switches a plugin off, also for daemons to come."""

    plugin: str


class Check(Request, tag="check"):
    """Loads a file as if it were installed, without installing it."""

    path: str
    input: str | None = None
    """A query to try."""
    plugin: str | None = None
    """Give it the trigger, limits, settings and grants that config.toml has for the plugin of this name. Without, it
    has none of them, whatever the file is called."""


class Logs(Request, tag="logs"):
    """Asks for what plugins printed, and their failures."""

    plugin: str | None = None
    follow: bool = False
    """Go on with what comes, a frame a line, until cancelled."""


class Watch(Request, tag="watch"):
    """Asks for an event for every change of a plugin's state, until cancelled."""


class Stats(Request, tag="stats"):
    """Asks for counts and latencies."""


AnyRequest = Hello | Query | Cancel | Activate | Plugins | Reload | Enable | Disable | Check | Logs | Watch | Stats


class Envelope(msgspec.Struct):
    """What is read of a request that could not be understood, so that the error can name its id."""

    id: Id | None = None
    op: object = None


# ---- answers ----------------------------------------------------------------------------------------------------


class Answer(msgspec.Struct, tag_field="type", kw_only=True):
    """What all answers share.

    `id` is None only in an error, where the request's own could not be read or is that of another one which is not
    finished: no id gets two final frames.
    """

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


class Denial(msgspec.Struct):
    """Something a plugin tried and had not."""

    capability: str
    count: int
    grant: str | None
    """The lines of config.toml that would give it; None where nothing does."""


class LogEntry(msgspec.Struct):
    """One line of a plugin's log: what it printed or logged, or what became of it."""

    time: float
    """Seconds since 1970."""
    plugin: str
    level: str
    text: str


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
    """As config.toml has them."""
    problems: list[str]
    """What of config.toml could not be given to it, or is worth a warning."""
    denied: list[Denial]
    times: PluginTimes


class HelloAnswer(Answer, tag="hello"):
    """Who serves here."""

    server: str
    version: str
    protocol: int


class Results(Answer, tag="results"):
    """What the plugins answered. `partial`: some plugin did not answer in time, or is asked only later: ask again."""

    items: list[Item]
    errors: list[PluginError]
    status: QueryStatus


class ItemAnswer(Answer, tag="item"):
    """The item that `activate` asked for."""

    item: Item


class PluginsAnswer(Answer, tag="plugins"):
    """Every plugin, ordered by name."""

    plugins: list[PluginInfo]
    problem: str | None
    """What is wrong with config.toml, while it is: what was in force before still is."""
    notices: list[str] = []
    """What of config.toml is in force and has no effect: sections for plugins that are not there."""
    troubles: list[str] = []
    """What is wrong with a plugin folder, while it is: what of it served before still does."""


class LogsAnswer(Answer, tag="logs"):
    """Lines of logs, in the order of time."""

    lines: list[LogEntry]


class CheckAnswer(Answer, tag="check"):
    """What became of a file that was tried."""

    accepted: bool
    error: str | None
    """Why not, or how the trial query failed."""
    size: int
    contract: str | None = None
    language: str | None = None
    imports: list[str] = []
    trigger: str | None = None
    denied: list[Denial] = []
    """What it tried and had not, so far."""
    times: PluginTimes = msgspec.field(default_factory=PluginTimes)
    items: list[Item] | None = None
    """What it answered to the trial query; these keys can't be activated."""
    log: list[LogEntry] = []
    plugin: str | None = None
    """As which plugin of config.toml it was tried; None: as one that is not in there."""
    grants: dict[str, object] = {}
    """The grants that it was tried with, as config.toml has them."""
    settings: list[str] = []
    """The names of the settings that it was tried with."""
    problems: list[str] = []
    """What of these grants could not be given to it, or is worth a warning."""


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
    workers_apart: int
    """How many of them serve one plugin alone: one with folders, or with settings or variables of its own."""
    workers_killed: int
    hardening: list[str]
    """What every worker has given up for good, by the names in sandbox/hardening.py."""
    plugins: list[PluginStats]


class Event(Answer, tag="event"):
    """Something happened while a request goes on: a plugin's state changed."""

    event: str
    """A plugin's new state, or `gone`. `failing` comes again with each failure that puts the plugin off for longer."""
    plugin: str | None
    message: str | None = None


class Ok(Answer, tag="ok"):
    """Done, and nothing to say."""


class Error(Answer, tag="error"):
    """The request failed as a whole."""

    code: ErrorCode
    message: str
