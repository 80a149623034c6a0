"""The socket: who is let in, and who gives way when there are too many.

Nothing a client does can hold up another, or shut one out. What it sends is bounded by the frame's size and by the
requests under way (session.py), what waits for it by bytes (outbox.py). Of too many connections the one ends that has
been idle for the longest; where none is idle, the newcomer is told so.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from swiftd import occupant
from swiftd.framing import Encoding, FrameReader
from swiftd.log import Seldom
from swiftd.outbox import Room
from swiftd.protocol import Error
from swiftd.session import CHUNK, Session

if TYPE_CHECKING:
    from swiftd.operations import Operations

MOST_SESSIONS = 256
"""Open connections. Far more than front ends; far fewer than descriptors."""
MOST_TURNED_AWAY = 64
"""Connections beyond those whose first words are waited for, to be told in their own encoding."""
FIRST_WORDS = 0.5
"""Seconds for these words. A client sends them as soon as it has connected."""

_log = logging.getLogger(__name__)
_seldom = Seldom(_log)


class Server:
    """Accepts connections and serves them."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._open: dict[Session, trio.SocketStream] = {}
        self._room = Room()
        self._turned_away = 0

    async def serve(self, listener: trio.abc.Listener[trio.SocketStream]) -> None:
        """Accept connections until cancelled."""
        await trio.serve_listeners(self._session, [listener])

    async def _session(self, stream: trio.SocketStream) -> None:
        try:
            if occupant.user_of(stream.socket) != os.getuid():
                _seldom.warning("a connection of another user was closed")
            elif len(self._open) >= MOST_SESSIONS and not self._make_room():
                await self._turn_away(stream)
            else:
                await self._serve(stream)
        except Exception:  # noqa: BLE001 - a bug costs one connection, and the log has it
            _seldom.failure("a connection failed")
        finally:
            stream.socket.close()

    async def _serve(self, stream: trio.SocketStream) -> None:
        session = Session(self._operations, stream, self._room)
        self._open[session] = stream
        self._operations.stats.sessions = len(self._open)
        try:
            await session.run()
        finally:
            self._open.pop(session, None)
            self._operations.stats.sessions = len(self._open)

    def _make_room(self) -> bool:
        """End the connection that has been idle for the longest; False if all have something under way."""
        idle = [session for session in self._open if session.is_idle]
        if not idle:
            return False
        oldest = min(idle, key=lambda session: session.last_active)
        _seldom.warning("more than %d connections: the one that was idle for the longest is closed", MOST_SESSIONS)
        oldest.end()
        del self._open[oldest]
        return True

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        """Tell a client that there is no room for it, in the encoding of its first words; a silent one in JSON."""
        _seldom.warning("more than %d connections, none of them idle: a new one is turned away", MOST_SESSIONS)
        reader = FrameReader()
        patience = FIRST_WORDS if self._turned_away < MOST_TURNED_AWAY else 0.0
        self._turned_away += 1
        try:
            with suppress(trio.BrokenResourceError), trio.move_on_after(patience):
                if patience:
                    await trio.lowlevel.wait_readable(stream.socket)
            with suppress(OSError):
                reader.feed(os.read(stream.socket.fileno(), CHUNK))
        finally:
            self._turned_away -= 1
        message = f"{MOST_SESSIONS} connections are open, and each has a request under way: ask again later"
        frame = (reader.encoding or Encoding.JSON).encode(Error(id=None, code="busy", message=message))
        with suppress(OSError):
            os.write(stream.socket.fileno(), frame)

    def hang_up(self) -> None:
        """Close every connection."""
        for stream in self._open.values():
            stream.socket.close()
