"""swiftctl: the command line client of swiftd.

Exit status, of every command:

| status | meaning |
|---|---|
| 0 | there is an answer |
| 1 | the answer is empty, a menu was left without a choice, or `doctor` found something |
| 2 | the command line is wrong |
| 3 | no daemon: none listens and none could be started, it went away before it had answered, or another user listens |
| 4 | the daemon answered with an error, or with nothing but errors of plugins, or not in time |
| 5 | this side failed: no clipboard, no menu, a command that can't be started, an output that can't be written |
| 130 | interrupted |

`swiftctl query` and `swiftctl rofi` are started at every key of a front end, so their way from the first line to the
last imports as little as it can: no trio, wasmtime, msgspec, and none of argparse, json, re, socket, subprocess,
pathlib or typing either, each of which takes a quarter to a half of an interpreter's own start. What only other
commands need is imported by them. `tests/swiftctl/test_startup.py` holds the line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Form = Literal["names", "json", "tsv", "fzf"]

STATUS_ANSWER = 0
STATUS_EMPTY = 1
STATUS_USAGE = 2
STATUS_NO_DAEMON = 3
STATUS_DAEMON_ERROR = 4
STATUS_FAILED_HERE = 5
STATUS_INTERRUPTED = 130


class SwiftctlError(Exception):
    """Ends the command with `status`; its text is for the person in front of it, and names the next step."""

    status = STATUS_FAILED_HERE


class NoDaemonError(SwiftctlError):
    """Nobody answers at the socket."""

    status = STATUS_NO_DAEMON


class StrangerError(NoDaemonError):
    """Another user listens at the socket."""


class DaemonError(SwiftctlError):
    """The daemon answered with an error, in a way that can't be understood, or too late.

    `line` is the answer as received, without its newline, where there is one.
    """

    status = STATUS_DAEMON_ERROR

    def __init__(self, message: str, line: str = "") -> None:
        super().__init__(message)
        self.line = line


class Options:
    """A command line, understood. What is written here are the defaults; cli.py sets what was given."""

    command: str = ""
    """The module of this package whose `run` carries the command out."""
    socket: str | None = None
    """The socket's path as chosen on the command line."""
    start: bool = True
    """Whether to start swiftd if nobody listens."""
    timeout: float = 30.0
    """Seconds for everything: a start of the daemon and a compile of a large plugin (10 s) fit in."""
    form: Form = "names"
    limit: int | None = None
    text: str = ""
    """What to ask, copy or open, or an item's key."""
    op: str = ""
    """What the daemon is to do, where one module has several commands."""
    path: str = ""
    """A file to check."""
    plugin: str | None = None
    """The plugin whose grants and settings it is tried with."""
    follow: bool = False
    watch: bool = False
    plain: bool = False
    stdin: bool = False
    """Queries come from standard input, a line each."""
    supersede: bool = False
    """Each of them ends the one before it."""
    from_rofi: bool = False
    """rofi calls us, and `text` is what it says."""
    live: bool = False
    """rofi's results follow each key."""
    tool: str | None = None
    """The menu program, or the shell, that was named."""
