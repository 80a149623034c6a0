"""The composition root: what is built, wired and started, in this order, and how it all ends."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import socket
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from swiftd import notify, paths
from swiftd.catalog import Catalog
from swiftd.check import Checker
from swiftd.children import Zygote
from swiftd.compiler import Compiler, sweep_unfinished
from swiftd.config import ConfigFile
from swiftd.errors import AlreadyRunningError, DaemonError
from swiftd.folders import Folders
from swiftd.journal import Journal
from swiftd.operations import Operations
from swiftd.pool import Pool
from swiftd.query import Memory, Queries
from swiftd.reconcile import Reconciler
from swiftd.server import Server
from swiftd.stats import Stats
from swiftd.switches import Switches
from swiftd.watcher import watch

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where this daemon reads, writes and listens. `plugins` are the folders with whether they are the bundled one."""

    config: Path
    plugins: tuple[tuple[Path, bool], ...]
    cache: Path
    state: Path
    socket: Path


async def run(places: Places) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        AlreadyRunningError: another daemon serves this socket.
        DaemonError: it can't start.

    """
    config = ConfigFile(places.config)
    config.refresh()
    with ExitStack() as stack:
        listener = stack.enter_context(_listening(places.socket))
        cache = stack.enter_context(_usable_cache(places.cache))
        journal = Journal()
        catalog = Catalog(journal)
        zygote = Zygote()
        stack.callback(zygote.close)
        compiler = Compiler(cache, zygote)
        pool = Pool(zygote, config.current.workers, cache, journal)
        switches = Switches(places.state / "disabled.json")
        reconciler = Reconciler(catalog, Folders(places.plugins), switches, compiler, pool, _own(places, cache))
        reconciler.use(config.current)

        def refresh() -> None:
            if config.refresh():
                pool.resize(config.current.workers)
                reconciler.use(config.current)
            reconciler.request()

        stats = Stats()
        memory = Memory()
        queries = Queries(catalog, reconciler, pool, memory, stats)
        checker = Checker(config, compiler, pool, reconciler, journal)
        server = Server(
            Operations(catalog, reconciler, queries, memory, pool, journal, switches, config, checker, stats, refresh)
        )
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            _log.info("listening on %s", places.socket)
            notify.send("READY=1\nSTATUS=Looking at the plugins")  # whoever connects from now on is served in a moment
            await zygote.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.run)
                nursery.start_soon(reconciler.run)
                nursery.start_soon(server.serve, listener)
                nursery.start_soon(watch, [places.config, *(folder for folder, _ in places.plugins)], refresh)
                async for number in signals:
                    if number != signal.SIGHUP:
                        _log.info("%s: stopping", signal.Signals(number).name)
                        break
                    refresh()
                notify.send("STOPPING=1")
                server.hang_up()
                nursery.cancel_scope.cancel()


def _own(places: Places, cache: Path) -> list[Path]:
    """What no grant may hand over. A configuration outside a folder of ours stands for itself alone."""
    config = places.config.parent if places.config.parent.name == paths.APP else places.config
    return [places.socket.parent, config, *(folder for folder, _ in places.plugins), cache, places.state]


@contextmanager
def _listening(path: Path) -> Iterator[trio.SocketListener]:
    """The listening socket, private to this user. It and its lock are gone in the end.

    A lock beside the socket says whether its daemon lives: a socket without one was left behind, and is removed.

    Raises:
        AlreadyRunningError: it lives.
        DaemonError: no socket can be made there.

    """
    try:
        paths.make_private(path.parent)
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


@contextmanager
def _usable_cache(path: Path) -> Iterator[Path]:
    """The cache folder; a temporary one, for this daemon's life, where it can't be used."""
    try:
        paths.make_private(path)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, paths.UnsafeFolderError) as error:
        _log.warning("the cache can't be used: %s; each start compiles every plugin anew", error)
        with tempfile.TemporaryDirectory(prefix="swiftd-cache-") as temporary:
            yield Path(temporary)
    else:
        sweep_unfinished(path)
        yield path
