"""What each request of the wire does. How requests come and answers go is server.py's business."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import trio

from swiftd import __version__
from swiftd.errors import RequestError
from swiftd.protocol import (
    PROTOCOL,
    Activate,
    Cancel,
    Check,
    Disable,
    Enable,
    Event,
    Hello,
    HelloAnswer,
    ItemAnswer,
    Logs,
    LogsAnswer,
    Ok,
    Plugins,
    PluginsAnswer,
    Query,
    Reload,
    StatsAnswer,
    Watch,
)
from swiftd.query import FIRST_SCAN_LIMIT
from swiftd.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swiftd.catalog import Catalog, Plugin
    from swiftd.check import Checker
    from swiftd.config import ConfigFile
    from swiftd.journal import Journal
    from swiftd.pool import Pool
    from swiftd.protocol import Answer, AnyRequest, Id
    from swiftd.query import Memory, Queries
    from swiftd.reconcile import Reconciler
    from swiftd.stats import Stats
    from swiftd.switches import Switches

    Emit = Callable[[Answer], Awaitable[None]]


class Operations:
    """Everything a client can ask for but `cancel`, which is its connection's own affair."""

    def __init__(
        self,
        catalog: Catalog,
        reconciler: Reconciler,
        queries: Queries,
        memory: Memory,
        pool: Pool,
        journal: Journal,
        switches: Switches,
        config: ConfigFile,
        checker: Checker,
        stats: Stats,
    ) -> None:
        self.stats = stats
        self._catalog = catalog
        self._reconciler = reconciler
        self._queries = queries
        self._memory = memory
        self._pool = pool
        self._journal = journal
        self._switches = switches
        self._config = config
        self._checker = checker

    async def answer(self, request: AnyRequest, emit: Emit) -> Answer:  # noqa: C901, PLR0911 - one case a request
        """The last frame of the answer; what comes before it goes to `emit`.

        Raises:
            RequestError: it can't be served.

        """
        match request:
            case Query():
                self.stats.queries += 1
                return await self._queries.answer(request, emit)
            case Activate():
                return ItemAnswer(id=request.id, item=self._memory.recall(request.key))
            case Hello():
                return _hello(request)
            case Plugins():
                await self._caught_up()
                return PluginsAnswer(
                    id=request.id,
                    plugins=await self._catalog.listing(),
                    problem=self._config.problem,
                    notices=self._config.strangers,
                    troubles=self._catalog.troubles,
                )
            case Reload():
                return await self._reload(request)
            case Enable() | Disable():
                return await self._switch(request)
            case Check():
                return await self._checker.check(request)
            case Logs():
                return await self._logs(request, emit)
            case Watch():
                return await self._watch(request.id, emit)
            case Cancel():
                raise AssertionError("its connection's own affair")
            case _:
                return self._stats(request.id)

    async def _scanned(self) -> None:
        """Wait until the plugins are known that were there at the start."""
        with trio.move_on_after(FIRST_SCAN_LIMIT):
            await self._catalog.scanned.wait()

    async def _caught_up(self) -> None:
        """The same, and for what was put into the folders just now."""
        with trio.move_on_after(FIRST_SCAN_LIMIT):
            await self._catalog.scanned.wait()
            await self._reconciler.catch_up()

    async def _plugin(self, name: str) -> Plugin:
        await self._scanned()
        if name not in self._catalog.plugins:
            await self._caught_up()
        if name not in self._catalog.plugins:
            raise RequestError("unknown-plugin", f"there is no plugin {name!r}: `swiftctl plugins` lists them")
        return self._catalog.plugins[name]

    async def _reload(self, request: Reload) -> Ok:
        if request.plugin is None:
            await self._reconciler.reload()
        else:
            await self._reconciler.complete()  # it may be new
            plugin = await self._plugin(request.plugin)
            await self._reconciler.reload([plugin.name])
            if plugin.error is not None:
                raise RequestError("refused", f"{plugin.name}: {plugin.error}")
        if self._config.problem is not None:
            raise RequestError("config", self._config.problem)
        return Ok(id=request.id)

    async def _switch(self, request: Enable | Disable) -> Ok:
        plugin = await self._plugin(request.plugin)
        on = isinstance(request, Enable)
        if on and not self._config.current.plugin(plugin.name).enabled:
            raise RequestError("config", f"config.toml switches it off: remove `enabled = false` of {plugin.name}")
        self._switches.set(plugin.name, on=on)
        try:
            await in_thread(self._switches.save)
        except OSError as error:
            raise RequestError("internal", f"it is switched, but that can't be remembered: {error}") from error
        finally:
            await self._reconciler.reload([plugin.name] if on else [])
        return Ok(id=request.id)

    async def _logs(self, request: Logs, emit: Emit) -> LogsAnswer:
        if request.plugin is not None:
            await self._plugin(request.plugin)
        lines = self._journal.lines(request.plugin)
        if not request.follow:
            return LogsAnswer(id=request.id, lines=lines)
        with self._journal.following() as new:
            await emit(LogsAnswer(id=request.id, lines=lines, done=False))
            async for lines in new:
                for line in lines:
                    if request.plugin in (None, line.plugin):
                        await emit(LogsAnswer(id=request.id, lines=[line], done=False))
        raise AssertionError("the channel is closed by nobody else")

    async def _watch(self, request: Id, emit: Emit) -> Ok:
        with self._catalog.changes() as changes:
            async for change in changes:
                event = change.state or "gone"
                await emit(Event(id=request, event=event, plugin=change.plugin, message=change.error, done=False))
        raise AssertionError("the channel is closed by nobody else")

    def _stats(self, request: Id) -> StatsAnswer:
        return StatsAnswer(
            id=request,
            version=__version__,
            uptime_s=round(time.monotonic() - self.stats.started, 3),
            pid=os.getpid(),
            queries=self.stats.queries,
            sessions=self.stats.sessions,
            workers=self._pool.count,
            workers_apart=self._pool.count_apart,
            workers_killed=self._pool.killed,
            hardening=self._pool.hardening,
            plugins=self.stats.plugins(),
        )


def _hello(request: Hello) -> HelloAnswer:
    if request.protocol != PROTOCOL:
        raise RequestError("unsupported-protocol", f"this is swiftd {__version__}, which speaks protocol {PROTOCOL}")
    return HelloAnswer(id=request.id, server="swiftd", version=__version__, protocol=PROTOCOL)
