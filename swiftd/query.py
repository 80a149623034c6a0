"""One query: the input goes to the plugins that claim it, and what they say becomes one answer.

A plugin that fails does not fail the query: its entry in `errors` stands beside what the others answered. Every item
gets a key, and the last answers are remembered, so that a front end can come back for an item with nothing but the
key, from another process and another connection.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import trio

from swiftd.errors import PluginFault, RequestError
from swiftd.pool import ArtefactError
from swiftd.protocol import Event, Item, PluginError, Results
from swiftd.sandbox.messages import Handle, Handled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swiftd.catalog import Catalog, Plugin, Version
    from swiftd.pool import Pool
    from swiftd.protocol import Answer, Query
    from swiftd.reconcile import Reconciler
    from swiftd.stats import Stats

    Emit = Callable[[Answer], Awaitable[None]]

FIRST_SCAN_LIMIT = 10.0
"""Seconds that a query waits for the first scan of the plugin folders. It takes 0.1."""
LONGEST_WAIT = 300.0
"""Seconds that a query may wait for plugins that are compiling, whatever it asks for."""
REMEMBERED_ITEMS = 20_000
"""Items of past answers that `activate` can still find: minutes of typing, at some 10 MB."""


class Memory:
    """The items of the last answers, by key."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(3)  # a key of another daemon's is unknown here, not somebody else's item
        self._answers: OrderedDict[int, list[Item]] = OrderedDict()
        self._items = 0
        self._count = 0

    def keep(self, plugin: str, rows: list[tuple[str, str, str]]) -> list[Item]:
        """Give each row of an answer its key, and remember them."""
        if not rows:
            return []
        self._count += 1
        prefix = f"{self._mark}.{self._count}."
        items = [Item(f"{prefix}{n}", plugin, *row) for n, row in enumerate(rows)]
        self._answers[self._count] = items
        self._items += len(items)
        while self._items > REMEMBERED_ITEMS and len(self._answers) > 1:
            self._items -= len(self._answers.popitem(last=False)[1])
        return items

    def recall(self, key: str) -> Item:
        """The item that was given this key.

        Raises:
            RequestError: it was never given, or is forgotten.

        """
        mark, _, rest = key.partition(".")
        answer, _, index = rest.partition(".")
        if mark == self._mark and answer.isdecimal() and index.isdecimal():
            items = self._answers.get(int(answer), [])
            if int(index) < len(items):
                return items[int(index)]
        raise RequestError("unknown-key", "the answer this key belongs to is too old: ask again")


class Queries:
    """Answers queries."""

    def __init__(self, catalog: Catalog, reconciler: Reconciler, pool: Pool, memory: Memory, stats: Stats) -> None:
        self._catalog = catalog
        self._reconciler = reconciler
        self._pool = pool
        self._memory = memory
        self._stats = stats

    async def answer(self, query: Query, emit: Emit) -> Results:
        """The last frame of the answer; what comes before it goes to `emit`.

        Raises:
            RequestError: the request itself is wrong.

        """
        self._check(query)
        if not self._catalog.scanned.is_set():
            with trio.move_on_after(FIRST_SCAN_LIMIT):
                await self._catalog.scanned.wait()
        results = Results(id=query.id, items=[], errors=[], status="complete")
        if query.deadline_ms is None:
            await self._fill(results, query, emit)
            return results
        finished = False
        with trio.move_on_after(query.deadline_ms / 1000):
            await self._fill(results, query, emit)
            finished = True
        if not finished:
            results.status = "partial"
            results.errors.append(PluginError("", "timeout", f"not everything was there after {query.deadline_ms} ms"))
        return results

    def _check(self, query: Query) -> None:
        if query.deadline_ms is not None and query.deadline_ms < 0:
            raise RequestError("bad-request", "deadline_ms: expected 0 or more")
        if query.limit is not None and query.limit < 0:
            raise RequestError("bad-request", "limit: expected 0 or more")
        for name in query.plugins or ():
            if name not in self._catalog.plugins and self._catalog.scanned.is_set():
                raise RequestError("unknown-plugin", f"there is no plugin {name!r}")

    async def _fill(self, results: Results, query: Query, emit: Emit) -> None:
        """Put what the plugins say into `results` as it comes, so that a deadline finds what is there."""
        plugins = self._catalog.route(query.input, query.plugins)
        if not plugins or (plugins[0].serving is not None and not plugins[0].serving.trigger):
            plugins = await self._wait_for_pending(plugins, results, query, emit)
        if len(plugins) == 1 and not query.stream:
            await self._ask(plugins[0], query, results)
            return
        async with trio.open_nursery() as nursery:
            for plugin in plugins:
                nursery.start_soon(self._ask_and_emit, plugin, query, results, emit)

    async def _wait_for_pending(
        self, plugins: list[Plugin], results: Results, query: Query, emit: Emit
    ) -> list[Plugin]:
        """No plugin claims the input, but one that is on its way may: wait for it as long as the query wants."""
        told: set[str] = set()
        wait = min(max(query.wait_ms, 0) / 1000, LONGEST_WAIT)
        with self._catalog.changes() as changes, trio.move_on_after(wait):
            while pending := self._catalog.pending(query.plugins):
                for plugin in pending:
                    if query.wait_ms > 0 and plugin.state == "compiling" and plugin.name not in told:
                        told.add(plugin.name)
                        await emit(Event(id=query.id, event="compiling", plugin=plugin.name, done=False))
                await changes.receive()
                plugins = self._catalog.route(query.input, query.plugins)
                if plugins and plugins[0].serving is not None and plugins[0].serving.trigger:
                    return plugins
        for plugin in self._catalog.pending(query.plugins):
            results.errors.append(PluginError(plugin.name, "compiling", "is being compiled: ask again in a moment"))
        return plugins

    async def _ask_and_emit(self, plugin: Plugin, query: Query, results: Results, emit: Emit) -> None:
        part = Results(id=query.id, items=[], errors=[], status="complete")
        await self._ask(plugin, query, part)
        room = None if query.limit is None else max(0, query.limit - len(results.items))
        part.items = part.items[:room]
        results.errors += part.errors
        results.items += part.items
        if query.stream:
            part.done = False
            part.status = "partial"
            await emit(part)

    async def _ask(self, plugin: Plugin, query: Query, results: Results) -> None:
        """Add one plugin's items, or its error, to `results`."""
        version = plugin.serving
        if version is None:
            return
        started = trio.current_time()
        try:
            handled = await self._call(plugin, version, query.input)
        except PluginFault as fault:
            self._stats.failed(plugin.name, fault.code)
            results.errors.append(PluginError(plugin.name, fault.code, str(fault)))
            if fault.code in ("timeout", "busy"):
                results.status = "partial"
            return
        self._stats.answered(plugin.name, trio.current_time() - started)
        results.items += self._memory.keep(plugin.name, handled.items[: query.limit])
        if handled.cut is not None:
            results.errors.append(PluginError(plugin.name, "too-large", handled.cut))

    async def _call(self, plugin: Plugin, version: Version, text: str) -> Handled:
        """Run the plugin, unless it is not worth a try now.

        Raises:
            PluginFault: there is no answer, and why.

        """
        health = plugin.health
        if health.delay() > 0:
            raise PluginFault(health.code, health.describe())
        limit = version.load.limits.input
        if len(text.encode()) > limit:
            raise PluginFault("too-large", f"the input is longer than {limit} bytes")
        try:
            reply = await self._pool.call(version.load, Handle(version.load.slot, text))
        except PluginFault as fault:
            health.failed(fault.code, str(fault))
            raise
        except ArtefactError as error:
            self._reconciler.mend(plugin.name)
            raise PluginFault("compiling", "its compiled form was lost and is being made anew: ask again") from error
        health.answered()
        assert isinstance(reply, Handled)  # noqa: S101 - what a worker says to a Handle
        return reply
