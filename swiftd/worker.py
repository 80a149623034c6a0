"""One worker as the daemon sees it: a sandbox process, where it belongs, and what it has loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import trio

from swiftd.children import Child, LostError
from swiftd.sandbox.messages import (
    Failed,
    Handle,
    Handled,
    Harden,
    Hardened,
    Loaded,
    Trigger,
    Triggered,
    Unload,
    decode_reply,
)
from swiftd.sandbox.record import CAPABILITIES, LEVELS

if TYPE_CHECKING:
    from collections.abc import Collection

    from swiftd.sandbox.messages import Job, Load

Answer = TypeVar("Answer")

LOAD_LIMIT = 10.0
"""Seconds for a worker to load one artefact. 40 MB take 0.03."""
LONGEST_SENTENCE = 16 * 1024
"""Characters of a reason, which may name two paths of 4 KiB."""


class ArtefactError(Exception):
    """A worker refused an artefact: it must be compiled anew."""


class StaleError(Exception):
    """A folder is another one now than when the worker was let into it: another worker can do it."""


@dataclass(frozen=True)
class Folders:
    """What all plugins of a crew may read, and what they may write, by real path."""

    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()


@dataclass
class Place:
    """Where there is one worker after the other; an extra one is for one worker only."""

    is_extra: bool = False
    is_wanted: bool = True


class Worker:
    """One sandbox process and what it has loaded.

    It may have been taken over by what it runs: an answer that is none to what was asked costs it its life.
    """

    def __init__(self, child: Child, folders: Folders, place: Place) -> None:
        self.child = child
        self.folders = folders
        self.place = place
        self.loaded: set[int] = set()
        self.measures: list[str] = []
        """What it has given up, as it says."""
        self.killed = False

    async def harden(self) -> None:
        """Have it give up everything but its folders.

        Raises:
            LostError: it ended, takes too long, or can't.

        """
        with trio.move_on_after(LOAD_LIMIT):
            reply = await self._ask(Harden(list(self.folders.read), list(self.folders.write)), Hardened)
            if isinstance(reply, Hardened):
                self.measures = reply.measures
                return
        raise self._lost()

    async def load(self, load: Load) -> None:
        """Load an artefact unless it is loaded already.

        Raises:
            ArtefactError: it is not what was compiled.
            StaleError: the worker was not let into the folder where it lies.
            LostError: the worker ended.

        """
        if load.slot in self.loaded:
            return
        with trio.move_on_after(LOAD_LIMIT):
            reply = await self._ask(load, Loaded)
            if isinstance(reply, Loaded):
                self.loaded.add(load.slot)
                return
            raise (StaleError if reply.code == "stale" else ArtefactError)(reply.message)
        raise self._lost()

    async def run(self, job: Handle | Trigger, load: Load) -> Handled | Triggered | Failed:
        """Run a call of what is loaded. The caller bounds the time, and kills the worker if there is no answer.

        Raises:
            StaleError: nothing was done, as one of its folders is another now.
            LostError: the worker ended.

        """
        reply: Handled | Triggered | Failed
        if isinstance(job, Handle):
            reply = await self._ask(job, Handled)
        else:
            reply = await self._ask(job, Triggered)
        if isinstance(reply, Failed) and reply.code == "stale":
            raise StaleError(reply.message)
        if not _is_within(reply, load):
            raise self._lost()
        return reply

    async def _ask(self, job: Job, expected: type[Answer]) -> Answer | Failed:
        """What it says to a job.

        Raises:
            LostError: it ended, or what it says is no answer to that.

        """
        reply = await self.child.ask(job, decode_reply)
        if isinstance(reply, expected | Failed):
            return reply
        raise self._lost()

    def _lost(self) -> LostError:
        """It is of no use any more."""
        self.kill()
        return LostError(self.child.pid)

    async def keep_only(self, slots: Collection[int]) -> None:
        """Forget all artefacts but these.

        Raises:
            LostError: the worker ended.

        """
        for slot in [slot for slot in self.loaded if slot not in slots]:
            self.loaded.discard(slot)
            await self.child.tell(Unload(slot))

    def kill(self) -> None:
        """End it: what it does is of no use any more."""
        self.killed = True
        self.child.kill()


def _is_within(reply: Handled | Triggered | Failed, load: Load) -> bool:
    """Whether an answer keeps to the plugin's limits, as all do that come from a worker that nobody has taken over."""
    limits = load.limits
    texts = reply.lacking
    if isinstance(reply, Handled):
        if len(reply.items) > limits.max_items or sum(len("".join(row)) for row in reply.items) > limits.answer:
            return False
        texts = [*texts, reply.cut or ""]
    elif isinstance(reply, Triggered):
        if len(reply.trigger) > limits.trigger:
            return False
    else:
        texts = [*texts, reply.message]
    return (
        sum(len(text) for _, text in reply.log) <= limits.log
        and len(reply.log) <= limits.log
        and frozenset(LEVELS).issuperset(level for level, _ in reply.log)
        and len(reply.denied) <= len(CAPABILITIES)
        and frozenset(CAPABILITIES).issuperset(reply.denied)
        and len(reply.lacking) <= 2 * (len(load.grants.read) + len(load.grants.write))
        and all(len(text) <= LONGEST_SENTENCE for text in texts)
    )
