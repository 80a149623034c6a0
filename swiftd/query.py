"""One query: the input goes to the plugins that claim it, and what they say becomes one answer.

A plugin that fails does not fail the query: its entry in `errors` stands beside what the others answered. Every item
gets a key, and the last answers are remembered, so that a front end can come back for an item with nothing but the
key, from another process and another connection.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from swiftd.errors import PluginFault, PutOffFault, RemadeFault, RequestError
from swiftd.protocol import Event, Item, PluginError, Results
from swiftd.sandbox.messages import Handle, Handled, Limits
from swiftd.text import brief
from swiftd.worker import ArtefactError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swiftd.catalog import Catalog, Plugin, Version
    from swiftd.pool import Pool
    from swiftd.protocol import Answer, Query
    from swiftd.reconcile import Reconciler
    from swiftd.stats import Stats
    from swiftd.triggers import Claim

    Emit = Callable[[Answer], Awaitable[None]]

FIRST_SCAN_LIMIT = 10.0
"""Seconds that a query waits for the first scan of the plugin folders. It takes 0.1."""
LONGEST_WAIT_MS = 300_000
"""How long a query may wait for plugins that are compiling, whatever it asks for."""
REMEMBERED_ITEMS = 20_000
"""Items of past answers that `activate` can still find: minutes of typing, at some 10 MB."""
REMEMBERED_LENGTH = 16 * 1024 * 1024
"""Characters of their strings, all together."""
REMADE = "its compiled form was lost and is being made anew: ask again"
LONGEST_KEY = 40
LONGEST_DEADLINE_MS = 24 * 3600 * 1000


def _length(items: list[Item]) -> int:
    return sum(len(item.name) + len(item.exec) + len(item.keywords) for item in items)


class Memory:
    """The items of the last answers, by key."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(3)  # a key of another daemon's is unknown here, not somebody else's item
        self._answers: OrderedDict[int, list[Item]] = OrderedDict()
        self._items = 0
        self._length = 0
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
        self._length += _length(items)
        while (self._items > REMEMBERED_ITEMS or self._length > REMEMBERED_LENGTH) and len(self._answers) > 1:
            _, forgotten = self._answers.popitem(last=False)
            self._items -= len(forgotten)
            self._length -= _length(forgotten)
        return items

    def recall(self, key: str) -> Item:
        """The item that was given this key.

        Raises:
            RequestError: it was never given, or is forgotten.

        """
        mark, _, rest = key.partition(".")
        answer, _, index = rest.partition(".")
        if mark == self._mark and len(key) <= LONGEST_KEY and answer.isdecimal() and index.isdecimal():
            items = self._answers.get(int(answer), [])
            if int(index) < len(items):
                return items[int(index)]
        raise RequestError("unknown-key", "the answer this key belongs to is too old: ask again")


@dataclass
class Gathering:
    """One query's answer while it comes together."""

    query: Query
    emit: Emit
    results: Results
    asked: set[str] = field(default_factory=set)
    """The plugins that have been asked and have not answered yet."""
    given: int = 0
    """Items that were given, in whatever frame: the query's limit is for all of them together."""

    def room(self) -> int | None:
        """How many items may still be added; None if there is no limit."""
        return None if self.query.limit is None else max(0, self.query.limit - self.given)

    async def add(self, plugin: str, items: list[Item], errors: list[PluginError]) -> None:
        """Add one plugin's part. In a stream it is sent at once, but for the last one's, which is the final frame."""
        self.asked.discard(plugin)
        self.given += len(items)
        if self.query.stream and self.asked:
            await self.emit(Results(id=self.query.id, items=items, errors=errors, status="partial", done=False))
        else:
            self.results.items += items
            self.results.errors += errors

    def give_up(self, reason: str) -> None:
        """Do without those that have not answered."""
        self.results.status = "partial"
        self.results.errors += [PluginError(name, "timeout", reason) for name in sorted(self.asked)]


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
        if not self._catalog.scanned.is_set():
            with trio.move_on_after(FIRST_SCAN_LIMIT):
                await self._catalog.scanned.wait()
        if query.plugins and query.wait_ms > 0 and not self._catalog.plugins.keys() >= set(query.plugins):
            with trio.move_on_after(min(query.wait_ms, LONGEST_WAIT_MS) / 1000):  # a file that was put there just now
                await self._reconciler.catch_up()
        self._check(query)
        gathering = Gathering(query, emit, Results(id=query.id, items=[], errors=[], status="complete"))
        if query.deadline_ms is None:
            await self._gather(gathering)
        else:
            with trio.move_on_after(min(query.deadline_ms, LONGEST_DEADLINE_MS) / 1000) as scope:
                await self._gather(gathering)
            if scope.cancelled_caught:
                gathering.give_up(f"no answer within the query's deadline of {query.deadline_ms} ms")
        return gathering.results

    def _check(self, query: Query) -> None:
        if len(query.input.encode()) > Limits().input:
            raise RequestError("input-too-long", f"input: {Limits().input} bytes at most")
        if query.deadline_ms is not None and query.deadline_ms < 0:
            raise RequestError("bad-request", "deadline_ms: expected 0 or more")
        if query.limit is not None and query.limit < 0:
            raise RequestError("bad-request", "limit: expected 0 or more")
        for name in query.plugins or ():
            if name not in self._catalog.plugins and self._catalog.scanned.is_set():
                raise RequestError("unknown-plugin", f"there is no plugin {name!r}")

    async def _gather(self, gathering: Gathering) -> None:
        """Put what the plugins say into the answer as it comes, so that a deadline finds what is there."""
        query = gathering.query
        claim = self._catalog.route(query.input, query.plugins)
        if not claim.is_by_trigger or _are_put_off(claim.plugins):
            claim = await self._wait(claim, gathering)
        plugins = claim.plugins
        gathering.asked.update(plugin.name for plugin in plugins)
        if len(plugins) == 1:  # nearly always: a nursery would cost a tenth of the whole query
            await self._ask(plugins[0], claim.rest, gathering)
            return
        async with trio.open_nursery() as nursery:
            for plugin in plugins:
                nursery.start_soon(self._ask, plugin, claim.rest, gathering)

    async def _wait(self, claim: Claim, gathering: Gathering) -> Claim:
        """Nobody claims the input, or nobody who may be asked now: wait for that as long as the query wants."""
        query = gathering.query
        with trio.move_on_after(min(max(query.wait_ms, 0), LONGEST_WAIT_MS) / 1000):
            if not claim.is_by_trigger:
                if query.wait_ms > 0:  # a file that was put there just now
                    await self._reconciler.catch_up()
                    claim = self._catalog.route(query.input, query.plugins)
                claim = await self._wait_for_pending(claim, gathering)
            while _are_put_off(claim.plugins):
                gathering.asked = {plugin.name for plugin in claim.plugins}  # whom a deadline would miss
                await min(claim.plugins, key=lambda plugin: plugin.health.delay()).health.turn()
                claim = self._catalog.route(query.input, query.plugins)
            return claim
        gathering.asked.clear()
        claim = self._catalog.route(query.input, query.plugins)
        if not claim.is_by_trigger:
            for plugin in self._catalog.pending(query.plugins):
                gathering.results.status = "partial"
                error = PluginError(plugin.name, "compiling", "is being compiled: ask again in a moment")
                gathering.results.errors.append(error)
        return claim

    async def _wait_for_pending(self, claim: Claim, gathering: Gathering) -> Claim:
        """No plugin claims the input, but one that is on its way may."""
        query = gathering.query
        told: set[str] = set()
        with self._catalog.changes() as changes:
            while not claim.is_by_trigger and (pending := self._catalog.pending(query.plugins)):
                for plugin in pending:
                    if query.wait_ms > 0 and plugin.state == "compiling" and plugin.name not in told:
                        told.add(plugin.name)
                        await gathering.emit(Event(id=query.id, event="compiling", plugin=plugin.name, done=False))
                await changes.receive()
                claim = self._catalog.route(query.input, query.plugins)
        return claim

    async def _ask(self, plugin: Plugin, rest: str, gathering: Gathering) -> None:
        """Add one plugin's items, or its error, to the answer."""
        version = plugin.serving
        if version is None:  # it was taken out of service a moment ago
            gathering.asked.discard(plugin.name)
            return
        started = trio.current_time()
        items: list[Item] = []
        errors: list[PluginError] = []
        try:
            try:
                handled = await self._call(plugin, version, version.handed(rest))
            except RemadeFault:
                version = await self._remade(plugin, version, gathering.query)
                handled = await self._call(plugin, version, version.handed(rest))
        except PluginFault as fault:
            self._stats.failed(plugin.name, fault.code)
            errors.append(PluginError(plugin.name, fault.code, str(fault)))
            if fault.code in ("timeout", "busy") or isinstance(fault, PutOffFault):
                gathering.results.status = "partial"
        else:
            self._stats.answered(plugin.name, trio.current_time() - started)
            items = self._memory.keep(plugin.name, handled.items[: version.load.limits.max_items][: gathering.room()])
            if handled.cut is not None:
                errors.append(PluginError(plugin.name, "too-large", brief(handled.cut)))
        await gathering.add(plugin.name, items, errors)

    async def _remade(self, plugin: Plugin, version: Version, query: Query) -> Version:
        """The version that takes the place of one whose compiled form was lost, if the query can wait for it.

        Raises:
            PluginFault: it can't wait so long.

        """
        with self._catalog.changes() as changes, trio.move_on_after(max(query.wait_ms, 0) / 1000):
            while plugin.serving is version:
                await changes.receive()
        if plugin.serving is None or plugin.serving is version:
            raise PluginFault("compiling", REMADE)
        return plugin.serving

    async def _call(self, plugin: Plugin, version: Version, text: str) -> Handled:
        """Run the plugin, unless it is not worth a try now.

        Raises:
            PluginFault: there is no answer, and why.

        """
        health = plugin.health
        if health.is_put_off:
            raise PutOffFault(health.code, health.describe())
        try:
            with health.calling():
                reply = await self._pool.call(version.load, Handle(version.load.slot, text))
        except PluginFault as fault:
            if health.failed(fault) and plugin.health is health:
                self._catalog.health_moved(plugin)
            raise
        except ArtefactError as error:
            await self._reconciler.mend(plugin.name, version)
            raise RemadeFault("compiling", REMADE) from error
        if health.answered():
            self._catalog.health_moved(plugin)
        return reply


def _are_put_off(plugins: list[Plugin]) -> bool:
    """Whether there are plugins to ask, and none of them may be asked now."""
    return bool(plugins) and all(plugin.health.is_put_off for plugin in plugins)
