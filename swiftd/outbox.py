"""What is on its way to the clients, and how much of it there may be.

A frame that the kernel takes at once costs nothing. Any other is kept, whole, until the client has taken it, and is
counted: what waits for one connection is limited, and so is what waits for all together. Where that is too much, those
with the most end, and nobody else. A client is given `WRITE_LIMIT` from the last moment at which it took anything.

Frames go out in the order in which they came, each of them whole: once handed over, a frame does not depend on the
request that it belongs to any more. Only the end of the connection cuts one in two.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE_LIMIT = 10.0
"""Seconds for a client to take any of what waits. A front end that is stopped in a debugger is gone after that."""
MOST_WAITING = 64 * 1024 * 1024
"""Bytes that wait for one client, unless it is a single frame: far more than the queries that it may have at once."""
MOST_IN_ALL = 256 * 1024 * 1024
"""Bytes that wait for all clients."""


class Room:
    """The bytes that are held for all clients together."""

    def __init__(self) -> None:
        self._used: dict[Outbox, int] = {}
        self._total = 0

    def take(self, outbox: Outbox, size: int) -> None:
        """Count bytes that are held for one client. If they are too many for all, the largest connections end."""
        self._used[outbox] = self._used.get(outbox, 0) + size
        self._total += size
        while self._total > MOST_IN_ALL:
            largest = max(self._used, key=self._used.__getitem__)
            largest.give_up(f"{self._used[largest] >> 20} MiB waited for it, more than for any other")

    def give(self, outbox: Outbox, size: int) -> None:
        """They are held no longer."""
        if outbox in self._used:
            self._used[outbox] -= size
            self._total -= size

    def leave(self, outbox: Outbox) -> None:
        """Nothing is held for this client any more."""
        self._total -= self._used.pop(outbox, 0)


class Outbox:
    """The way to one client."""

    def __init__(
        self, connection: trio.socket.SocketType, room: Room, nursery: trio.Nursery, failed: Callable[[str], None]
    ) -> None:
        """`failed` is called when the client gets no more frames; with why, unless the client itself has gone."""
        self._connection = connection
        self._room = room
        self._nursery = nursery
        self._failed = failed
        self._frames: deque[bytes] = deque()
        self._begun = 0  # bytes of the first that are gone
        self._waiting = 0  # bytes of all
        self._put = 0  # frames, counted from the first that had to wait
        self._taken = 0
        self._moved = trio.lowlevel.ParkingLot()
        self._is_open = True

    async def send(self, frame: bytes) -> None:
        """Hand over one frame, and return when it is on its way. If that is cancelled, it goes out all the same."""
        if not self._is_open:
            return
        begun = 0
        if not self._frames:  # the kernel nearly always takes it at once: no pass through the scheduler
            try:
                begun = os.write(self._connection.fileno(), frame)
            except BlockingIOError:
                pass
            except OSError:
                self.give_up("")
                return
            if begun == len(frame):
                return
            self._begun = begun
            self._nursery.start_soon(self._pump)
        self._frames.append(frame)
        self._put += 1
        number = self._put
        self._waiting += len(frame)
        if self._waiting > MOST_WAITING and len(self._frames) > 1:
            self.give_up(f"{self._waiting >> 20} MiB waited for it")
        else:
            self._room.take(self, len(frame))
        while self._taken < number and self._is_open:
            await self._moved.park()

    def hold(self, size: int) -> None:
        """Count what else is held for the client: a request that is not answered yet."""
        if self._is_open:
            self._room.take(self, size)

    def release(self, size: int) -> None:
        """That is answered."""
        self._room.give(self, size)

    def give_up(self, why: str) -> None:
        """Send nothing any more, and say so."""
        if self._is_open:
            self.close()
            self._failed(why)

    def close(self) -> None:
        """Nobody is to get anything any more: hold nothing for it."""
        self._is_open = False
        self._room.leave(self)
        self._frames.clear()
        self._moved.unpark_all()

    async def _pump(self) -> None:
        """Hand what waits to the kernel, as fast as the client takes it."""
        while self._frames:
            frame = self._frames[0]
            try:
                self._begun += os.write(self._connection.fileno(), memoryview(frame)[self._begun :])
            except BlockingIOError:
                with trio.move_on_after(WRITE_LIMIT) as waiting:
                    await trio.lowlevel.wait_writable(self._connection)
                if waiting.cancelled_caught:
                    self.give_up(f"it took nothing for {WRITE_LIMIT:.0f} s")
                continue
            except OSError:
                self.give_up("")
                continue
            if self._begun == len(frame):
                self._next()
            await trio.lowlevel.checkpoint()

    def _next(self) -> None:
        """The kernel has all of the first frame."""
        size = len(self._frames.popleft())
        self._begun = 0
        self._waiting -= size
        self._room.give(self, size)
        self._taken += 1
        self._moved.unpark_all()
