"""Calls of plugins: by which worker, in how much time, and what becomes of that worker.

A worker runs one call at a time. A call's deadline, its cancellation and its being superseded are one thing, the end
of a trio cancel scope around it: a worker whose call did not finish is killed, and the task that kept it alive has
the zygote fork another. Nothing has to cooperate, and the next query finds another worker meanwhile.

Who shares workers is decided by what native code would gain that has got out of wasmtime and taken over a worker:
whatever was told to this process and whatever the kernel lets it into. So a plugin with folders, or with settings or
environment variables of its own, which may be secrets, is alone in its crew. All others have one in common, and there
is nothing to be had there but what all plugins are given: the clock, random bytes and their own files, which a worker
can reach in any case. What is left to gain is what is typed to the others of that crew, and their answers.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, overload

import trio

from swiftd.cache import Cache
from swiftd.children import LostError
from swiftd.crew import Crew, Maker, Spare
from swiftd.errors import PluginFault
from swiftd.sandbox.messages import Failed, Handle, Handled, Load, Trigger, Triggered
from swiftd.worker import LOAD_LIMIT, ArtefactError, StaleError

if TYPE_CHECKING:
    from pathlib import Path

    from swiftd.children import Zygote
    from swiftd.journal import Journal
    from swiftd.worker import Worker

MOST_EXTRA = 4
"""Workers above the configured number, at most, and as many above one for each crew apart, all those together. Each may
hold a plugin's memory limit."""
EXTRA_APART = 1
"""So many of the latter for one plugin, which would use them to be slow in."""
MOST_APART = 16
"""Crews apart that have a worker, at most. An idle one takes 6 MB; most users have fewer plugins with grants."""
WAIT_LIMIT = 2.0
"""Seconds from a call's beginning until the plugin runs: to have a worker, and to have it load what it lacks. Then it
is told that all are busy. So a call ends after this and its deadline, whatever happens."""
FIRST_WAIT = WAIT_LIMIT + LOAD_LIMIT
"""The same for a plugin that is asked for its trigger: once, maybe with hundreds of others while the machine starts."""
FIRST_CALL = 5.0
"""Seconds that a plugin has at least to say its trigger, whatever its deadline: it is refused if it does not answer."""
STALE_TRIES = 3
"""How often a call is begun before folders that are replaced all the time are given up."""


class Pool:
    """All workers, shared by all queries."""

    def __init__(self, zygote: Zygote, size: int, cache: Cache | Path, journal: Journal) -> None:
        self.size = size
        self.killed = 0
        """How many workers were ended in mid-call, in this daemon's life."""
        self._journal = journal
        self._lacking: dict[int, list[str]] = {}  # by slot, what the last run told of its granted folders
        self._maker = Maker(zygote, cache if isinstance(cache, Cache) else Cache(cache))
        self._common = Crew(self._maker, Spare(MOST_EXTRA), MOST_EXTRA)
        self._apart: dict[str, Crew] = {}  # by the plugin's name
        self._spare = Spare(MOST_EXTRA)  # of all those
        self._warm: OrderedDict[Crew, None] = OrderedDict()  # those that have a place, the last used last
        self._cold: OrderedDict[Crew, None] = OrderedDict()  # those that wait for one

    @property
    def count(self) -> int:
        """Workers that serve now."""
        return len(self._common.workers) + self.count_apart

    @property
    def count_apart(self) -> int:
        """How many of them serve one plugin alone."""
        return sum(len(crew.workers) for crew in self._apart.values())

    @property
    def hardening(self) -> list[str]:
        """What every worker of now has given up."""
        told = [worker.measures for crew in (self._common, *self._apart.values()) for worker in crew.workers]
        return [measure for measure in told[0] if all(measure in measures for measures in told)] if told else []

    async def run(self) -> None:
        """Keep the workers alive. Ends by cancellation, and they with it."""
        async with trio.open_nursery() as nursery:
            self._maker.nursery = nursery
            self.resize(self.size)
            for crew in self._warm:
                crew.resize(1)
            try:
                await trio.sleep_forever()
            finally:
                self._maker.nursery = None  # calls that end with the daemon must not start what ends with it, too

    def resize(self, size: int) -> None:
        """Have that many workers in common from now on. A plugin has half of them at a time, at most."""
        self.size = size
        self._common.resize(size)
        self._common.lender.allow(max(1, size // 2))

    # ---- calls --------------------------------------------------------------------------------------------------

    @overload
    async def call(self, load: Load, job: Trigger) -> Triggered: ...

    @overload
    async def call(self, load: Load, job: Handle) -> Handled: ...

    async def call(self, load: Load, job: Trigger | Handle) -> Triggered | Handled:
        """Run one call of a plugin. What it printed, and its failure, goes to its log.

        It takes `WAIT_LIMIT` and the plugin's deadline at the longest; `FIRST_WAIT` and `FIRST_CALL` for its trigger.

        Raises:
            PluginFault: it did not answer, and why.
            ArtefactError: the plugin could not be loaded.

        """
        crew = self._crew(load)
        crew.calls += 1
        try:
            reply, seconds = await self._call(crew, load, job)
            self._journal.ran(load.plugin, reply)
            self._tell_what_lacks(crew, load, reply.lacking)
            if isinstance(reply, Failed):
                if reply.code == "artefact":
                    raise ArtefactError(reply.message)
                assert reply.code != "stale"  # noqa: S101 - Worker.run raises it
                raise PluginFault(reply.code, reply.message, seconds=seconds)
        except PluginFault as fault:
            self._journal.write(load.plugin, "error", f"{fault.code}: {fault}")
            raise
        finally:
            crew.calls -= 1
            self._tidy(load.plugin, crew)
        return reply

    async def _call(self, crew: Crew, load: Load, job: Trigger | Handle) -> tuple[Triggered | Handled | Failed, float]:
        """A call by a worker that was let into the folders as they are now: the reply, and the guest's seconds."""
        await trio.lowlevel.checkpoint_if_cancelled()  # before it costs a worker
        crew.open(load)
        begun = trio.current_time()
        for _ in range(STALE_TRIES):
            with suppress(StaleError):
                return await self._call_one(crew, load, job, begun)
        raise PluginFault("busy", "its folders are replaced again and again: ask again")

    async def _call_one(
        self, crew: Crew, load: Load, job: Trigger | Handle, begun: float
    ) -> tuple[Triggered | Handled | Failed, float]:
        wait, deadline = WAIT_LIMIT, load.limits.deadline
        if isinstance(job, Trigger):
            wait, deadline = FIRST_WAIT, max(deadline, FIRST_CALL)
        is_whole = False
        self._warm_up(crew)
        worker = crew.lender.take_at_once(load.plugin)
        try:
            if worker is None or load.slot not in worker.loaded:
                with trio.move_on_at(begun + wait) as waiting:
                    worker = worker or await crew.take(load.plugin)
                    await worker.load(load)
                if worker is None or waiting.cancelled_caught:
                    raise PluginFault("busy", f"no sandbox process was free for {wait:.0f} s")
            started = trio.current_time()
            with trio.move_on_after(deadline):
                reply = await worker.run(job, load)
                is_whole = True
                return reply, trio.current_time() - started
            raise PluginFault("timeout", f"no answer within its deadline of {deadline * 1000:.0f} ms")
        except ArtefactError:
            is_whole = True
            raise
        except StaleError:
            is_whole = True
            if worker is not None:
                crew.renew(worker, [load])
            raise
        except LostError as error:
            raise PluginFault("trap", "its sandbox process ended in the middle of the call", is_loss=True) from error
        finally:
            if worker is not None:
                if not is_whole:
                    worker.kill()
                    self.killed += 1
                    self._journal.ran(load.plugin, worker.child.left_behind(load.slot))
                self._give_back(crew, worker, load.plugin)

    def _tell_what_lacks(self, crew: Crew, load: Load, lacking: list[str]) -> None:
        """Granted folders come and go: the plugin's log says so at each change, not at each call."""
        before = self._lacking.get(load.slot, [])
        for why in lacking:
            if why not in before:
                self._journal.write(load.plugin, "warning", why)
        if before and not lacking:
            self._journal.write(load.plugin, "info", "all granted folders are there again")
        if load.slot in crew.loads:  # not one that was replaced meanwhile
            self._lacking[load.slot] = lacking

    # ---- what is loaded -----------------------------------------------------------------------------------------

    async def add(self, load: Load) -> None:
        """Load an artefact into every worker of its crew, one after the other, those to come included.

        Raises:
            ArtefactError: it is not what was compiled.

        """
        crew = self._crew(load)
        try:
            await crew.add(load)
        except ArtefactError:
            self._tidy(load.plugin, crew)
            raise

    def disown(self, slot: int) -> None:
        """An artefact is not wanted after all. Workers that have it keep it until the next `remove` in their crew."""
        plugin, crew = self._owner(slot)
        crew.loads.pop(slot, None)
        self._tidy(plugin, crew)

    async def remove(self, slot: int) -> None:
        """Have every worker forget an artefact, and those not wanted. A call that still wants it can load it again."""
        plugin, crew = self._owner(slot)
        self._lacking.pop(slot, None)
        await crew.remove(slot)
        self._tidy(plugin, crew)

    # ---- crews --------------------------------------------------------------------------------------------------

    def _crew(self, load: Load) -> Crew:
        """The workers that a plugin's calls are for."""
        if not (load.private or load.grants.read or load.grants.write):
            return self._common
        if (crew := self._apart.get(load.plugin)) is None:
            crew = self._apart[load.plugin] = Crew(self._maker, self._spare, EXTRA_APART)
        return crew

    def _owner(self, slot: int) -> tuple[str, Crew]:
        """Whose workers keep an artefact loaded: the plugin, if it is alone with them, and the crew."""
        found = ((plugin, crew) for plugin, crew in self._apart.items() if slot in crew.loads)
        return next(found, ("", self._common))

    def _tidy(self, plugin: str, crew: Crew) -> None:
        """End a crew apart that is of no use any more."""
        if crew is self._common or crew.calls:
            return
        self._cold.pop(crew, None)
        if not crew.loads and self._apart.get(plugin) is crew:
            del self._apart[plugin]
            self._cool(crew)
        self._warm_up_next()

    def _warm_up(self, crew: Crew) -> None:
        """Have a crew apart keep a worker from now on, or as soon as another has done without."""
        if crew in self._warm:
            self._warm.move_to_end(crew)
        elif crew is not self._common:
            self._cold.setdefault(crew)
            self._warm_up_next()

    def _warm_up_next(self) -> None:
        """Let those that wait for a place have one: a new one, or that of the crew that has been idle longest."""
        while self._cold:
            if len(self._warm) >= MOST_APART:
                idle = next((crew for crew in self._warm if not crew.calls), None)
                if idle is None:
                    return
                self._cool(idle)
            crew, _ = self._cold.popitem(last=False)
            self._warm[crew] = None
            crew.resize(1)

    def _cool(self, crew: Crew) -> None:
        self._warm.pop(crew, None)
        crew.resize(0)

    def _give_back(self, crew: Crew, worker: Worker, plugin: str) -> None:
        """A call is done with its worker. If crews wait for a place, its own takes turns with them."""
        if self._cold and crew in self._warm:
            self._cool(crew)
            if crew.lender.waiting:
                self._cold[crew] = None
        crew.give_back(worker, plugin)
        self._warm_up_next()
