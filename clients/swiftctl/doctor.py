"""`swiftctl doctor`: whether everything is there that front ends need, and what to do where it is not.

A finding is good, trouble, or something that could be better but that nothing depends on. Only trouble makes the
exit status 1.
"""

from __future__ import annotations

import os
import shutil
import stat
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, SwiftctlError, clipboard, menu, opener, own, service, show
from swiftctl.wire import PROTOCOL, connect
from swiftd import __version__, paths
from swiftd.exposure import exposed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    from swiftctl import Options
    from swiftctl.jsonlines import Message

    Finding = tuple[Literal["good", "trouble", "note"], str, str]
    """How it is, what it is about, and what to do."""

MARKS = {"good": ("ok", "green"), "trouble": ("!!", "red"), "note": ("--", "yellow")}

RESTART = "end it with `swiftctl stop`: the next query starts another"


def run(options: Options) -> int:
    """Check everything and print what is found."""
    status = STATUS_ANSWER
    for kind, what, advice in findings(options):
        mark, colour = MARKS[kind]
        line = show.harmless(f"{what}: {advice}" if advice else what)
        show.write(f"{show.colour(mark, colour)}  {line}\n".encode(errors="replace"))
        if kind == "trouble":
            status = STATUS_EMPTY
    return status


def findings(options: Options) -> Iterator[Finding]:
    """All of them, in the order in which to mend them."""
    yield from folders(paths.defaults(), usual_socket=not (options.socket or os.environ.get("SWIFT_SOCKET")))
    yield from daemon(options)
    yield from programs()
    yield from units()


def daemon(options: Options) -> Iterator[Finding]:
    """Whether it answers, is of this version, and has its plugins well."""
    try:
        connection = connect(options, time.monotonic() + options.timeout)
    except SwiftctlError as error:
        yield "trouble", "no daemon", str(error)
        return
    try:
        hello = connection.ask({"op": "hello", "protocol": PROTOCOL})[1]
        answer = connection.ask({"op": "plugins"})[1]
    except SwiftctlError as error:
        yield "trouble", f"the daemon at {connection.path} does not answer as expected", f"{error}; {RESTART}"
        return
    finally:
        connection.close()
    yield "good", f"daemon: {hello['server']} {hello['version']} at {connection.path}", ""
    if hello["version"] != __version__:
        yield "trouble", f"the daemon is {hello['version']}, swiftctl {__version__}", RESTART
    if problem := answer.get("problem"):
        yield "trouble", f"config.toml: {problem}", "mend it: until then the daemon goes by what it read before"
    for trouble in answer.get("troubles", ()):
        yield "trouble", trouble, "mend it: until then its plugins stay as they were"
    for notice in answer.get("notices", ()):
        yield "note", f"config.toml, {notice}", "it has no effect until there is one"
    yield from plugins(answer["plugins"])


def plugins(listed: list[Message]) -> Iterator[Finding]:
    """Those in trouble, those that are on their way, and the names of the others."""
    well = [plugin["name"] for plugin in listed if plugin["state"] == "ready"]
    for plugin in listed:
        name, state, error = plugin["name"], plugin["state"], plugin["error"] or ""
        if state in ("refused", "failing"):
            yield "trouble", f"plugin {name} is {state}: {error}", f"mend, update or remove {plugin['path']}"
        elif state in ("found", "compiling"):
            yield "note", f"plugin {name} is being compiled", "it answers in a moment"
    if well:
        yield "good", f"plugins: {', '.join(well)}", ""
    elif not listed:
        yield "trouble", "no plugin is ready", f"put .wasm files into {paths.defaults().plugins}"
    elif all(plugin["state"] == "disabled" for plugin in listed):
        yield "trouble", "no plugin is ready, all are switched off", "`swiftctl enable` switches one on"


def folders(places: paths.Paths, *, usual_socket: bool) -> Iterator[Finding]:
    """Whether they are ours, and as private as they must be. Where a chosen socket lies is the user's affair."""
    if usual_socket:
        yield from (("note", note, "") for note in paths.socket_notes())
        yield from folder("socket", places.socket.parent, 0o077)
    if note := paths.cache_note():
        yield "trouble", note, "choose another HOME or XDG_CACHE_HOME"
    else:
        yield from folder("cache", places.cache, 0o077)
    for name, path in (("configuration", places.config.parent), ("plugins", places.plugins)):
        yield from folder(name, path, 0o022)


def folder(name: str, path: Path, forbidden: int) -> Iterator[Finding]:
    """One folder, whose mode must have none of the forbidden bits. It is made when it is needed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        yield "good", f"{name} folder: {path}, not made yet", ""
        return
    except OSError as error:
        yield "trouble", f"{name} folder: {path}: {error.strerror}", "choose another place, or make it readable"
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        yield "trouble", f"{name} folder: {path} is not a folder", "remove it"
    elif found.st_uid != os.geteuid():
        yield "trouble", f"{name} folder: {path} belongs to user {found.st_uid}", "choose another place"
    elif mode & forbidden:
        who = "enter" if forbidden & 0o005 else "write into"
        yield "trouble", f"{name} folder: others can {who} {path} ({mode:04o})", f"chmod {mode & ~forbidden:o} {path}"
    elif why := exposed(str(path)):
        yield "trouble", f"{name} folder: {path}: {why}", "mend that, or choose another place"
    else:
        yield "good", f"{name} folder: {path} ({mode:04o})", ""


def programs() -> Iterator[Finding]:
    """The desktop's tools that front ends and items use."""
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if wayland or x11:
        yield any_of("menu", menu.WAYLAND if wayland else menu.X11, "install one of them")
        tools = clipboard.WAYLAND if wayland else clipboard.X11
        yield any_of("clipboard", tuple(tool[0] for tool in tools), "install one: items that copy need it")
    else:
        yield "note", "no graphical session", "menus and the clipboard need WAYLAND_DISPLAY or DISPLAY"
    yield any_of("terminal menu", ("fzf",), "install it for `swiftctl fzf`", needed=False)
    yield any_of("opener", tuple(tool[0] for tool in opener.TOOLS), "install one: items that open files need it")
    if found := shutil.which("swiftctl"):
        yield "good", f"swiftctl: {found}", ""
    elif place := own.folder():
        yield "note", "swiftctl is not in PATH", f"add {place} to it, so that menus and their commands find it"


def any_of(name: str, tools: tuple[str, ...], advice: str, *, needed: bool = True) -> Finding:
    """Whether one of them is installed."""
    if found := [tool for tool in tools if shutil.which(tool)]:
        return "good", f"{name}: {', '.join(found)}", ""
    return "trouble" if needed else "note", f"{name}: none of {', '.join(tools)} is installed", advice


def units() -> Iterator[Finding]:
    """Whether systemd can start the daemon."""
    if not service.has_manager():
        yield "note", "no systemd user manager here", "swiftctl starts the daemon itself"
    elif service.is_installed():
        yield "good", "systemd units: installed", ""
    else:
        yield "note", "systemd units: not installed", "`swiftctl service install` lets systemd start the daemon"
