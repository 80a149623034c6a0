"""What the daemon and its child processes say to each other.

Each message is four bytes, the length in network order, then that much msgpack. This is private to one daemon and
its own children, made and read by the same version: there is nothing to negotiate.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, Literal

import msgspec

from swiftd.protocol import PluginErrorCode  # noqa: TC001 - msgspec reads the annotations when it runs
from swiftd.sandbox.record import LOG_LIMIT

HEADER = struct.Struct("!I")

Form = Literal["record", "resource"]


class Contract(msgspec.Struct, frozen=True):
    """Which contract a component fulfils, read from its own types."""

    runner: str
    """The export's whole name, such as `swift:launcher/runner@0.1.0`."""
    form: Form
    has_keywords: bool = True
    """Whether the resource form has `get-keywords`."""

    def __str__(self) -> str:
        return f"{self.runner}, {self.form} form"


class Limits(msgspec.Struct, frozen=True):
    """What one plugin may use, per call. Each has its reason beside it; config.toml changes the first three."""

    memory: int = 64 * 1024 * 1024
    """Bytes of one linear memory; a plugin made by the usual tools has one. Ten times what one with an index uses."""
    deadline: float = 1.0
    """Seconds, from the moment a worker takes the call. Longer, and typing feels broken."""
    max_items: int = 1000
    """Items an answer. Nobody scrolls further, and each costs 4 µs to read out of the guest."""
    input: int = 4096
    """Bytes of a query's input. Longer than anyone types; short enough that every plugin can take it."""
    name: int = 4096
    """Bytes of an item's name, which is one line on a screen. Also the limit of `keywords`."""
    exec: int = 64 * 1024
    """Bytes of an item's command: half of what Linux takes as one argument (128 KiB)."""
    answer: int = 4 * 1024 * 1024
    """Bytes of all strings of an answer. A thousand items of 4 KiB."""
    log: int = LOG_LIMIT
    """Bytes that a plugin may print a call; the rest is thrown away."""
    trigger: int = 64
    """Bytes of a trigger. It is typed by hand."""
    table_elements: int = 20_000
    """Function pointers in all tables. CPython compiled to wasm has 8,000."""
    instances: int = 200
    """Core instances a store. A component made by the usual tools has under 20."""
    tables: int = 50
    memories: int = 4
    """Linear memories. More than one comes from components composed of several."""
    beyond: int = 256 * 1024 * 1024
    """Bytes that a call may take in its process beyond `memory`: other memories, tables, and the answer on its way
    out, for which wasmtime itself allows 128 MiB."""
    random: int = 64 * 1024
    """Bytes of random data asked for at once. More than a seed or a key is an attack on the host's memory."""


class Grants(msgspec.Struct, frozen=True):
    """What the user gave one plugin.

    A folder is the path under which the guest sees it, and what that path really was when it was granted: a plugin
    that may write could turn a part of it into a link since. It may be missing for a while, or from the start.
    """

    read: tuple[tuple[str, str], ...] = ()
    write: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    """Names and values, the harmless ones of every plugin included."""
    clock: bool = False


# ---- to a worker ------------------------------------------------------------------------------------------------


class Harden(msgspec.Struct, tag="harden"):
    """The first message: give up everything but reading and writing below these folders."""

    read: list[str]
    write: list[str]


class Load(msgspec.Struct, tag="load", frozen=True):
    """Load a finished artefact under a number, which the calls name.

    One number is one version of one plugin with one set of grants, limits and settings: a change of any of them
    is a new number, so a worker never has to change what it has loaded.
    """

    slot: int
    plugin: str
    artefact: str
    """The path of a file of the cache."""
    digest: str
    """SHA-256 of that file, in hexadecimal. Checked before the file is trusted."""
    contract: Contract
    limits: Limits = Limits()
    grants: Grants = Grants()
    settings: str = "{}"
    """What `get-user-config` returns: a JSON object."""
    private: bool = False
    """Whether it was given settings or environment variables of its own, which no other plugin is to come by."""


class Unload(msgspec.Struct, tag="unload"):
    """Forget a slot. There is no answer."""

    slot: int


class Trigger(msgspec.Struct, tag="trigger"):
    """Call `get-trigger`."""

    slot: int


class Handle(msgspec.Struct, tag="handle"):
    """Call `handle`."""

    slot: int
    input: str


Job = Harden | Load | Unload | Trigger | Handle


# ---- from a worker ----------------------------------------------------------------------------------------------


class Ran(msgspec.Struct, kw_only=True):
    """What every run of a guest leaves behind, besides its answer."""

    log: list[tuple[str, str]] = []
    """Level and text: what it printed, and what it logged through the host interface."""
    denied: list[str] = []
    """Capabilities it tried to use and has not, such as `clock`."""
    lacking: list[str] = []
    """Granted folders that it could not be given, and why: a sentence each."""


class Hardened(msgspec.Struct, tag="hardened"):
    """What of it is in force: not every kernel has all."""

    measures: list[str]


class Loaded(msgspec.Struct, tag="loaded"):
    """The slot can be called."""


class Triggered(Ran, tag="triggered"):
    """What `get-trigger` returned."""

    trigger: str


class Handled(Ran, tag="handled"):
    """What `handle` returned: name, exec and keywords of each item."""

    items: list[tuple[str, str, str]]
    cut: str | None = None
    """Why the answer is not whole, if it is not."""


class Failed(Ran, tag="failed"):
    """The guest, or its artefact, did not do what it should."""

    code: PluginErrorCode | Literal["artefact", "stale"]
    """`artefact`: the cache's file is not what it was; it must be compiled anew. `stale`: nothing was done, as a folder
    is another one now than when this process was let into it; another process can do it."""
    message: str


Reply = Hardened | Loaded | Triggered | Handled | Failed


# ---- compiling --------------------------------------------------------------------------------------------------


class Compiled(msgspec.Struct, tag="compiled"):
    """The artefact stands in the file descriptor that was handed over."""

    source: str
    """SHA-256 of the bytes that were compiled: the file may have changed since it was looked at."""
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the artefact, which becomes a file name: it comes from a process that has seen a hostile file."""
    contract: Contract
    language: str | None
    imports: list[str]


class Refused(msgspec.Struct, tag="refused"):
    """The file is not a plugin. What was expected, and what was found."""

    source: str
    message: str


class Trouble(msgspec.Struct, tag="trouble"):
    """It could not be compiled, and the file is not to blame: nothing to remember of it."""

    message: str
    again: bool
    """Whether it is worth another try without anybody's doing."""


CompileReport = Compiled | Refused | Trouble


def pack(message: Any) -> bytes:
    """One message with its length before it."""
    body = _encode(message)
    return HEADER.pack(len(body)) + body


_encode = msgspec.msgpack.Encoder().encode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
decode_report = msgspec.msgpack.Decoder(CompileReport).decode
