"""The workers: how many there are, who has one, and what becomes of it.

A worker runs one call at a time. A call's deadline, its cancellation and its being superseded are one thing, the end
of a trio cancel scope around it: a worker whose call did not finish is killed, and the task that kept it alive has
the zygote fork another. Nothing has to cooperate, and the next query finds another worker meanwhile.

A plugin never holds more than half of the workers. A call that still waits after `GROW_AFTER` gets one more than there
are configured, which goes again when nobody waits: several slow plugins can't starve the rest either.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from swiftd.cache import Cache
from swiftd.children import LostError
from swiftd.errors import DaemonError, PluginFault
from swiftd.sandbox.messages import Failed, Handle, Handled, Load, Trigger, Triggered, decode_reply
from swiftd.worker import ArtefactError, Folders, Place, StaleError, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from swiftd.children import Zygote
    from swiftd.journal import Journal

GROW_AFTER = 0.05
"""Seconds. A hundred times what a call takes; a third of what a person notices."""
MOST_EXTRA = 4
"""Workers above the configured number, at most. Each may hold a plugin's memory limit."""
WAIT_LIMIT = 2.0
"""Seconds that a call waits for a worker before it is told that all are busy."""
BUSY_LIMIT = 0.25
"""Seconds to wait for a worker that runs a call, when something is to be done with each."""
FIRST_CALL = 5.0
"""Seconds that a plugin has at least to say its trigger, whatever its deadline: it is asked once, maybe while the
machine starts, and is refused if it does not answer."""
STALE_TRIES = 3
"""How often a call is begun before folders that are replaced all the time are given up."""
SHORT_LIFE = 1.0
"""Seconds. A worker that ends by itself sooner than this is not replaced at once."""

_log = logging.getLogger(__name__)


class Pool:
    """The workers, shared by all queries."""

    def __init__(self, zygote: Zygote, size: int, cache: Cache | Path, journal: Journal) -> None:
        self.size = size
        self.hardening: list[str] = []
        """What the workers have given up, as the last one said."""
        self._cache = cache if isinstance(cache, Cache) else Cache(cache)
        self._journal = journal
        self._lacking: dict[int, list[str]] = {}  # by slot, what the last run told of its granted folders
        self._folders = self._folders_of(())
        self.killed = 0
        """How many workers were ended in mid-call, in this daemon's life."""
        self._zygote = zygote
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._wanted: dict[int, Load] = {}
        self._held: Counter[str] = Counter()  # workers by the plugin that has them
        self._waiting = 0
        self._extra = 0
        self._complaint = ""
        self._freed = trio.lowlevel.ParkingLot()
        self._places: list[Place] = []
        self._nursery: trio.Nursery | None = None

    @property
    def count(self) -> int:
        """Workers alive now."""
        return len(self._workers)

    async def run(self) -> None:
        """Keep the workers alive. Ends by cancellation, and they with it."""
        async with trio.open_nursery() as self._nursery:
            self.resize(self.size)
            await trio.sleep_forever()

    def resize(self, size: int) -> None:
        """Have that many workers from now on."""
        self.size = size
        while len(self._places) < size and self._nursery is not None:
            place = Place()
            self._places.append(place)
            self._nursery.start_soon(self._keep_one, place)
        for place in self._places[size:]:
            place.is_wanted = False
            if (worker := place.worker) in self._idle:
                self._idle.remove(worker)
                worker.kill()
        del self._places[size:]

    async def call(self, load: Load, job: Trigger | Handle) -> Triggered | Handled:
        """Run one call of a plugin, within its deadline. What it printed, and its failure, goes to its log.

        Raises:
            PluginFault: it did not answer, and why.
            ArtefactError: the plugin could not be loaded.

        """
        try:
            reply, seconds = await self._call(load, job)
            self._journal.ran(load.plugin, reply)
            self._tell_what_lacks(load, reply.lacking)
            if isinstance(reply, Failed):
                if reply.code == "artefact":
                    raise ArtefactError(reply.message)
                assert reply.code != "stale"  # noqa: S101 - never returned by _call
                raise PluginFault(reply.code, reply.message, seconds=seconds)
        except PluginFault as fault:
            self._journal.write(load.plugin, "error", f"{fault.code}: {fault}")
            raise
        return reply

    def _tell_what_lacks(self, load: Load, lacking: list[str]) -> None:
        """Granted folders come and go: the plugin's log says so at each change, not at each call."""
        before = self._lacking.get(load.slot, [])
        for why in lacking:
            if why not in before:
                self._journal.write(load.plugin, "warning", why)
        if before and not lacking:
            self._journal.write(load.plugin, "info", "all granted folders are there again")
        if load.slot in self._wanted:  # not one that was replaced meanwhile
            self._lacking[load.slot] = lacking

    async def _call(self, load: Load, job: Trigger | Handle) -> tuple[Triggered | Handled | Failed, float]:
        """A call by a worker that was let into the folders as they are now: the reply, and the guest's seconds."""
        self._open(load)
        for _ in range(STALE_TRIES):
            try:
                return await self._call_one(load, job)
            except StaleError:
                self._renew([load])
        raise PluginFault("busy", "its folders are replaced again and again: ask again")

    async def _call_one(self, load: Load, job: Trigger | Handle) -> tuple[Triggered | Handled | Failed, float]:
        worker = await self._take(load.plugin)
        deadline = max(load.limits.deadline, FIRST_CALL) if isinstance(job, Trigger) else load.limits.deadline
        finished = False
        try:
            await worker.load(load)
            started = trio.current_time()
            with trio.move_on_after(deadline):
                reply: Triggered | Handled | Failed = await worker.child.ask(job, decode_reply)
                finished = True
                if isinstance(reply, Failed) and reply.code == "stale":
                    raise StaleError(reply.message)
                return reply, trio.current_time() - started
            raise PluginFault("timeout", f"no answer within its deadline of {deadline * 1000:.0f} ms")
        except (ArtefactError, StaleError):
            finished = True
            raise
        except LostError as error:
            raise PluginFault("trap", "its sandbox process ended in the middle of the call", is_loss=True) from error
        finally:
            if not finished:
                worker.kill()
                self.killed += 1
                self._journal.ran(load.plugin, worker.child.left_behind(load.slot))
            self._give_back(worker, load)

    async def add(self, load: Load) -> None:
        """Load an artefact into every worker, one after the other, those to come included.

        Raises:
            ArtefactError: it is not what was compiled.

        """
        self._open(load)
        self._wanted[load.slot] = load
        try:
            await self._each(lambda worker: worker.load(load))
        except ArtefactError:
            self._wanted.pop(load.slot, None)
            raise

    def disown(self, slot: int) -> None:
        """An artefact is not wanted after all. Workers that have it keep it until the next `remove`."""
        self._wanted.pop(slot, None)

    async def remove(self, slot: int) -> None:
        """Have every worker forget an artefact, and those not wanted. A call that still wants it can load it again."""
        self._wanted.pop(slot, None)
        self._lacking.pop(slot, None)
        self._set_folders(self._folders_of(self._wanted.values()))
        await self._each(lambda worker: worker.keep_only(self._wanted.keys()))

    def _folders_of(self, loads: Iterable[Load]) -> Folders:
        """Where artefacts are, and what these plugins were granted."""
        loads = list(loads)
        caches = [real for folder in self._cache.folders if _is_text(real := os.path.realpath(folder))]
        return Folders(
            frozenset([*caches, *(real for load in loads for _, real in load.grants.read)]),
            frozenset(real for load in loads for _, real in load.grants.write),
        )

    def _open(self, load: Load) -> None:
        """Let the workers have a plugin's folders. What one gave up it can't get back: it is replaced."""
        if load.slot not in self._wanted:
            more = self._folders_of([load])
            self._set_folders(Folders(self._folders.read | more.read, self._folders.write | more.write))

    def _renew(self, loads: Iterable[Load]) -> None:
        """Folders are others now than they were: no worker of now is let into them as they are."""
        self._set_folders(self._folders_of([*self._wanted.values(), *loads]), anew=True)

    def _set_folders(self, folders: Folders, *, anew: bool = False) -> None:
        if self._folders == folders and not anew:
            return
        self._folders = replace(
            folders
        )  # a new object, even if equal: workers compare by identity, so all older ones are out of date
        for worker in self._idle:
            worker.kill()
        self._idle.clear()  # the busy ones follow when they are given back

    async def _each(self, do: Callable[[Worker], Awaitable[None]]) -> None:
        """Do something with every worker of now, one at a time, when it is idle.

        Those that end, or are busy for long, are left out: a worker loads what it lacks when it is asked for it.
        """
        for worker in list(self._workers):
            with trio.move_on_after(BUSY_LIMIT):
                while worker in self._workers and worker not in self._idle:
                    await self._freed.park()
            if worker not in self._idle:
                continue
            self._idle.remove(worker)
            finished = False
            try:
                await do(worker)
                finished = True
            except ArtefactError:
                finished = True
                raise
            except StaleError:
                self._renew(())  # those that come load it by themselves
            except LostError:
                pass
            finally:
                if not finished:
                    worker.kill()
                self._put(worker)

    async def _take(self, plugin: str) -> Worker:
        """An idle worker, for one plugin's use."""
        if not (worker := self._next(plugin)):
            self._waiting += 1
            try:
                with trio.move_on_after(WAIT_LIMIT):
                    with trio.move_on_after(GROW_AFTER):
                        worker = await self._wait(plugin)
                    if not worker:
                        self._grow(plugin)
                        worker = await self._wait(plugin)
            finally:
                self._waiting -= 1
                self._shrink()
            if not worker:
                raise PluginFault("busy", f"no sandbox process was free for {WAIT_LIMIT:.0f} s")
        self._held[plugin] += 1
        return worker

    async def _wait(self, plugin: str) -> Worker:
        while not (worker := self._next(plugin)):
            await self._freed.park()
        return worker

    def _next(self, plugin: str) -> Worker | None:
        if self._idle and self._may_have(plugin):
            return self._idle.pop()
        return None

    def _may_have(self, plugin: str) -> bool:
        """Whether the plugin has less than its share of the workers."""
        return self._held[plugin] < max(1, self.size // 2)

    def _give_back(self, worker: Worker, load: Load) -> None:
        self._held[load.plugin] -= 1
        if not self._held[load.plugin]:
            del self._held[load.plugin]
        self._put(worker)

    def _put(self, worker: Worker) -> None:
        if worker.folders is not self._folders or not worker.place.is_wanted:
            worker.kill()
        if worker in self._workers and not worker.killed:
            self._idle.append(worker)
        self._shrink()
        self._freed.unpark_all()

    def _shrink(self) -> None:
        """Let the extra workers go when nobody waits for any."""
        if self._extra and not self._waiting:
            for worker in [worker for worker in self._idle if worker.place.is_extra]:
                self._idle.remove(worker)
                worker.kill()

    def _grow(self, plugin: str) -> None:
        if self._extra < MOST_EXTRA and not self._idle and self._may_have(plugin) and self._nursery is not None:
            self._extra += 1
            self._nursery.start_soon(self._live_once)

    async def _live_once(self) -> None:
        try:
            await self._live(Place(is_extra=True))
        except DaemonError as error:
            self._complain(error)
        finally:
            self._extra -= 1

    def _complain(self, error: DaemonError) -> None:
        """Say why there is no new worker, once for as long as it is so."""
        if str(error) != self._complaint:
            _log.error("%s", error)
        self._complaint = str(error)

    async def _keep_one(self, place: Place) -> None:
        """One worker after the other, for ever; after one that ended by itself at once, with a growing pause."""
        pause = 0.0
        while place.is_wanted:
            born = trio.current_time()
            try:
                killed = await self._live(place)
            except DaemonError as error:
                self._complain(error)
                killed = False
            if killed or trio.current_time() - born > SHORT_LIFE:
                pause = 0.0
            else:
                pause = min(5.0, 2 * pause + 0.1)
                await trio.sleep(pause)

    async def _live(self, place: Place) -> bool:
        """One worker's life. Returns whether it was ended on purpose.

        Raises:
            DaemonError: it could not be made.

        """
        started = trio.current_time()
        child = await self._zygote.fork("w")
        self._complaint = ""
        folders = self._folders
        worker = place.worker = Worker(child, folders, place)
        try:
            self.hardening = await worker.harden()
            while missing := [load for slot, load in self._wanted.items() if slot not in worker.loaded]:
                for load in missing:
                    try:
                        await worker.load(load)
                    except ArtefactError:  # the next call that needs it fails, and has it compiled anew
                        self._wanted.pop(load.slot, None)
                    except StaleError as error:
                        self._renew(())
                        worker.kill()
                        raise LostError(child.pid) from error
            self._workers.add(worker)
            self._put(worker)
            _log.debug("worker %d serves after %.0f ms", child.pid, (trio.current_time() - started) * 1000)
            await child.wait()
        except LostError:  # before it served
            pass
        finally:
            self._workers.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
            child.close()
            self._freed.unpark_all()
        if not worker.killed:
            _log.warning("worker %d ended by itself", child.pid)
        return worker.killed


def _is_text(name: str) -> bool:
    """Whether a name can be told to a worker. The cache is never used by one that can't."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
