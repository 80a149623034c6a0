"""Where the daemon's socket comes from: a service manager that listens for it, or made here; and that it stays there.

A lock beside a socket made here says whether its daemon lives: a socket without one was left behind, and is removed.

Files in a runtime folder are removed by people, by cleaners and at logout. A socket whose path leads elsewhere can't be
reached and can't be had back, so a new one takes its place under the same rules as at the start: who has the lock may
make the socket. What a service manager passed is replaced too: it would pass the unreachable one again at every
restart. Where there can be no new one, the daemon ends instead of living on unseen.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from swiftd import activation, occupant, paths
from swiftd.errors import AlreadyRunningError, DaemonError
from swiftd.exposure import exposed

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = socket.SOMAXCONN
LOOK_EVERY = 30.0
"""Seconds between two looks at the path when nothing is said to have happened: some file systems tell nobody."""
FIRST_PAUSE = 0.1
"""Seconds before another try to make a socket where that failed; doubled at each further one."""
LONGEST_PAUSE = 5.0
UNREACHABLE_LIMIT = 60.0
"""Seconds without a socket that can be reached, after which the daemon ends: nobody can tell it to."""

_log = logging.getLogger(__name__)

Identity = tuple[int, int]
"""Device and inode."""


class UnreachableError(Exception):
    """The socket's path leads elsewhere, and that is not for us to change: the daemon is to end."""


class Endpoint(trio.abc.Listener[trio.SocketStream]):
    """The socket that is served. Connections that are open do not notice when it is replaced by another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_path = path.is_absolute()  # an abstract address needs no file, and nobody can remove it
        self._listener: trio.SocketListener | None = None
        self._ours: Identity | None = None
        self._lock = -1
        self._is_made_here = False
        self._news = trio.Event()
        self._taken: list[trio.SocketStream] = []  # connections taken ahead of time, to be served first

    @property
    def places(self) -> list[Path]:
        """The files that must stay where they are: for the watcher."""
        return [self._path, Path(_lock_of(self._path))] if self._has_path else []

    # ---- what is served -----------------------------------------------------------------------------------------

    async def accept(self) -> trio.SocketStream:
        """The next connection, by whatever socket."""
        if self._taken:
            await trio.lowlevel.checkpoint()
            return self._taken.pop(0)
        while True:
            listener = self._listener
            assert listener is not None  # noqa: S101 - made before it is handed out
            try:
                return await listener.accept()
            except trio.ClosedResourceError:
                if self._listener is listener:
                    raise

    async def aclose(self) -> None:
        """Serve nobody new."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Give everything back. A socket that was made here goes, one that was passed stays."""
        if self._listener is not None:
            if self._is_made_here and self._leads_here():
                with suppress(OSError):
                    self._path.unlink()
            self._listener.socket.close()
        for stream in self._taken:
            stream.socket.close()
        self._taken.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---- that it stays ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Something may have happened to the path: `keep` looks at it."""
        self._news.set()

    async def keep(self) -> None:
        """See to it that the path leads here.

        Raises:
            UnreachableError: it leads to another program, or nowhere that a socket could be.
            DaemonError: no socket can be made there, for long now.

        """
        while True:
            with trio.move_on_after(LOOK_EVERY):
                await self._news.wait()
            self._news = trio.Event()
            pause, since = FIRST_PAUSE, trio.current_time()
            while True:
                try:
                    self.restore()
                    break
                except OSError as error:
                    if trio.current_time() - since > UNREACHABLE_LIMIT:
                        raise DaemonError(f"the socket is gone, and none can be made: {error}") from error
                    if pause == FIRST_PAUSE:
                        _log.warning("the socket is gone, and no other can be made yet: %s", error)
                await trio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    def restore(self) -> None:
        """Make another socket, if the path does not lead to ours.

        Raises:
            UnreachableError: as with `keep`.
            DaemonError: what is in the way is not ours to remove.
            OSError: it can't be made now.

        """
        if not self._has_path:
            return
        if self._leads_here():
            if self._is_made_here and not self._has_lock():
                with suppress(OSError, AlreadyRunningError):  # who has it finds our socket, and gives way
                    self._take_lock()
            return
        if not self._path.parent.parent.is_dir():
            raise UnreachableError(f"{self._path.parent.parent} is gone, as when a session ends")
        try:
            _make_folder(self._path)
            if not self._has_lock():
                self._take_lock()
            self._make()
        except (AlreadyRunningError, paths.UnsafeFolderError) as error:
            raise UnreachableError(str(error)) from error
        _log.warning("the socket was gone; listening on %s again", self._path)

    def _leads_here(self) -> bool:
        try:
            return self._ours == _identity(self._path.stat())
        except OSError:
            return False

    # ---- how it is made -----------------------------------------------------------------------------------------

    def make(self) -> None:
        """Make the socket when the daemon starts.

        Raises:
            AlreadyRunningError: another daemon serves it.
            DaemonError: it can't be made.

        """
        try:
            _make_folder(self._path)
            self._take_lock()
        except OSError as error:
            raise DaemonError(f"no socket can be made at {self._path}: {error}") from error
        try:
            self._make()
        except OSError as error:
            reason = "the path is too long" if error.errno in (None, errno.ENAMETOOLONG) else error.strerror
            raise DaemonError(
                f"no socket can be made at {self._path}: {reason}; choose another with --socket"
            ) from error
        _log.info("listening on %s", self._path)

    def use(self, passed: socket.socket) -> None:
        """Serve a socket that somebody else made, as long as its path leads to it."""
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(passed))
        if (user := occupant.user_of(passed)) != os.geteuid():
            _log.warning("user %d listens for us, and you are %d: no client of yours will trust it", user, os.geteuid())
        if self._has_path and occupant.leads_to(self._path, passed):
            try:
                self._ours = _identity(self._path.stat())
                _make_folder(self._path)
            except OSError as error:
                _log.warning("the socket that was passed is not safe where it is: %s", error)
        # That left a connection which must not wait: for it the service manager would start us again if we were
        # stopped just now. Those before it are taken with it.
        with suppress(OSError):
            for _ in range(BACKLOG):
                connection, _ = passed.accept()
                self._taken.append(trio.SocketStream(trio.socket.from_stdlib_socket(connection)))

    def _has_lock(self) -> bool:
        with suppress(OSError):
            return self._lock >= 0 and _identity(os.fstat(self._lock)) == _identity(os.lstat(_lock_of(self._path)))
        return False

    def _take_lock(self) -> None:
        """Take the lock file that is there now: an older one may have been removed by somebody.

        Raises:
            AlreadyRunningError: another daemon has it.
            OSError: it can't be made.

        """
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        while not self._has_lock():  # it may be removed just between its making and its taking
            lock = os.open(_lock_of(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if (owner := os.fstat(lock).st_uid) != os.geteuid():  # made in advance, where all may add
                    raise PermissionError(errno.EPERM, f"{_lock_of(self._path)} belongs to user {owner}: remove it")
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                raise AlreadyRunningError(f"another swiftd already serves {self._path}") from error
            except OSError:  # such as a file system that has no locks to give
                os.close(lock)
                raise
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = lock

    def _make(self) -> None:
        """Put a socket of our own at the path, private to this user, and serve it from now on.

        Raises:
            AlreadyRunningError: another program serves there.
            DaemonError: something that is no socket is in the way.
            OSError: it can't be made.

        """
        _clear(self._path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(str(self._path))
            self._path.chmod(0o600)
            server.setblocking(False)
            server.listen(BACKLOG)
            ours = _identity(self._path.stat())
        except BaseException:
            server.close()
            raise
        before = self._listener
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(server))
        self._ours, self._is_made_here = ours, True
        if before is not None:
            before.socket.close()


@contextmanager
def listener(path: Path) -> Iterator[Endpoint]:
    """The socket to serve: the one that was passed by systemd, or one at `path`.

    Raises:
        AlreadyRunningError: another daemon serves it.
        DaemonError: no socket can be made there, or what was passed is none.

    """
    passed = activation.passed()
    endpoint = Endpoint(path if passed is None else Path(activation.name(passed)))
    try:
        if passed is None:
            endpoint.make()
        else:
            endpoint.use(passed)
            _restore_at_start(endpoint)
        yield endpoint
    finally:
        endpoint.close()


def _restore_at_start(endpoint: Endpoint) -> None:
    """What was passed may have lost its path before we were started: then it is for us to be reached.

    Raises:
        AlreadyRunningError: another program serves there.
        DaemonError: no socket can be made there.

    """
    try:
        endpoint.restore()
    except UnreachableError as error:
        raise AlreadyRunningError(str(error)) from error
    except OSError as error:
        raise DaemonError(f"the socket that was passed can't be reached, and no other be made: {error}") from error


def _lock_of(path: Path) -> str:
    return f"{path}.lock"


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _make_folder(path: Path) -> None:
    """Make the socket's folder, or make it private. One that the user chose is left as it is.

    Raises:
        UnsafeFolderError: it belongs to somebody else, or others could put a socket in the place of ours.
        OSError: it can't be made, or looked at.

    """
    if path.parent.name in (paths.APP, f"{paths.APP}-{os.geteuid()}") or not path.parent.exists():
        paths.make_private(path.parent)
    elif why := exposed(str(path.parent)):
        raise paths.UnsafeFolderError(f"{why}: mend that, or choose another place")


def _clear(path: Path) -> None:
    """Remove a socket that a daemon left behind.

    Raises:
        AlreadyRunningError: somebody serves it.
        DaemonError: what is there is no socket, or another user serves it.
        OSError: it can't be removed.

    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise DaemonError(f"{path} is in the way and no socket: remove it, or choose another with --socket")
        if occupant.is_served(path):
            raise AlreadyRunningError(f"another program already serves {path}")
        _log.info("removing the socket of a daemon that has ended")
        path.unlink()
    except FileNotFoundError:
        pass
