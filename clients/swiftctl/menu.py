"""`swiftctl menu`: ask and choose in dmenu or one of its kin.

Such a menu reads rows and prints the one chosen, or what was typed instead; nothing follows a key. So there are two
steps: an empty menu to type into, then one with the answer. Typing something else there asks that. It goes on until
an item is run or the menu is left.

All of them print a row's text, few its number. So no two rows have the same text: the second gets ` (2)`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, DaemonError, SwiftctlError, hints, show
from swiftctl import run as starter
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftctl import Options
    from swiftctl.jsonlines import Message

LINES = "15"

TOOLS: dict[str, Callable[[str], list[str]]] = {
    "dmenu": lambda prompt: ["dmenu", "-i", "-l", LINES, "-p", prompt],
    "bemenu": lambda prompt: ["bemenu", "-i", "-l", LINES, "-p", prompt],
    "rofi": lambda prompt: ["rofi", "-dmenu", "-i", "-l", LINES, "-p", prompt],
    # No cache: it would move rows that were chosen before to the top.
    "wofi": lambda prompt: ["wofi", "--dmenu", "--insensitive", "--cache-file", os.devnull, "--prompt", prompt],
    "fuzzel": lambda prompt: ["fuzzel", "--dmenu", f"--lines={LINES}", f"--prompt={prompt}> "],
    "tofi": lambda prompt: ["tofi", "--require-match=false", f"--prompt-text={prompt}: "],
    "walker": lambda prompt: ["walker", "--dmenu", "--placeholder", prompt],
}
WAYLAND = ("fuzzel", "wofi", "tofi", "bemenu", "walker", "rofi")
X11 = ("rofi", "dmenu", "bemenu")

NAME_MAX = 200
"""Characters of a row. dmenu cuts what it reads into pieces of some thousand bytes."""
PROMPT_MAX = 40

WAIT_MS = 2000
"""For plugins that are compiling: longer than that, and it is better to say so."""


def run(options: Options) -> int:
    """Ask, choose, run."""
    tool = options.tool or find()
    check(tool)
    text, note = options.text, ""
    while True:
        prompt, rows = answer(options, text) if text else (triggers(options), {})
        chosen = ask(tool, note or prompt, list(rows))
        if chosen is None:
            return STATUS_EMPTY
        note = ""
        if chosen not in rows:
            text = chosen
            continue
        try:
            if starter.start(starter.activate(options, rows[chosen])):
                return STATUS_ANSWER
            note = "nothing to run there"
        except DaemonError:  # the answer is too old, or of an earlier daemon
            note = "too old: choose again"


def find() -> str:
    """The first menu that is installed, of those for this session.

    Raises:
        SwiftctlError: there is none.

    """
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if not wayland and not x11:
        raise SwiftctlError("no menu without a graphical session: `swiftctl fzf` works in a terminal")
    fitting = WAYLAND if wayland else X11
    for tool in fitting:
        if shutil.which(tool):
            return tool
    raise SwiftctlError(f"no menu found: install one of {', '.join(fitting)}, or use `swiftctl fzf` in a terminal")


def check(tool: str) -> None:
    """Refuse a menu that can't work.

    Raises:
        SwiftctlError: why.

    """
    if not shutil.which(tool):
        raise SwiftctlError(f"{tool} is not installed: install it, or let `swiftctl menu` find another one")


def triggers(options: Options) -> str:
    """The prompt of the empty menu: what may be typed, in short."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        short = hints.triggers(connection.ask({"op": "plugins"})[1]["plugins"])
        return _cut(show.harmless(f"swift {short}".rstrip()), PROMPT_MAX)
    finally:
        connection.close()


def answer(options: Options, text: str) -> tuple[str, dict[str, str]]:
    """What to show for the text: a prompt, and the rows with their keys."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        results = connection.ask({"op": "query", "input": text, "wait_ms": WAIT_MS})[1]
    finally:
        connection.close()
    for error in results["errors"]:
        show.complain(f"{error['plugin']}: {error['message']} ({error['code']})")
    if results["items"]:
        prompt = text
    elif results["errors"]:
        prompt = "{plugin}: {message}".format_map(results["errors"][0])
    else:
        prompt = f"nothing: {text}"
    return _cut(show.harmless(prompt), PROMPT_MAX), unique(results["items"])


def unique(items: list[Message]) -> dict[str, str]:
    """A row for each item, with its key."""
    rows: dict[str, str] = {}
    for item in items:
        name = row = _cut(show.harmless(item["name"]).strip(), NAME_MAX) or "(no name)"
        number = 1
        while row in rows:
            number += 1
            row = f"{name} ({number})"
        rows[row] = item["key"]
    return rows


def ask(tool: str, prompt: str, rows: list[str]) -> str | None:
    """Show the menu; the row chosen or the text typed, or None if it was left.

    Raises:
        SwiftctlError: the menu could not be shown.

    """
    lines = "".join(f"{row}\n" for row in rows).encode(errors="replace")
    try:
        done = subprocess.run(TOOLS[tool](prompt), input=lines, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise SwiftctlError(f"{tool} can't be started: {error.strerror}") from None
    if done.returncode < 0:
        raise SwiftctlError(f"{tool} was ended by signal {-done.returncode}")
    said = done.stdout.decode(errors="replace").split("\n")[0]
    return said.strip() or None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
