"""`swiftctl menu`: ask and choose in dmenu or one of its kin.

Such a menu reads rows and prints the one chosen, or what was typed instead; nothing follows a key. So there are two
steps: a menu to type into, then one with the answer. Typing something else there asks that. It goes on until an item
is run or the menu is left.

What is to be said, such as what may be typed or that nothing was found, is rows as well, as not every menu shows its
prompt. They start nothing: choosing one asks again, or what it tells of.

All menus print a row's text, few its number. rows.py knows which row is meant, and keeps them apart from each other
and from what is typed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, DaemonError, SwiftctlError, hints, notes, show
from swiftctl import run as starter
from swiftctl.rows import Rows
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftctl import Options

LINES = "15"

WOFI = ["wofi", "--dmenu", "--insensitive", "--cache-file", os.devnull]
"""No cache: it would move rows that were chosen before to the top."""
WOFI += ["--matching=contains", "--define=allow_markup=false", "--define=allow_images=false"]
"""A row is text, whatever the user has set for rows of other programs."""

LITERAL = {
    "fuzzel": {"--match-mode": "exact", "--no-fuzzy": ""},
    "tofi": {"--matching-algorithm": "normal", "--fuzzy-match": "false"},
}
"""Options, of which each version has one: a fuzzy search finds hints for nearly everything that is typed."""
HELP_PATIENCE = 5.0
"""Seconds for a menu to print its options."""

TOOLS: dict[str, Callable[[str], list[str]]] = {
    "dmenu": lambda prompt: ["dmenu", "-i", "-l", LINES, "-p", prompt],
    "bemenu": lambda prompt: ["bemenu", "-i", "-l", LINES, "-p", prompt],
    "rofi": lambda prompt: ["rofi", "-dmenu", "-i", "-matching", "normal", "-l", LINES, "-p", prompt],
    "wofi": lambda prompt: [*WOFI, "--prompt", prompt],
    "fuzzel": lambda prompt: ["fuzzel", "--dmenu", f"--lines={LINES}", f"--prompt={prompt}> "],
    "tofi": lambda prompt: ["tofi", "--require-match=false", f"--prompt-text={prompt}: "],
    "walker": lambda prompt: ["walker", "--dmenu", "--placeholder", prompt],
}
WAYLAND = ("fuzzel", "wofi", "tofi", "bemenu", "walker", "rofi")
X11 = ("rofi", "dmenu", "bemenu")

PROMPT_MAX = 40

WAIT_MS = 2000
"""For plugins that are compiling: longer than that, and it is better to say so."""


def run(options: Options) -> int:
    """Ask, choose, run."""
    tool = options.tool or find()
    check(tool)
    literal = literally(tool)
    text, note = show.harmless(options.text), ""
    while True:
        prompt, rows = answer(options, text, note) if text else first(options, note)
        chosen = ask([*TOOLS[tool](prompt), *literal], list(rows))
        if chosen is None:
            return STATUS_EMPTY
        row, note = rows.find(chosen), ""
        if row is None:
            text = chosen
            continue
        if not row.key:
            text = row.asks
            continue
        try:
            if starter.start(starter.activate(options, row.key)):
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


def literally(tool: str) -> list[str]:
    """The options by which this version of the menu shows rows that contain what is typed, and no others."""
    if tool not in LITERAL:
        return []
    try:
        done = subprocess.run([tool, "--help"], capture_output=True, check=False, timeout=HELP_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return []
    said = (done.stdout + done.stderr).decode(errors="replace")
    known = ((option, value) for option, value in LITERAL[tool].items() if option in said)
    return next(([f"{option}={value}" if value else option] for option, value in known), [])


def first(options: Options, note: str = "") -> tuple[str, Rows]:
    """What to show before anything is asked: a prompt with what may be typed, in short, and rows with examples."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        plugins = connection.ask({"op": "plugins"})[1]["plugins"]
    finally:
        connection.close()
    rows = Rows()
    for told, trigger in [*([(note, "")] if note else []), *hints.rows(plugins)]:
        rows.add_note(told, trigger)
    return _prompt(f"swift {hints.triggers(plugins)}".rstrip()), rows


def answer(options: Options, text: str, note: str = "") -> tuple[str, Rows]:
    """What to show for the text: a prompt, and the rows."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        results = connection.ask({"op": "query", "input": text, "wait_ms": WAIT_MS})[1]
    finally:
        connection.close()
    for error in results["errors"]:
        show.complain(f"{error['plugin']}: {error['message']} ({error['code']})")
    rows = Rows()
    if note:
        rows.add_note(note, text)
    for item in results["items"]:
        rows.add_item(item["name"], item["key"])
    for line in notes.of(results):
        rows.add_note(line, text)
    return _prompt(text), rows


def ask(command: list[str], rows: list[str]) -> str | None:
    """Show the menu; the row chosen or the text typed, or None if it was left.

    Raises:
        SwiftctlError: the menu could not be shown.

    """
    lines = "".join(f"{row}\n" for row in rows).encode(errors="replace")
    try:
        done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise SwiftctlError(f"{command[0]} can't be started: {error.strerror}") from None
    if done.returncode < 0:
        raise SwiftctlError(f"{command[0]} was ended by signal {-done.returncode}")
    said = done.stdout.decode(errors="replace").split("\n")[0]
    return said if said.strip() else None


def _prompt(text: str) -> str:
    text = show.harmless(text)
    return text if len(text) <= PROMPT_MAX else f"{text[: PROMPT_MAX - 1]}…"
