"""Where the daemon's socket comes from: a service manager that listens for it, or made here.

A lock beside a socket made here says whether its daemon lives: a socket without one was left behind, and is removed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from swiftd import paths
from swiftd.errors import AlreadyRunningError, DaemonError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKLOG = 64
_FIRST_PASSED = 3
"""The descriptor that sd_listen_fds(3) starts from."""

_log = logging.getLogger(__name__)


@contextmanager
def listener(path: Path) -> Iterator[trio.SocketListener]:
    """The socket to serve: the one that was passed by systemd, or one at `path`.

    Raises:
        AlreadyRunningError: another daemon serves it.
        DaemonError: no socket can be made there, or what was passed is none.

    """
    passed = _passed()
    if passed is None:
        with _made(path) as made:
            yield made
        return
    with passed:
        yield trio.SocketListener(trio.socket.from_stdlib_socket(passed))


def _passed() -> socket.socket | None:
    """The socket that a service manager listens on for us, if it is us who is meant."""
    count = os.environ.pop("LISTEN_FDS", "")
    process = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    if int(count) > 1:
        raise DaemonError(f"{count} sockets were passed, where one is expected: see swiftd.socket")
    try:
        passed = socket.socket(fileno=_FIRST_PASSED)
    except OSError as error:
        raise DaemonError(f"what was passed is no socket ({error.strerror}): see swiftd.socket") from error
    passed.set_inheritable(False)
    if (passed.family, passed.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not _listens(passed):
        passed.close()
        raise DaemonError("what was passed is no Unix stream socket that is listened on: see swiftd.socket")
    passed.setblocking(False)
    _log.info("a service manager listens on %s", _name(passed))
    return passed


def _listens(passed: socket.socket) -> bool:
    return bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _name(passed: socket.socket) -> str:
    """The socket's address as systemd writes it, with `@` for an abstract one."""
    return os.fsdecode(passed.getsockname()).replace("\0", "@", 1)


@contextmanager
def _made(path: Path) -> Iterator[trio.SocketListener]:
    """A listening socket of our own, private to this user, and gone in the end.

    Raises:
        AlreadyRunningError: it lives.
        DaemonError: no socket can be made there.

    """
    try:
        if path.parent.name in (paths.APP, f"{paths.APP}-{os.geteuid()}") or not path.parent.exists():
            paths.make_private(path.parent)  # a folder that the user chose is left as it is: the socket is private
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (OSError, paths.UnsafeFolderError) as error:
        raise DaemonError(f"no socket can be made at {path}: {error}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another swiftd already serves {path}") from error
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            _bind(server, path)
            server.setblocking(False)
            server.listen(BACKLOG)
            ours = path.stat().st_ino
            _log.info("listening on %s", path)
            try:
                yield trio.SocketListener(trio.socket.from_stdlib_socket(server))
            finally:
                with suppress(OSError):
                    if path.stat().st_ino == ours:
                        path.unlink()
    finally:
        os.close(lock)


def _bind(server: socket.socket, path: Path) -> None:
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            if _answers(path):
                raise AlreadyRunningError(f"another program already serves {path}")
            _log.info("removing the socket of a daemon that has ended")
            path.unlink()
        else:
            raise DaemonError(f"{path} is in the way and no socket: remove it, or choose another with --socket")
    except FileNotFoundError:
        pass
    try:
        server.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        reason = "the path is too long" if error.errno is None or error.errno == errno.ENAMETOOLONG else error.strerror
        raise DaemonError(f"no socket can be made at {path}: {reason}; choose another with --socket") from error


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
