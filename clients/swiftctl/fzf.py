"""`swiftctl fzf`: ask and choose in a terminal, with results that follow each key.

fzf runs `swiftctl query --tsv` at every change, ending the one before, and shows the names; the key stays hidden in
the first column, and comes back with the choice. The preview says what Enter would start. fzf runs its commands by
`$SHELL` and quotes for a POSIX shell, so it gets one; what the user starts gets the user's own again, since it is
started here, after fzf.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, SwiftctlError, hints, own, show
from swiftctl import run as starter
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

NO_MATCH, FAILED, LEFT = 1, 2, 130
"""fzf's exit status."""


def run(options: Options) -> int:
    """Run fzf, and start what was chosen.

    Raises:
        SwiftctlError: there is no fzf, or no terminal.

    """
    if not shutil.which("fzf"):
        raise SwiftctlError("fzf is not installed: install it, or use `swiftctl menu`")
    try:
        Path("/dev/tty").open("rb").close()
    except OSError:
        raise SwiftctlError("there is no terminal for fzf: use `swiftctl menu`") from None
    header = _hints(options)
    environment = {**os.environ, "SHELL": "/bin/sh"}
    if options.socket:
        environment["SWIFT_SOCKET"] = os.path.abspath(options.socket)  # noqa: PTH100
    start = "" if options.start else " --no-start"
    try:
        done = subprocess.run(
            command(f"{own.quoted()}{start}", options.text, header),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise SwiftctlError(f"fzf can't be started: {error.strerror}") from None
    if done.returncode == FAILED:
        raise SwiftctlError("fzf failed: version 0.38 or later is needed")
    if done.returncode < 0:
        raise SwiftctlError(f"fzf was ended by signal {-done.returncode}")
    key, tab, _ = done.stdout.decode(errors="replace").partition("\t")
    if done.returncode in (NO_MATCH, LEFT) or not tab:
        return STATUS_EMPTY
    item = starter.activate(options, key)
    if starter.start(item):
        return STATUS_ANSWER
    show.complain(starter.nothing_to_run(item))
    return STATUS_EMPTY


def command(swiftctl: str, text: str, header: str) -> list[str]:
    """The command line of fzf. Ours comes after the user's FZF_DEFAULT_OPTS, and counts."""
    # What the plugins complain of becomes a row as well; without a tab, it is its own last column.
    reload = f"reload:{swiftctl} query --tsv -- {{q}} 2>&1 || true"
    return [
        "fzf",
        "--disabled",
        "--no-multi",
        "--no-select-1",
        "--no-exit-0",
        "--no-print-query",
        "--layout=reverse",
        "--delimiter=\t",
        "--with-nth=-1",
        "--prompt=swift> ",
        f"--header={header}",
        f"--query={text}",
        f"--bind=start:{reload}",
        f"--bind=change:{reload}",
        f"--preview={swiftctl} item -- {{1}} 2>/dev/null || echo 'Enter starts nothing here'",
        "--preview-window=down,3,wrap",
    ]


def _hints(options: Options) -> str:
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        plugins = connection.ask({"op": "plugins"})[1]["plugins"]
    finally:
        connection.close()
    return "\n".join(show.harmless(line) for line in hints.lines(plugins))
