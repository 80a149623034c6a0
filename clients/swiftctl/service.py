"""`swiftctl service`: swiftd as a service of the user's systemd, started by the first connection to its socket.

Whether the service can start is tried at once. Where the kernel or the distribution keeps user namespaces from users,
it is installed again without what needs them; where it does not start even so, nothing of it stays.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, Options, SwiftctlError, launch, show, stop
from swiftd import paths

SOCKET, SERVICE = UNITS = ("swiftd.socket", "swiftd.service")
PATIENCE = 20.0
"""Seconds for the user manager to do what it is told."""
NEEDS_NAMESPACES = "# What takes a user namespace"
"""How the part of the service begins that not every kernel allows; it ends at the next section."""

_PLAIN_WORD = re.compile(r"[\w/.,+@=~-]+", re.ASCII)
_NO_PROGRAM = re.compile(r"""[\x00-\x1f\x7f-\x9f"'\\\ud800-\udfff]""")
"""What systemd takes in no program's path, quoted or not."""


def run(options: Options) -> int:
    """Install, uninstall or show the units.

    Raises:
        SwiftctlError: it can't be done.

    """
    if options.tool == "status":
        return _status()
    if why := paths.refusal(folder().resolve()):  # resolved, as one's own units may be a link to one's own dotfiles
        raise SwiftctlError(f"cannot change {folder()}: {why}. Run it as the user whose service it is")
    try:
        return _install(plain=options.plain) if options.tool == "install" else _uninstall()
    except OSError as error:
        raise SwiftctlError(f"cannot change {error.filename}: {error.strerror}") from None


def is_installed() -> bool:
    """Whether the user's systemd knows swiftd."""
    data = paths.base("XDG_DATA_HOME", ".local/share") / "systemd" / "user"
    system = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
    return any((place / SOCKET).exists() for place in (folder(), data, *map(Path, system)))


def has_manager() -> bool:
    """Whether there is a user manager to talk to, and it is ours: `sudo -E` leads to another user's."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    try:
        ours = runtime.stat().st_uid == os.geteuid() and (runtime / "systemd" / "private").exists()
    except OSError:
        return False
    return ours and shutil.which("systemctl") is not None


def systemctl(*words: str, patience: float = PATIENCE) -> str:
    """Tell the user manager something, and wait for so many seconds at most until it is done: what it answers.

    Raises:
        SwiftctlError: it does not do it.

    """
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise SwiftctlError(f"`{' '.join(command)}` takes longer than {round(patience, 1):g} s") from None
    except OSError as error:
        raise SwiftctlError(f"`{' '.join(command)}` failed: {error.strerror}") from None
    if done.returncode:
        why = done.stderr.strip() or f"status {done.returncode}"
        raise SwiftctlError(f"`{' '.join(command)}` failed: {why}")
    return done.stdout


def is_active(unit: str) -> bool:
    """Whether the user manager has a unit running, or on its way to run or to end."""
    with suppress(SwiftctlError):
        state = systemctl("show", "--property=ActiveState", "--value", unit).strip()
        return state not in ("inactive", "failed", "")
    return False


def folder() -> Path:
    """Where the user's own units lie."""
    return paths.base("XDG_CONFIG_HOME", ".config") / "systemd" / "user"


def unit(name: str, *, plain: bool = False) -> str:
    """A unit's text, with the path of this installation's swiftd.

    Raises:
        SwiftctlError: systemd can't start a program with such a path.

    """
    packaged = Path(__file__).with_name("systemd")
    source = packaged if packaged.is_dir() else Path(__file__).parents[2] / "systemd"
    text = (source / name).read_text("utf-8")
    if "ExecStart=swiftd\n" in text:
        text = text.replace("ExecStart=swiftd\n", f"ExecStart={_command(launch.find())}\n")
    if plain and NEEDS_NAMESPACES in text:
        before, _, rest = text.partition(NEEDS_NAMESPACES)
        text = before + rest[rest.index("[Install]") :]
    return text


def _command(words: list[str]) -> str:
    """A unit's command line (systemd.service(5)). The colon keeps systemd from replacing `$`."""
    if _NO_PROGRAM.search(words[0]):
        raise SwiftctlError(f"systemd takes no program whose path has such characters: {words[0]!r}")
    return ("" if _PLAIN_WORD.fullmatch(words[0]) else ":") + " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    return word if _PLAIN_WORD.fullmatch(word) else f'"{word.replace("%", "%%")}"'


def _install(*, plain: bool) -> int:
    was_there = is_installed()
    _write(plain=plain)
    show.write(f"{folder()}: {SOCKET} and {SERVICE} are installed\n".encode(errors="replace"))
    if not has_manager():
        show.complain(f"no user manager of systemd is running here: from the next login on, {SOCKET} can be enabled")
        show.complain(f"then: systemctl --user enable --now {SOCKET}")
        return STATUS_ANSWER
    if was_there:
        _halt()
    stop.by_hand(launch.session_socket(), Options())  # it would go on without a socket that anybody finds
    try:
        _begin()
    except SwiftctlError as error:
        if plain:
            _give_up(error)
        show.complain(f"{error}\ntrying again without what takes a user namespace, as with --plain")
        _halt()
        _write(plain=True)
        try:
            _begin()
        except SwiftctlError as another:
            _give_up(another)
        show.complain(f"that works: {SERVICE} is installed without what takes a user namespace")
    show.write(f"swiftd is running, and {SOCKET} starts it at need from now on\n".encode())
    return STATUS_ANSWER


def _write(*, plain: bool) -> None:
    texts = {name: unit(name, plain=plain) for name in UNITS}
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in texts.items():
        (place / name).write_text(text, "utf-8")


def _begin() -> None:
    """Have the user manager listen from now on, and start swiftd to see whether it can."""
    systemctl("daemon-reload")
    systemctl("enable", "--now", SOCKET)
    systemctl("start", SERVICE)


def _halt() -> None:
    """Stop what runs of an earlier installation, and forget how it failed."""
    for words in (("stop", *UNITS), ("reset-failed", *UNITS)):
        with suppress(SwiftctlError):  # it may not have been loaded
            systemctl(*words)


def _give_up(error: SwiftctlError) -> None:
    _remove([name for name in UNITS if (folder() / name).exists()])
    raise SwiftctlError(f"{error}\nthe units are removed again: swiftctl starts swiftd itself") from None


def _uninstall() -> int:
    place = folder()
    present = [name for name in UNITS if (place / name).exists()]
    if not present:
        show.complain(f"there is no unit of swiftd in {place}")
        return STATUS_EMPTY
    _remove(present)
    show.write(
        f"{place}: {' and '.join(present)} {'is' if len(present) == 1 else 'are'} gone\n".encode(errors="replace")
    )
    return STATUS_ANSWER


def _remove(present: list[str]) -> None:
    if has_manager():
        try:
            systemctl("disable", "--now", *present)
        except SwiftctlError as error:
            show.complain(str(error))
    place = folder()
    for name in present:
        (place / name).unlink()
    for link in place.glob("*.wants/swiftd.*"):  # nobody to disable them: they would point nowhere
        if link.name in UNITS and link.is_symlink():
            link.unlink()
    if has_manager():
        with suppress(SwiftctlError):
            systemctl("reset-failed", *present)
        systemctl("daemon-reload")


def _status() -> int:
    if not is_installed():
        show.complain("swiftd is no service: `swiftctl service install` makes it one")
        return STATUS_EMPTY
    if not has_manager():
        show.complain("the units are installed, but no user manager of systemd is running here")
        return STATUS_EMPTY
    command = ["systemctl", "--user", "--no-pager", "status", *UNITS]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
        systemctl("--quiet", "is-active", SOCKET)  # the service itself may well have nothing to do yet
    except subprocess.TimeoutExpired:
        raise SwiftctlError(f"`{' '.join(command)}` takes longer than {PATIENCE:.3g} s") from None
    except SwiftctlError:
        return STATUS_EMPTY
    return STATUS_ANSWER
