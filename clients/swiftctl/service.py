"""`swiftctl service`: swiftd as a service of the user's systemd, started by the first connection to its socket."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, SwiftctlError, launch, show, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

UNITS = ("swiftd.socket", "swiftd.service")
PATIENCE = 20.0
"""Seconds for the user manager to do what it is told."""
NEEDS_NAMESPACES = "# What takes a user namespace"
"""How the part of the service begins that not every kernel allows; it ends at the next section."""


def run(options: Options) -> int:
    """Install, uninstall or show the units.

    Raises:
        SwiftctlError: it can't be done.

    """
    if options.tool == "install":
        return _install(options)
    if options.tool == "uninstall":
        return _uninstall()
    return _status()


def is_installed() -> bool:
    """Whether the user's systemd would start swiftd for a connection."""
    places = (folder(), Path("/etc/systemd/user"), Path("/usr/lib/systemd/user"), Path("/usr/local/lib/systemd/user"))
    return any((place / UNITS[0]).exists() for place in places)


def has_manager() -> bool:
    """Whether there is a user manager to talk to."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return bool(runtime and Path(runtime, "systemd", "private").exists() and shutil.which("systemctl"))


def systemctl(*words: str) -> None:
    """Tell the user manager something.

    Raises:
        SwiftctlError: it does not do it.

    """
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SwiftctlError(f"`{' '.join(command)}` failed: {error}") from None
    if done.returncode:
        why = done.stderr.strip() or f"status {done.returncode}"
        raise SwiftctlError(f"`{' '.join(command)}` failed: {why}")


def folder() -> Path:
    """Where the user's own units lie."""
    chosen = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".config") / "systemd" / "user"


def unit(name: str, *, plain: bool = False) -> str:
    """A unit's text, with the path of this installation's swiftd."""
    packaged = Path(__file__).with_name("systemd")
    source = packaged if packaged.is_dir() else Path(__file__).parents[2] / "systemd"
    text = (source / name).read_text("utf-8")
    command = " ".join(_quoted(word) for word in launch.find())
    text = text.replace("ExecStart=swiftd\n", f"ExecStart={command}\n")
    if plain and NEEDS_NAMESPACES in text:
        before, _, rest = text.partition(NEEDS_NAMESPACES)
        text = before + rest[rest.index("[Install]") :]
    return text


def _quoted(word: str) -> str:
    """A word of a unit's command line (systemd.service(5))."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word or '"' in word else word


def _install(options: Options) -> int:
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    for name in UNITS:
        (place / name).write_text(unit(name, plain=options.plain), "utf-8")
    show.write(f"{place}: {' and '.join(UNITS)} are installed\n".encode(errors="replace"))
    if not has_manager():
        show.complain(
            "no user manager of systemd is running here: from the next login on, swiftd.socket can be enabled"
        )
        show.complain("then: systemctl --user enable --now swiftd.socket")
        return STATUS_ANSWER
    stop.run(options)  # one that was started by hand would keep the socket
    systemctl("daemon-reload")
    systemctl("enable", "--now", UNITS[0])
    show.write(b"swiftd.socket is listening: the first query starts swiftd\n")
    return STATUS_ANSWER


def _uninstall() -> int:
    place = folder()
    present = [name for name in UNITS if (place / name).exists()]
    if not present:
        show.complain(f"there is no unit of swiftd in {place}")
        return STATUS_EMPTY
    if has_manager():
        systemctl("disable", "--now", *UNITS)
    for name in present:
        (place / name).unlink()
    if has_manager():
        systemctl("daemon-reload")
    show.write(f"{place}: {' and '.join(present)} are gone\n".encode(errors="replace"))
    return STATUS_ANSWER


def _status() -> int:
    if not is_installed():
        show.complain("swiftd is no service: `swiftctl service install` makes it one")
        return STATUS_EMPTY
    if not has_manager():
        show.complain("the units are installed, but no user manager of systemd is running here")
        return STATUS_EMPTY
    done = subprocess.run(["systemctl", "--user", "--no-pager", "status", *UNITS], timeout=PATIENCE, check=False)
    return STATUS_ANSWER if done.returncode == 0 else STATUS_EMPTY
