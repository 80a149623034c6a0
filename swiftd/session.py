"""One connection: what its client asks for, side by side, and the way back.

The rule that holds for every request id: any number of frames, then exactly one with `done`. It is kept in one place,
`Session._serve`, whatever a request ends by: an answer, an error, a time-out, a cancellation or a bug. Only the end of
the connection leaves a request without one.

A session reads until its client is gone; each request runs in a task of the session's nursery. A refusal, or the answer
to a `cancel`, is sent before anything else is read: who does not take those is not read any further. However much
comes at once, others have their turn every `BURST`.
"""

from __future__ import annotations

import json
import logging
import select
import time
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.errors import RequestError
from swiftd.framing import BadFrameError, Encoding, FrameReader, LostFrameError
from swiftd.log import Seldom
from swiftd.outbox import Outbox
from swiftd.protocol import (
    Answer,
    AnyRequest,
    Cancel,
    Check,
    Error,
    ErrorCode,
    Id,
    Logs,
    Ok,
    Plugins,
    Query,
    Results,
    Stats,
    Watch,
)
from swiftd.text import brief

if TYPE_CHECKING:
    from swiftd.operations import Operations
    from swiftd.outbox import Room

MOST_REQUESTS = 64
"""Unfinished requests of one connection. A front end has one or two."""
QUERIES_AT_ONCE = 8
"""Queries of one connection that run at the same time, until their answers are taken: each may hold megabytes."""
REPORTS_AT_ONCE = 1
"""The same for what tells of all plugins: it is made only when the client has taken the one before."""
BURST = 0.00025
"""Seconds of one connection's requests without a turn for others: what one query costs the daemon, about."""
CHUNK = 16 * 1024
"""Bytes read at once. The worst of them take a few milliseconds to be looked through."""
GRACE = 0.02
"""Seconds that what was begun goes on for a client who has hung up. Most is done by then, and to end a plugin's call in
the middle costs a sandbox process."""

_log = logging.getLogger(__name__)
_seldom = Seldom(_log)


def _has_hung_up(connection: trio.socket.SocketType) -> bool:
    """Whether the client is gone, rather than done with sending."""
    state = select.poll()
    state.register(connection.fileno(), 0)
    return any(event & select.POLLHUP for _, event in state.poll(0))


class Session:
    """One connection."""

    _outbox: Outbox  # from the start of `run` on

    def __init__(self, operations: Operations, stream: trio.SocketStream, room: Room) -> None:
        self._operations = operations
        self._stream = stream
        self._room = room
        self._reader = FrameReader()
        self._end = trio.CancelScope()
        self._is_left = False
        """Whether nobody waits for answers any more."""
        self._unsent = 0
        """Answers that are done, and wait for the client to read."""
        self._queries = trio.Semaphore(QUERIES_AT_ONCE)
        self._reports = trio.Semaphore(REPORTS_AT_ONCE)
        self._running: dict[Id, tuple[AnyRequest, trio.CancelScope]] = {}
        """The unfinished requests, and what ends each."""
        self.last_active = trio.current_time()
        """When the last request came, or was done with."""

    @property
    def is_idle(self) -> bool:
        """Whether the client waits for nothing. Whoever has sent half a request does not wait yet."""
        return not self._running and not self._unsent

    async def run(self) -> None:
        """Serve the client until it is gone.

        One that closes its sending half, as `nc` does, still gets its answers.
        """
        try:
            with self._end:
                async with trio.open_nursery() as nursery:
                    self._outbox = Outbox(self._stream.socket, self._room, nursery, self._cut_off)
                    await self._read(nursery)
        finally:
            self._outbox.close()

    def end(self) -> None:
        """Hang up, whatever is under way."""
        self._end.cancel()

    def _cut_off(self, why: str) -> None:
        """The client takes no more."""
        if why:
            _seldom.warning("a client was cut off: %s", why)
        self._leave()

    def _leave(self) -> None:
        """Nobody waits for answers any more. What has begun may come to its end, if that is soon."""
        if not self._is_left:
            self._is_left = True
            self._outbox.close()
            self._end.deadline = trio.current_time() + GRACE

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while not self._is_left and (data := await self._stream.receive_some(CHUNK)):
                self._reader.feed(data)
                await self._accept_all(nursery)
            if self._is_left or _has_hung_up(self._stream.socket):
                self._leave()
                return
            # It will not say when it has enough of what never ends by itself.
            self._end_running(Watch, Logs)
            if (frame := self._reader.last_frame()) is not None:
                await self._accept(frame, nursery)
                self._end_running(Watch, Logs)
        except BadFrameError as error:  # what was accepted before is still answered
            await self._refuse(None, "bad-frame", f"{error}; the connection can't be read any further")
            self._end_running(Watch, Logs)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._leave()

    async def _accept_all(self, nursery: trio.Nursery) -> None:
        """Start what the frames that are whole ask for."""
        until = time.perf_counter() + BURST
        while not self._is_left:
            try:
                frame = self._reader.next_frame()
            except LostFrameError as error:
                await self._refuse(None, "bad-frame", str(error))
            else:
                if frame is None:
                    return
                await self._accept(frame, nursery)
            if time.perf_counter() > until:
                await trio.lowlevel.checkpoint()
                until = time.perf_counter() + BURST

    def _end_running(self, *kinds: type[AnyRequest]) -> None:
        for request, scope in self._running.values():
            if isinstance(request, kinds):
                scope.cancel()

    async def _accept(self, frame: bytes, nursery: trio.Nursery) -> None:
        """Start what one frame asks for, or say why not."""
        self.last_active = trio.current_time()
        encoding = self._reader.encoding or Encoding.MSGPACK
        try:
            request: AnyRequest = encoding.decode_request(frame)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            blamed, code, message = _blame(encoding, frame, error)
            # A second final frame of an id is one too many, so what has the id of another request is blamed without.
            await self._refuse(None if blamed in self._running else blamed, code, message)
            return
        if request.id in self._running:
            await self._refuse(None, "duplicate-id", f"the request with the id {request.id!r} is not finished yet")
            return
        if isinstance(request, Cancel):
            await self._cancel(request)
            return
        if isinstance(request, Query) and request.supersede:
            self._end_running(Query)
        unfinished = self._unsent + sum(not scope.cancel_called for _, scope in self._running.values())
        if unfinished >= MOST_REQUESTS:
            await self._refuse(request.id, "busy", f"{MOST_REQUESTS} requests of this connection are unfinished")
            return
        scope = trio.CancelScope()
        self._running[request.id] = (request, scope)
        self._outbox.hold(len(frame))
        nursery.start_soon(self._serve, request, scope, len(frame))

    async def _serve(self, request: AnyRequest, scope: trio.CancelScope, size: int) -> None:
        """Answer one request, of `size` bytes, with exactly one final frame."""
        last: Answer | None = None
        turn = self._turn(request)
        held = False
        with scope:
            try:
                if turn is not None:
                    await _hold(turn)
                    held = True
                if not self._is_left:
                    last = await self._operations.answer(request, self._send)
            except RequestError as error:
                last = Error(id=request.id, code=error.code, message=str(error))
            except Exception:  # noqa: BLE001 - a bug costs one request, and the log has it
                _seldom.failure("a request failed: %s", type(request).__name__)
                last = Error(id=request.id, code="internal", message="swiftd failed; its log says how")
        if last is None:
            last = (
                Results(id=request.id, items=[], errors=[], status="superseded")
                if isinstance(request, Query)
                else Ok(id=request.id)
            )
        del self._running[request.id]
        self._unsent += 1
        frame = self._encode(last)
        del last  # only its bytes are counted
        await self._outbox.send(frame)
        self._unsent -= 1
        self._outbox.release(size)
        self.last_active = trio.current_time()
        if turn is not None and held:
            turn.release()

    def _turn(self, request: AnyRequest) -> trio.Semaphore | None:
        """What a request whose answer may be large waits for."""
        match request:
            case Query() | Check():
                return self._queries
            case Plugins() | Stats() | Logs(follow=False):
                return self._reports
        return None

    async def _cancel(self, request: Cancel) -> None:
        if request.target in self._running:
            self._running[request.target][1].cancel()
            await self._send(Ok(id=request.id))
        else:
            await self._refuse(request.id, "unknown-target", f"no unfinished request has the id {request.target!r}")

    async def _refuse(self, request: Id | None, code: ErrorCode, message: str) -> None:
        await self._send(Error(id=request, code=code, message=brief(message)))

    async def _send(self, answer: Answer) -> None:
        await self._outbox.send(self._encode(answer))

    def _encode(self, answer: Answer) -> bytes:
        encoding = self._reader.encoding or Encoding.MSGPACK
        try:
            return encoding.encode(answer)
        except Exception:  # noqa: BLE001 - what can't be encoded is a bug
            _seldom.failure("an answer can't be sent: %s", type(answer).__name__)
            return encoding.encode(
                Error(id=answer.id, code="internal", message="swiftd failed; its log says how", done=answer.done)
            )


async def _hold(turn: trio.Semaphore) -> None:
    """Take one of what there is, without a pass through the scheduler where nobody waits."""
    try:
        turn.acquire_nowait()
    except trio.WouldBlock:
        await turn.acquire()


def _blame(encoding: Encoding, frame: bytes, error: Exception) -> tuple[Id | None, ErrorCode, str]:
    """For a request that was not understood: its id where that can be read, and what is wrong."""
    if isinstance(error, msgspec.ValidationError | RecursionError):
        code: ErrorCode = "bad-request"
        message = str(error)
    else:
        what = "it holds text that is no UTF-8" if isinstance(error, UnicodeError) else error
        code, message = "bad-frame", f"a {'line' if encoding is Encoding.JSON else 'map'} that can't be read: {what}"
    try:
        envelope = encoding.decode_envelope(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _id_at_least(encoding, frame), code, message
    if code == "bad-request" and envelope.op is None:
        return envelope.id, code, "the request has no `op`"
    if "op" in message and "Invalid value" in message:
        return envelope.id, "unknown-op", f"there is no op {envelope.op!r}"
    return envelope.id, code, message


def _id_at_least(encoding: Encoding, frame: bytes) -> Id | None:
    """The id of a line of JSON that holds half a surrogate pair or a value that is none elsewhere."""
    if encoding is not Encoding.JSON:
        return None
    try:
        found = json.loads(frame).get("id")
        if isinstance(found, str):
            found.encode()
        return found if type(found) in (int, str) else None
    except (ValueError, AttributeError, RecursionError):
        return None
