"""`swiftctl fzf`: ask and choose in a terminal, with results that follow each key.

fzf runs `swiftctl query --fzf` at every change, ending the one before, and shows the names; what else a row carries
stays hidden in the columns before it. The preview says what Enter would start. fzf runs its commands by `$SHELL` and
quotes for a POSIX shell, so it gets one; what the user starts gets the user's own again, since it is started here,
after fzf.

Between a key and its answer fzf shows the rows of the text before, and Enter takes one of those. So each row carries
the text that it answers, and fzf prints the text that was typed. A row of another text is never started: that text
is asked here, and Enter means the row of the same name in its answer, or else the first. Where that has no rows, where
a row starts nothing, and where it is too old, fzf is shown again with the text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, DaemonError, SwiftctlError, hints, own, query, show
from swiftctl import run as starter
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

ACCEPTED, NO_MATCH, FAILED = 0, 1, 2
"""fzf's exit status; any other means that it was left."""

ASKED_AGAIN = "that row starts nothing: asked again"

PATIENCE = 5.0
"""Seconds for fzf to say its version."""

OLDEST = (0, 38)
SINCE: dict[tuple[int, int], list[str]] = {
    (0, 51): ["--with-shell=/bin/sh -c"],
    (0, 60): ["--accept-nth=.."],
}
"""What undoes options of the user's that only later versions know."""


class Choice:
    """What fzf was left with: the text typed, and the row, if there was one."""

    def __init__(self, printed: str) -> None:
        self.text, *rest = printed.removesuffix("\n").split("\n")
        self.key, self.name = "", ""
        self.asked: str | None = None
        columns = rest[-1].split("\t") if rest else []  # what stands between are keys of `--expect` and their like
        if len(columns) == query.FZF_COLUMNS:
            key, asked, self.name = columns
            self.asked = _unpacked(asked)
            self.key = "" if self.asked is None else key
        self.has_row = bool(rest)

    @property
    def belongs(self) -> bool:
        """Whether the row answers the text. Of one that is not in our form nobody knows, and it starts nothing."""
        return self.asked == self.text if self.asked is not None else self.has_row


def run(options: Options) -> int:
    """Run fzf until what was chosen is started, or it is left.

    Raises:
        SwiftctlError: there is no fzf, or no terminal.

    """
    _check()
    later = later_options()
    header = _hints(options)
    text, note = show.harmless(options.text), ""
    while choice := _choose(options, text, [*([note] if note else []), *header], later):
        text = choice.text
        try:
            key = choice.key if choice.belongs else _ask(options, choice)
            if not key:
                note = ASKED_AGAIN if choice.belongs else ""
                continue
            item = starter.activate(options, key)
        except DaemonError as error:
            note = str(error)
            continue
        if starter.start(item):
            return STATUS_ANSWER
        note = starter.nothing_to_run(item)
    return STATUS_EMPTY


def command(swiftctl: str, text: str, header: str) -> list[str]:
    """The command line of fzf. Ours comes after the user's FZF_DEFAULT_OPTS, and counts."""
    # What swiftctl itself complains of becomes a row as well; without a tab, it is its own last column.
    reload = f"reload:{swiftctl} query --fzf -- {{q}} 2>&1 || true"
    return [
        "fzf",
        "--disabled",
        "--no-multi",
        "--no-select-1",
        "--no-exit-0",
        "--no-sync",
        "--no-read0",
        "--no-print0",
        "--no-expect",
        "--no-tac",
        "--header-lines=0",
        "--print-query",
        "--layout=reverse",
        "--delimiter=\t",
        "--with-nth=-1",
        "--prompt=swift> ",
        f"--header={header}",
        f"--query={text}",
        "--bind=enter:accept,double-click:accept",
        f"--bind=start:{reload}",
        f"--bind=change:{reload}",
        f"--preview={swiftctl} item -- {{1}} 2>/dev/null || echo 'Enter starts nothing here'",
        "--preview-window=down,3,wrap",
    ]


def _check() -> None:
    """Refuse to go on without fzf or a terminal."""
    if not shutil.which("fzf"):
        raise SwiftctlError("fzf is not installed: install it, or use `swiftctl menu`")
    try:
        Path("/dev/tty").open("rb").close()
    except OSError:
        raise SwiftctlError("there is no terminal for fzf: use `swiftctl menu`") from None


def later_options() -> list[str]:
    """The options that this version of fzf wants besides.

    Raises:
        SwiftctlError: it is too old.

    """
    found = _version()
    if found < OLDEST:
        raise SwiftctlError(f"this fzf is {found[0]}.{found[1]}: {OLDEST[0]}.{OLDEST[1]} or later is needed")
    return [word for since, words in SINCE.items() if since <= found for word in words]


def _version() -> tuple[int, int]:
    """What fzf says of its version; the oldest that will do if it can't be understood."""
    try:
        said = subprocess.run(
            ["fzf", "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return OLDEST
    found = re.match(rb"(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else OLDEST


def _choose(options: Options, text: str, header: list[str], later: list[str]) -> Choice | None:
    """Show fzf; None if it was left.

    Raises:
        SwiftctlError: it failed.

    """
    environment = {**os.environ, "SHELL": "/bin/sh"}
    if options.socket:
        environment["SWIFT_SOCKET"] = os.path.abspath(options.socket)  # noqa: PTH100
    start = "" if options.start else " --no-start"
    words = command(f"{own.quoted()}{start}", text, "\n".join(map(show.harmless, header)))
    try:
        done = subprocess.run(
            [*words, *later], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, check=False
        )
    except OSError as error:
        raise SwiftctlError(f"fzf can't be started: {error.strerror}") from None
    if done.returncode == FAILED:
        raise SwiftctlError("fzf failed: what it says may be about options in FZF_DEFAULT_OPTS")
    if done.returncode < 0:
        raise SwiftctlError(f"fzf was ended by signal {-done.returncode}")
    if done.returncode not in (ACCEPTED, NO_MATCH):
        return None
    return Choice(done.stdout.decode(errors="replace"))


def _ask(options: Options, choice: Choice) -> str:
    """Ask the text that was typed, as the rows were another's; the key of the row that is meant, or nothing."""
    _, answer = query.ask(options, choice.text)
    keys: dict[str, str] = {show.harmless(item["name"]): item["key"] for item in reversed(answer["items"])}
    first: str = answer["items"][0]["key"] if answer["items"] else ""
    return keys.get(choice.name, first) if choice.key else first


def _unpacked(asked: str) -> str | None:
    try:
        return bytes.fromhex(asked).decode(errors="replace")
    except ValueError:
        return None


def _hints(options: Options) -> list[str]:
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        return hints.lines(connection.ask({"op": "plugins"})[1]["plugins"])
    finally:
        connection.close()
