"""Where things live. The only module that knows the folder names.

The environment names folders, and may name another user's: `sudo -E` and `su` keep what belonged to whoever called.
What this user makes there, the other one could never write again; what the other one made could be swapped under us.
So nothing of ours is made or used in a folder of another user (as pip does with its cache), or where others could swap
it (exposure.py). The socket goes to the next place that its rule knows, the cache to a temporary one, and nothing is
remembered in a state folder. The configuration and the plugins are never made, and where others could have put them,
they are not read.

The socket's path is wanted by the client too, at every call: wire.py has the same rule without pathlib.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from swiftd.exposure import exposed
from swiftd.text import harmless

APP = "swift"

LOGIND = "/run/user"
"""Where logind makes each user's runtime folder. Nobody else makes one there."""

SHARED = stat.S_ISVTX | stat.S_IWOTH
"""The mode of a folder that is meant for all, such as /tmp: each may add, and nobody touches what another added."""


class UnsafeFolderError(OSError):
    """A folder that must be private is not, or belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Every place the daemon reads or writes, absolute."""

    config: Path
    plugins: Path
    bundled: Path
    cache: Path
    state: Path
    socket: Path


def default_socket() -> Path:
    """The daemon's socket: `$SWIFT_SOCKET`, or `swiftd.sock` in the first of these folders that is or can be ours.

    `swift` in the session's runtime folder (`XDG_RUNTIME_DIR`); `swift` in the one that logind gives; a private one,
    named by the user's number so that the client finds it again, in `TMPDIR` or /tmp.
    """
    if chosen := os.environ.get("SWIFT_SOCKET"):
        return Path(chosen).absolute()
    return _runtime()[0] / "swiftd.sock"


def socket_notes() -> list[str]:
    """What the environment names for the socket and is not used, and why."""
    return [] if os.environ.get("SWIFT_SOCKET") else _runtime()[1]


def defaults() -> Paths:
    """The places for this user, by the environment; nothing is made, and only the socket's is looked at."""
    config = base("XDG_CONFIG_HOME", ".config") / APP
    return Paths(
        config=config / "config.toml",
        plugins=config / "plugins",
        bundled=bundled_plugins(),
        cache=base("XDG_CACHE_HOME", ".cache") / APP,
        state=base("XDG_STATE_HOME", ".local/state") / APP,
        socket=default_socket(),
    )


def base(variable: str, otherwise: str) -> Path:
    """A folder that an XDG variable names, or that place below home. Relative ones don't count."""
    chosen = Path(os.environ.get(variable, ""))
    return chosen if chosen.is_absolute() else home() / otherwise


def home() -> Path:
    """The user's home folder; `/`, as containers have it, where neither HOME nor the list of users names one."""
    return _home() or Path("/")


def cache_note() -> str | None:
    """Why there is no cache that lasts; None if there is one."""
    if not (why := refusal(base("XDG_CACHE_HOME", ".cache") / APP)):
        return None
    missing = "" if _home() else f" (HOME is not set, and user {os.geteuid()} is not in the list of users)"
    return f"no cache, so each start compiles every plugin anew: {why}{missing}"


def _home() -> Path | None:
    chosen = os.environ.get("HOME", "")
    if not chosen.startswith("/"):
        try:
            chosen = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            chosen = ""
    return Path(chosen) if chosen.startswith("/") else None


def temporary() -> Path:
    """The folder for what need not last: `TMPDIR`, if it is ours or meant for all, else /tmp."""
    chosen = Path(os.environ.get("TMPDIR", ""))
    try:
        found = chosen.stat()
    except OSError:
        found = None
    fits = found is not None and chosen.is_absolute() and _is_ours_or_shared(found)
    return chosen if fits and os.access(chosen, os.W_OK | os.X_OK) else Path("/tmp")  # noqa: S108


def _is_ours_or_shared(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and (found.st_uid == os.geteuid() or found.st_mode & SHARED == SHARED)


def _runtime() -> tuple[Path, list[str]]:
    """The folder of the socket, and what the environment names for it and is not used."""
    session, temporary = os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("TMPDIR", "")
    own = f"{APP}-{os.geteuid()}"
    places = [("XDG_RUNTIME_DIR", session, APP), ("", f"{LOGIND}/{os.geteuid()}", APP), ("TMPDIR", temporary, own)]
    notes: list[str] = []
    for variable, place, name in places:
        why = _against(place, name, shared=name == own)
        if why is None:
            return Path(place, name), notes
        if variable and place:
            notes.append(f"{variable} is not used: {why}")
    return Path("/tmp", own), notes  # noqa: S108 - made private below


def _against(place: str, name: str, *, shared: bool) -> str | None:
    """What speaks against the folder `name` in a place for the socket; None for nothing.

    The place must be ours. If `shared`, it may also be meant for all, but must be there.
    """
    if not place.startswith("/"):
        return f"{place!r} is no absolute path"
    try:
        above = os.stat(place)  # noqa: PTH116 - as in wire.py
    except OSError:
        return None if not shared and _can_be_made(place) else f"there is no {place}, and it is not ours to make"
    if not stat.S_ISDIR(above.st_mode):
        return f"{place} is not a folder"
    if above.st_uid != os.geteuid() and not (shared and _is_ours_or_shared(above)):
        return _belongs(place, above)
    return _against_ours(place, f"{place}/{name}")


def _against_ours(place: str, folder: str) -> str | None:
    try:
        found = os.lstat(folder)
    except OSError:
        return None if os.access(place, os.W_OK | os.X_OK) else f"{place} can't be written"
    if found.st_uid != os.geteuid():
        return _belongs(folder, found)
    return None if stat.S_ISDIR(found.st_mode) else f"{folder} is not a folder"


def _can_be_made(place: str) -> bool:
    """Whether a session's folder that is not there is ours to make: below a folder of ours, and not in logind's."""
    place = os.path.normpath(place)
    if os.path.dirname(place) == LOGIND:  # noqa: PTH120
        return False
    while not os.path.lexists(place):
        place = os.path.dirname(place)  # noqa: PTH120
    try:
        found = os.stat(place)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and os.access(place, os.W_OK | os.X_OK)


def _belongs(place: Path | str, found: os.stat_result) -> str:
    return f"{printable(place)} belongs to user {found.st_uid}, not to {os.geteuid()}"


def bundled_plugins() -> Path:
    """The folder of the plugins that come with swiftd: in the installed package, or in the checkout."""
    installed = Path(__file__).with_name("bundled")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "plugins" / "bundled"


def refusal(folder: Path) -> str | None:
    """Why nothing of ours may be kept in `folder`, which may not be there yet; None if nothing speaks against it.

    It must be ours, and a folder, not a link to one, and nobody else may be able to put another in its place.
    """
    try:
        return _against_private(folder) or _against_making(folder)
    except OSError as error:
        return f"{printable(error.filename)} can't be looked at: {error.strerror}"


def _against_private(folder: Path) -> str | None:
    """The part of it that does not pass with time.

    Raises:
        OSError: it can't be looked at.

    """
    there = _nearest(folder)
    if there == folder:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{printable(folder)} is {'a link' if stat.S_ISLNK(found.st_mode) else 'not a folder'}"
        if found.st_uid != os.geteuid():
            return _belongs(folder, found)
        there = folder.parent
    elif not stat.S_ISDIR(there.stat().st_mode):
        return f"{printable(there)} is not a folder"
    why = exposed(str(there))
    return why and printable(why)


def _against_making(folder: Path) -> str | None:
    there = _nearest(folder)
    can = there == folder or os.access(there, os.W_OK | os.X_OK)
    return None if can else f"{printable(there)} can't be written"


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def make_private(folder: Path) -> None:
    """Make `folder` (and its parents) so that nobody else can enter it.

    Raises:
        UnsafeFolderError: it lies with another user, belongs to one or to all, others could put another in its place,
            or it is not a folder but, say, a link.
        OSError: it can't be made, now.

    """
    _must_be_private(folder)
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    # Opened, so that what is judged and changed is one thing, and no link that came meanwhile.
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(opened)
        if found.st_uid != os.geteuid():
            raise UnsafeFolderError(f"{_belongs(folder, found)}: choose another place")
        if found.st_mode & stat.S_ISVTX:
            raise UnsafeFolderError(f"{printable(folder)} is meant for all: choose a place inside it")
        if found.st_mode & 0o077:
            os.fchmod(opened, 0o700)
    finally:
        os.close(opened)
    _must_be_private(folder)  # what was missing of the way may be somebody's who was faster


def _must_be_private(folder: Path) -> None:
    if why := _against_private(folder):
        raise UnsafeFolderError(f"{why}: mend that, or choose another place")


def printable(name: Path | str) -> str:
    """A file name as it can be shown and sent: bytes that are no UTF-8, and harmful characters, replaced."""
    return harmless(str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
