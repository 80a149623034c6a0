"""One worker as the daemon sees it: a sandbox process, where it belongs, and what it has loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from swiftd.children import Child, LostError
from swiftd.sandbox.messages import Failed, Harden, Hardened, Load, Loaded, Reply, Unload, decode_reply

if TYPE_CHECKING:
    from collections.abc import Collection

LOAD_LIMIT = 10.0
"""Seconds for a worker to load one artefact. 40 MB take 0.03."""


class ArtefactError(Exception):
    """A worker refused an artefact: it must be compiled anew."""


class StaleError(Exception):
    """A folder is another one now than when the worker was let into it: another worker can do it."""


@dataclass(frozen=True)
class Folders:
    """What all plugins together may read, and what they may write, by real path."""

    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()


@dataclass
class Place:
    """Where there is one worker after the other; an extra one is for one worker only."""

    is_extra: bool = False
    is_wanted: bool = True
    worker: Worker | None = None


class Worker:
    """One sandbox process and what it has loaded."""

    def __init__(self, child: Child, folders: Folders, place: Place) -> None:
        self.child = child
        self.folders = folders
        self.place = place
        self.loaded: set[int] = set()
        self.killed = False

    async def harden(self) -> list[str]:
        """Have it give up everything but its folders; what of that is in force.

        Raises:
            LostError: it ended, or takes too long.

        """
        reply: Reply | None = None
        with trio.move_on_after(LOAD_LIMIT):
            reply = await self.child.ask(Harden(list(self.folders.read), list(self.folders.write)), decode_reply)
        if not isinstance(reply, Hardened):
            raise LostError(self.child.pid)
        return reply.measures

    async def load(self, load: Load) -> None:
        """Load an artefact unless it is loaded already.

        Raises:
            ArtefactError: it is not what was compiled.
            StaleError: the worker was not let into the folder where it lies.
            LostError: the worker ended.

        """
        if load.slot in self.loaded:
            return
        reply: Reply | None = None
        with trio.move_on_after(LOAD_LIMIT):
            reply = await self.child.ask(load, decode_reply)
        if isinstance(reply, Loaded):
            self.loaded.add(load.slot)
        elif isinstance(reply, Failed):
            raise (StaleError if reply.code == "stale" else ArtefactError)(reply.message)
        else:
            self.kill()
            raise LostError(self.child.pid)

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
