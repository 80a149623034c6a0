"""The composition root: what is built, wired and started, in this order, and how it all ends."""

from __future__ import annotations

import logging
import resource
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from swiftd import notify, paths, shortage
from swiftd.cache import Cache
from swiftd.catalog import Catalog
from swiftd.check import Checker
from swiftd.children import Zygote
from swiftd.compiler import Compiler, sweep_unfinished
from swiftd.config import ConfigFile
from swiftd.errors import DaemonError
from swiftd.exposure import exposed
from swiftd.folders import Folders
from swiftd.journal import Journal
from swiftd.listening import UnreachableError, listener
from swiftd.operations import Operations
from swiftd.pool import Pool
from swiftd.query import Memory, Queries
from swiftd.reconcile import Reconciler
from swiftd.server import Server
from swiftd.stats import Stats
from swiftd.switches import Switches
from swiftd.threads import in_thread
from swiftd.watcher import watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from swiftd.config import Config
    from swiftd.listening import Endpoint

FEWEST_FILES = 32
"""Open files of which a daemon with its watches, its sandbox processes and a few clients can live."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where this daemon reads, writes and listens. `plugins` are the folders with whether they are the bundled one."""

    config: Path
    plugins: tuple[tuple[Path, bool], ...]
    cache: Path
    state: Path
    socket: Path


def check_limits() -> None:
    """Refuse to start where a daemon would only seem to run.

    Raises:
        DaemonError: a limit is too low, and which.

    """
    if (files := shortage.allowed(resource.RLIMIT_NOFILE, FEWEST_FILES)) < FEWEST_FILES:
        raise DaemonError(f"{files} files may be open at once (`ulimit -n`): start swiftd with {FEWEST_FILES} at least")


async def run(places: Places) -> None:
    """Serve until SIGTERM or SIGINT, or until nobody can reach this daemon any more.

    Raises:
        AlreadyRunningError: another daemon serves this socket.
        DaemonError: it can't start, or can't be reached any more.

    """
    config = ConfigFile(places.config)
    config.refresh()
    # First of all: a signal that comes while all this is made must not find the kernel's own handler.
    signals_wanted = trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with signals_wanted as signals, ExitStack() as stack:
        endpoint = stack.enter_context(listener(places.socket))
        cache = Cache(places.cache, places.socket.parent)
        stack.callback(cache.close)
        _prepare(cache)
        journal = Journal()
        catalog = Catalog(journal)
        zygote = Zygote()
        stack.callback(zygote.close)
        compiler = Compiler(cache, zygote)
        pool = Pool(zygote, config.current.workers, cache, journal)
        switches = Switches(places.state / "disabled.json")
        stats = Stats()

        async def configured() -> Config:
            await in_thread(config.refresh)
            pool.resize(config.current.workers)
            return config.current

        reconciler = Reconciler(
            catalog,
            Folders(_trusted(places.plugins)),
            switches,
            compiler,
            pool,
            _own(places),
            _each_of(config.compare, journal.keep_only, stats.keep_only),
            configured,
        )
        reconciler.use(config.current)
        memory = Memory()
        queries = Queries(catalog, reconciler, pool, memory, stats)
        checker = Checker(config, compiler, pool, reconciler, journal)
        server = Server(
            Operations(catalog, reconciler, queries, memory, pool, journal, switches, config, checker, stats)
        )

        def changed() -> None:
            endpoint.look()
            reconciler.request()

        def stop() -> None:
            notify.send("STOPPING=1")
            server.hang_up()
            nursery.cancel_scope.cancel()

        failures: list[DaemonError] = []
        watched = [places.config, *(folder for folder, _ in places.plugins), *endpoint.places]
        notify.send("READY=1\nSTATUS=Looking at the plugins")  # whoever connects from now on is served in a moment
        await zygote.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.run)
            nursery.start_soon(reconciler.run)
            nursery.start_soon(server.serve, endpoint)
            nursery.start_soon(_stop_when_unreachable, endpoint, stop, failures)
            nursery.start_soon(notify.keep_informed, catalog)
            nursery.start_soon(watch, watched, changed)
            await _act_on(signals, changed)
            stop()
        if failures:
            raise failures[0]


async def _act_on(signals: AsyncIterator[int], reload: Callable[[], None]) -> None:
    """Reload at each SIGHUP; return at the first of the others."""
    async for number in signals:
        if number != signal.SIGHUP:
            _log.info("%s: stopping", signal.Signals(number).name)
            return
        notify.send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        reload()
        notify.send("READY=1")


async def _stop_when_unreachable(endpoint: Endpoint, stop: Callable[[], None], failures: list[DaemonError]) -> None:
    """Keep the socket where it is; where that can't be, stop. A failure is kept for after the end."""
    try:
        await endpoint.keep()
    except UnreachableError as error:
        _log.warning("stopping, as nobody can reach this daemon any more: %s", error)
    except DaemonError as error:
        failures.append(error)
    stop()


def _trusted(folders: tuple[tuple[Path, bool], ...]) -> list[tuple[Path, bool]]:
    """The plugin folders without those to which others could add: their rows would be run as ours."""
    trusted = []
    for folder, bundled in folders:
        why = None
        with suppress(OSError):  # which is said when it is read
            why = None if bundled else exposed(str(folder))
        if why:
            _log.error("the plugins in %s are not read, as %s", paths.printable(folder), paths.printable(why))
        else:
            trusted.append((folder, bundled))
    return trusted


def _each_of(*told: Callable[[Collection[str]], None]) -> Callable[[Collection[str]], None]:
    """One that tells all of these."""

    def tell(names: Collection[str]) -> None:
        for one in told:
            one(names)

    return tell


def _own(places: Places) -> list[Path]:
    """What no grant may hand over: folders, and config.toml, which may be a link out of the one that it lies in.

    A configuration outside a folder of ours stands for itself alone.
    """
    config = [places.config.parent, places.config] if places.config.parent.name == paths.APP else [places.config]
    return [places.socket.parent, *config, *(folder for folder, _ in places.plugins), places.cache, places.state]


def _prepare(cache: Cache) -> None:
    """Have the cache ready. Where there can be none, each compilation says why it fails."""
    try:
        sweep_unfinished(cache.ready())
    except OSError as error:
        _log.error("no plugin can be compiled: %s", error)
