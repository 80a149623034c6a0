"""Where things live. The only module that knows the folder names.

The socket's path is wanted by the client too, at every call, so its rule stands here without platformdirs, whose
import takes longer than a query. Everything else is platformdirs' answer for the application `swift`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from swiftd.text import harmless

APP = "swift"


class UnsafeFolderError(Exception):
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
    """The daemon's socket: `$SWIFT_SOCKET`, or `swift/swiftd.sock` in the session's runtime folder.

    Without a session (`XDG_RUNTIME_DIR` unset) it is the folder that logind would give, if there, else a private
    one in the temporary folder, named by the user's number so that the client finds it again.
    """
    if chosen := os.environ.get("SWIFT_SOCKET"):
        return Path(chosen).absolute()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return Path(runtime, APP, "swiftd.sock")
    uid = os.getuid()
    logind = Path("/run/user", str(uid))
    if logind.is_dir() and os.access(logind, os.W_OK):
        return logind / APP / "swiftd.sock"
    return Path(os.environ.get("TMPDIR") or "/tmp", f"{APP}-{uid}", "swiftd.sock")  # noqa: S108 - made private below


def defaults() -> Paths:
    """The places for this user, by the environment; nothing is made or looked at."""
    from platformdirs import PlatformDirs  # noqa: PLC0415 - see the module's docstring

    dirs = PlatformDirs(APP, appauthor=False)
    config = Path(dirs.user_config_dir)
    return Paths(
        config=config / "config.toml",
        plugins=config / "plugins",
        bundled=bundled_plugins(),
        cache=Path(dirs.user_cache_dir),
        state=Path(dirs.user_state_dir),
        socket=default_socket(),
    )


def bundled_plugins() -> Path:
    """The folder of the plugins that come with swiftd: in the installed package, or in the checkout."""
    installed = Path(__file__).with_name("bundled")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "plugins" / "bundled"


def make_private(folder: Path) -> None:
    """Make `folder` (and its parents) so that nobody else can enter it.

    Raises:
        UnsafeFolderError: it belongs to another user or to all, or is not a folder.
        OSError: it can't be made.

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFolderError(f"{folder} is not a folder: remove it, or choose another place")
    if found.st_uid != os.getuid():
        raise UnsafeFolderError(f"{folder} belongs to user {found.st_uid}, not to {os.getuid()}: choose another place")
    if found.st_mode & stat.S_ISVTX:
        raise UnsafeFolderError(f"{folder} is meant for all: choose a place inside it")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def printable(name: Path | str) -> str:
    """A file name as it can be shown and sent: bytes that are no UTF-8, and harmful characters, replaced."""
    return harmless(str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
