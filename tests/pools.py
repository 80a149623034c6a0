"""A pool with real workers from a real zygote, in the test's own process."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from daemons import GUESTS, PATIENCE, children, wait_for_end

from swiftd import paths
from swiftd.children import Zygote
from swiftd.compiler import Compiler
from swiftd.errors import PluginFault
from swiftd.journal import Journal
from swiftd.pool import Pool
from swiftd.sandbox.messages import Handle, Limits, Load

SIZE = 2


class Rig:
    """A pool with a zygote of its own."""

    def __init__(self, cache):
        self.cache = cache
        paths.make_private(cache)
        self.zygote = Zygote()
        self.compiler = Compiler(cache, self.zygote)
        self.journal = Journal()
        self.pool = Pool(self.zygote, SIZE, cache, self.journal)
        self._slots = 0

    async def load(self, guest, plugin=None, deadline=10.0, **changes):
        """One of the test guests, compiled, under a number of its own."""
        path = GUESTS / f"{guest}.wat"
        entry = await self.compiler.compile(path, hashlib.sha256(path.read_bytes()).hexdigest())
        assert entry.refused is None
        await until(lambda: len(self.pids()) <= self.pool.count)  # the process that compiled it is gone
        self._slots += 1
        fields = {
            "slot": self._slots,
            "plugin": plugin or guest,
            "artefact": str(self.compiler.artefact(entry)),
            "digest": entry.digest,
            "contract": entry.contract,
            "limits": Limits(deadline=deadline),
        }
        return Load(**fields | changes)

    async def call(self, load, text="echo:x"):
        """The names of the items that a call gives."""
        reply = await self.pool.call(load, Handle(load.slot, text))
        return [name for name, _, _ in reply.items]

    async def fault(self, load, text="x"):
        """The code of the fault that a call ends with."""
        with pytest.raises(PluginFault) as caught:
            await self.pool.call(load, Handle(load.slot, text))
        return caught.value.code

    def pids(self):
        """The processes of the workers."""
        process = self.zygote._process  # None for a moment after it was killed
        return set(children(process.pid)) if process else set()

    @property
    def crews(self):
        return [self.pool._common, *self.pool._apart.values()]

    def workers(self, *, idle=False):
        """Those that serve, or of them those that do nothing."""
        return [worker for crew in self.crews for worker in (crew.lender.idle if idle else crew.workers)]

    def is_unused(self):
        """Whether nobody has a worker or waits for one."""
        lenders = [crew.lender for crew in self.crews]
        return not any(crew.calls for crew in self.crews) and not any(len(on.held) + on.waiting for on in lenders)

    async def settled(self, apart=0):
        """Wait until there are as many workers as configured, so many more for plugins alone, and nothing else."""
        count = SIZE + apart
        await until(lambda: len(self.workers()) == len(self.pids()) == len(self.workers(idle=True)) == count)

    async def busy(self, count=1):
        """Wait until so many workers run a guest; their processes."""

        def running():
            taken = {worker.child.pid for worker in self.workers()}
            taken -= {worker.child.pid for worker in self.workers(idle=True)}
            return found if len(found := [pid for pid in taken if runs(pid)]) >= count else None

        return await until(running)


async def until(condition):
    """Wait until `condition()` is true, and return it."""
    with trio.fail_after(PATIENCE):
        while not (result := condition()):  # noqa: ASYNC110 - of what the kernel does there is no event
            await trio.sleep(0.01)
    return result


def runs(pid):
    """Whether a process has the processor or waits for it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False


@asynccontextmanager
async def running(cache):
    """A rig whose pool runs, and whose processes all end."""
    rig = Rig(cache)
    await rig.zygote.start()
    everyone = [rig.zygote._process.pid]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.pool.run)
            await rig.settled()
            yield rig
            everyone += [rig.zygote._process.pid, *rig.pids()]
            nursery.cancel_scope.cancel()
    finally:
        rig.zygote.close()
        assert wait_for_end(everyone) == []
