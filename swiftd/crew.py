"""Workers that are alike: let into the same folders, told of the same plugins, and lent to their calls.

Each place has one worker after the other: whatever ends one, another is forked. A call that waits for want of a worker
for `GROW_AFTER` gets one more than there are places, which ends as soon as nobody waits: several slow plugins can't
starve the rest, nor a plugin's slow call its next one.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from swiftd.children import LostError
from swiftd.errors import DaemonError
from swiftd.lending import Lender
from swiftd.worker import ArtefactError, Folders, Place, StaleError, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from swiftd.cache import Cache
    from swiftd.children import Zygote
    from swiftd.sandbox.messages import Load

GROW_AFTER = 0.05
"""Seconds. A hundred times what a call takes; a third of what a person notices."""
BUSY_LIMIT = 0.25
"""Seconds to wait for a worker that runs a call, when something is to be done with each."""
SHORT_LIFE = 1.0
"""Seconds. A worker that ends by itself sooner than this is not replaced at once."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries to have a worker that lives."""

_log = logging.getLogger(__name__)


@dataclass
class Spare:
    """How many workers there may be above the places. Crews may have one of these in common."""

    left: int


class Maker:
    """Where crews have their workers from."""

    def __init__(self, zygote: Zygote, cache: Cache) -> None:
        self.zygote = zygote
        self.cache = cache
        self.nursery: trio.Nursery | None = None
        """Where workers live. None: not yet, or no more."""
        self._complaint = ""

    def complain(self, complaint: str) -> None:
        """Say why there is no new worker, once for as long as it is so."""
        if complaint and complaint != self._complaint:
            _log.error("%s", complaint)
        self._complaint = complaint


class Crew:
    """The workers of one set of grants."""

    def __init__(self, maker: Maker, spare: Spare, most_extra: int) -> None:
        """`most_extra` is how many of the spare ones this crew may have at a time."""
        self.loads: dict[int, Load] = {}
        """What the workers keep loaded, by slot."""
        self.workers: set[Worker] = set()
        """Those that serve."""
        self.calls = 0
        """Calls under way, those that wait included. Whoever makes them counts them."""
        self.lender: Lender[Worker] = Lender(sys.maxsize, self._is_fit)
        self._maker = maker
        self._spare = spare
        self._most_extra = most_extra
        self._extra = 0
        self._coming = 0
        self._is_relieving = False
        self._resting = trio.lowlevel.ParkingLot()  # places that pause
        self._places: list[Place] = []
        self._folders = self._folders_of(())

    def resize(self, size: int) -> None:
        """Have that many places from now on."""
        while len(self._places) < size and self._maker.nursery is not None:
            place = Place()
            self._places.append(place)
            self._maker.nursery.start_soon(self._keep_one, place)
        for place in self._places[size:]:
            place.is_wanted = False
        del self._places[size:]
        self._drop(worker for worker in self.lender.idle if not worker.place.is_wanted)

    # ---- lending ------------------------------------------------------------------------------------------------

    async def take(self, plugin: str) -> Worker:
        """A worker, once it is this call's turn. To be given back, in whatever state."""
        if self.lender.may_have(plugin):
            self._relieve_in_time()
        return await self.lender.take(plugin)

    def give_back(self, worker: Worker, plugin: str) -> None:
        """A call has no use for its worker any more."""
        self.lender.give_back(worker, plugin)
        if worker.killed and self.lender.demand:
            self._relieve_in_time()

    def _is_fit(self, worker: Worker) -> bool:
        """Whether a worker may be lent again. One that may not ends."""
        is_needed = not worker.place.is_extra or self.lender.demand > 0
        if worker.folders is not self._folders or not worker.place.is_wanted or not is_needed:
            worker.kill()
        return worker in self.workers and not worker.killed

    def _relieve_in_time(self) -> None:
        if not self._is_relieving and self._maker.nursery is not None:
            self._is_relieving = True
            self._maker.nursery.start_soon(self._relieve)

    async def _relieve(self) -> None:
        """Have more workers as long as somebody waits for want of one."""
        try:
            while (since := self.lender.waiting_since) is not None:
                pause = since + GROW_AFTER - trio.current_time()
                if pause <= 0:
                    self._grow()
                    pause = GROW_AFTER
                await trio.sleep(pause)
        finally:
            self._is_relieving = False

    def _grow(self) -> None:
        if self._maker.nursery is None:
            return
        lacking = self.lender.demand - self._coming
        lacking -= len(self._resting.unpark(count=max(0, lacking)))
        for _ in range(min(lacking, self._most_extra - self._extra, self._spare.left)):
            self._extra += 1
            self._spare.left -= 1
            self._maker.nursery.start_soon(self._live_once)

    # ---- what they have loaded, and where they are let in -------------------------------------------------------

    async def add(self, load: Load) -> None:
        """Load an artefact into every worker, one after the other, those to come included.

        Raises:
            ArtefactError: it is not what was compiled.

        """
        self.open(load)
        self.loads[load.slot] = load
        try:
            await self._each(lambda worker: worker.load(load))
        except ArtefactError:
            self.loads.pop(load.slot, None)
            raise

    async def remove(self, slot: int) -> None:
        """Have every worker forget an artefact, and those that are not to be kept."""
        self.loads.pop(slot, None)
        self._let_into(self._folders_of(self.loads.values()))
        await self._each(lambda worker: worker.keep_only(self.loads.keys()))

    def open(self, load: Load) -> None:
        """Let the workers have a plugin's folders. What one gave up it can't get back: it is replaced."""
        if load.slot not in self.loads:
            more = self._folders_of([load])
            self._let_into(Folders(self._folders.read | more.read, self._folders.write | more.write))

    def renew(self, witness: Worker, loads: Collection[Load] = ()) -> None:
        """A folder is another now than when this worker was let into it: no older one is of use any more, either."""
        if witness.folders is self._folders:  # else it is known already
            self._let_into(self._folders_of([*self.loads.values(), *loads]), anew=True)

    def _folders_of(self, loads: Iterable[Load]) -> Folders:
        """Where artefacts are, and what these plugins were granted."""
        loads = list(loads)
        caches = [real for folder in self._maker.cache.folders if _is_text(real := os.path.realpath(folder))]
        return Folders(
            frozenset([*caches, *(real for load in loads for _, real in load.grants.read)]),
            frozenset(real for load in loads for _, real in load.grants.write),
        )

    def _let_into(self, folders: Folders, *, anew: bool = False) -> None:
        if self._folders == folders and not anew:
            return
        # A new object, even if equal: workers compare by identity, so all older ones are out of date.
        self._folders = replace(folders)
        self._drop(self.lender.idle)  # the busy ones follow when they are given back

    def _drop(self, idle: Iterable[Worker]) -> None:
        for worker in idle:
            self.lender.withdraw(worker)
            worker.kill()

    async def _each(self, do: Callable[[Worker], Awaitable[None]]) -> None:
        """Do something with every worker of now, one at a time, when it is idle.

        Those that end, or are busy for long, are left out: a worker loads what it lacks when it is asked for it.
        """
        for worker in list(self.workers):
            is_ours = False
            with trio.move_on_after(BUSY_LIMIT):
                is_ours = worker in self.workers and await self.lender.borrow(worker)
            if not is_ours:
                continue
            finished = False
            try:
                await do(worker)
                finished = True
            except ArtefactError:
                finished = True
                raise
            except StaleError:
                self.renew(worker)  # those that come load it by themselves
            except LostError:
                pass
            finally:
                if not finished:
                    worker.kill()
                self.lender.put(worker)

    # ---- their lives --------------------------------------------------------------------------------------------

    async def _keep_one(self, place: Place) -> None:
        """One worker after the other, for ever; after one that ended by itself at once, with a growing pause.

        The pause is over when somebody has waited for long.
        """
        pause = 0.0
        while place.is_wanted:
            born = trio.current_time()
            killed = await self._live(place)
            if killed or trio.current_time() - born > SHORT_LIFE:
                pause = 0.0
            else:
                pause = min(LONGEST_PAUSE, 2 * pause + 0.1)
                with trio.move_on_after(pause):
                    await self._resting.park()

    async def _live_once(self) -> None:
        try:
            await self._live(Place(is_extra=True))
        finally:
            self._extra -= 1
            self._spare.left += 1

    async def _live(self, place: Place) -> bool:
        """One worker's life. Returns whether it was ended on purpose."""
        if (worker := await self._make(place)) is None:
            return False
        try:
            self.workers.add(worker)
            self.lender.put(worker)
            await worker.child.wait()
        finally:
            self.workers.discard(worker)
            self.lender.withdraw(worker)
            worker.child.close()
        if not worker.killed:
            _log.warning("worker %d ended by itself", worker.child.pid)
        return worker.killed

    async def _make(self, place: Place) -> Worker | None:
        """A worker that is ready to serve; None if there can be none now."""
        started = trio.current_time()
        worker: Worker | None = None
        is_ready = False
        self._coming += 1
        try:
            worker = Worker(await self._maker.zygote.fork("w"), self._folders, place)
            self._maker.complain("")
            await worker.harden()
            while missing := [load for slot, load in self.loads.items() if slot not in worker.loaded]:
                for load in missing:
                    await self._load(worker, load)
            is_ready = True
        except DaemonError as error:
            self._maker.complain(str(error))
        except StaleError:
            if worker is not None:
                self.renew(worker)
        except LostError:
            pass  # it is tried again
        except Exception:  # noqa: BLE001 - whatever a child says, it must not end the daemon
            _log.exception("a worker could not be made")
        finally:
            self._coming -= 1
            if worker is not None and not is_ready:
                worker.child.close()
        if not is_ready or worker is None:
            return None
        _log.debug("worker %d serves after %.0f ms", worker.child.pid, (trio.current_time() - started) * 1000)
        return worker

    async def _load(self, worker: Worker, load: Load) -> None:
        """Load what a new worker is to have.

        Raises:
            StaleError: it was not let into the folder where that lies.
            LostError: it ended.

        """
        try:
            await worker.load(load)
        except ArtefactError:  # the next call that needs it fails, and has it compiled anew
            self.loads.pop(load.slot, None)


def _is_text(name: str) -> bool:
    """Whether a name can be told to a worker. The cache is never used by one that can't."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
