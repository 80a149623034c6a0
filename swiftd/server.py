"""The socket, and one session per connection.

The rule that holds for every request id: any number of frames, then exactly one with `done`. It is kept in one place,
`Session._serve`, whatever a request ends by: an answer, an error, a time-out, a cancellation or a bug.

A session reads until its client is gone; each request runs in a task of the session's nursery. Nothing a client does
can hold up another: what it sends is bounded by the frame's size and the number of requests under way, and one that
does not read its answers is cut off after `WRITE_LIMIT`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.errors import RequestError
from swiftd.framing import BadFrameError, Encoding, FrameReader, LostFrameError
from swiftd.protocol import (
    Answer,
    AnyRequest,
    Cancel,
    Error,
    ErrorCode,
    Id,
    Logs,
    Ok,
    Query,
    Results,
    Watch,
)

if TYPE_CHECKING:
    from swiftd.operations import Operations

WRITE_LIMIT = 10.0
"""Seconds for a client to take one frame. A front end that is stopped in a debugger is gone after that."""
MOST_REQUESTS = 64
"""Unfinished requests of one connection. A front end has one or two."""
QUERIES_AT_ONCE = 8
"""Queries of one connection that run at the same time, until their answers are written: each may hold megabytes."""
MOST_SESSIONS = 256
"""Open connections. Far more than front ends; far fewer than descriptors."""

_log = logging.getLogger(__name__)
_PEER = struct.Struct("3i")  # pid, uid, gid: the kernel's struct ucred


class Server:
    """Accepts connections and serves them."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._open: set[trio.SocketStream] = set()

    async def serve(self, listener: trio.abc.Listener[trio.SocketStream]) -> None:
        """Accept connections until cancelled."""
        await trio.serve_listeners(self._session, [listener])

    async def _session(self, stream: trio.SocketStream) -> None:
        if not _same_user(stream.socket):
            _log.warning("a connection of another user was closed")
            await trio.aclose_forcefully(stream)
            return
        if len(self._open) >= MOST_SESSIONS:
            _log.warning("more than %d connections: one was closed", MOST_SESSIONS)
            await trio.aclose_forcefully(stream)
            return
        self._open.add(stream)
        self._operations.stats.sessions = len(self._open)
        try:
            await Session(self._operations, stream).run()
        except Exception:  # noqa: BLE001 - a bug costs one connection, and the log has it
            _log.exception("a connection failed")
        finally:
            self._open.discard(stream)
            self._operations.stats.sessions = len(self._open)
            stream.socket.close()

    def hang_up(self) -> None:
        """Close every connection, also one that is blocked by a client that does not read."""
        for stream in self._open:
            stream.socket.close()


def _same_user(connection: trio.socket.SocketType) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1]) == os.getuid()


def _has_hung_up(connection: trio.socket.SocketType) -> bool:
    """Whether the client is gone, rather than done with sending."""
    state = select.poll()
    state.register(connection.fileno(), 0)
    return any(event & select.POLLHUP for _, event in state.poll(0))


class Session:
    """One connection."""

    def __init__(self, operations: Operations, stream: trio.SocketStream) -> None:
        self._operations = operations
        self._stream = stream
        self._reader = FrameReader()
        self._writing = trio.Lock()
        self._end = trio.CancelScope()
        self._unsent = 0
        """Answers that are done, and wait for the client to read."""
        self._at_once = trio.Semaphore(QUERIES_AT_ONCE)
        self._running: dict[Id, tuple[AnyRequest, trio.CancelScope]] = {}
        """The unfinished requests, and what ends each."""

    async def run(self) -> None:
        """Serve the client until it is gone.

        One that closes its sending half, as `nc` does, still gets its answers.
        """
        with self._end:
            async with trio.open_nursery() as nursery:
                await self._read(nursery)

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while data := await self._stream.receive_some(65536):
                self._reader.feed(data)
                await self._accept_all(nursery)
            if _has_hung_up(self._stream.socket):
                self._end.cancel()
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
            self._end.cancel()

    async def _accept_all(self, nursery: trio.Nursery) -> None:
        """Start what the frames that are whole ask for."""
        while True:
            try:
                frame = self._reader.next_frame()
            except LostFrameError as error:
                await self._refuse(None, "bad-frame", str(error))
                continue
            if frame is None:
                return
            await self._accept(frame, nursery)

    def _end_running(self, *kinds: type[AnyRequest]) -> None:
        for request, scope in self._running.values():
            if isinstance(request, kinds):
                scope.cancel()

    async def _accept(self, frame: bytes, nursery: trio.Nursery) -> None:
        """Start what one frame asks for, or say why not."""
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
        if isinstance(request, Query) and request.supersede:
            self._end_running(Query)
        unfinished = self._unsent + sum(not scope.cancel_called for _, scope in self._running.values())
        if unfinished >= MOST_REQUESTS and not isinstance(request, Cancel):
            await self._refuse(request.id, "busy", f"{MOST_REQUESTS} requests of this connection are unfinished")
            return
        scope = trio.CancelScope()
        self._running[request.id] = (request, scope)
        nursery.start_soon(self._serve, request, scope)

    async def _serve(self, request: AnyRequest, scope: trio.CancelScope) -> None:
        """Answer one request with exactly one final frame."""
        last: Answer | None = None
        held = False
        with scope:
            try:
                if isinstance(request, Query):
                    await self._hold(self._at_once)
                    held = True
                if isinstance(request, Cancel):
                    last = self._cancel(request)
                else:
                    last = await self._operations.answer(request, self._write)
            except RequestError as error:
                last = Error(id=request.id, code=error.code, message=str(error))
            except Exception:  # noqa: BLE001 - a bug costs one request, and the log has it
                _log.exception("a request failed: %s", type(request).__name__)
                last = Error(id=request.id, code="internal", message="swiftd failed; its log says how")
        if last is None:
            last = (
                Results(id=request.id, items=[], errors=[], status="superseded")
                if isinstance(request, Query)
                else Ok(id=request.id)
            )
        del self._running[request.id]
        self._unsent += 1
        try:
            await self._write(last)
        except Exception:  # noqa: BLE001 - as above: what can't be encoded is a bug, too
            _log.exception("an answer can't be sent: %s", type(last).__name__)
            await self._refuse(request.id, "internal", "swiftd failed; its log says how")
        finally:
            self._unsent -= 1
        if held:
            self._at_once.release()

    def _cancel(self, request: Cancel) -> Answer:
        if request.target not in self._running or request.target == request.id:
            raise RequestError("unknown-target", f"no unfinished request has the id {request.target!r}")
        self._running[request.target][1].cancel()
        return Ok(id=request.id)

    @staticmethod
    async def _hold(semaphore: trio.Semaphore) -> None:
        """Take one of what there is, without a pass through the scheduler where nobody waits."""
        try:
            semaphore.acquire_nowait()
        except trio.WouldBlock:
            await semaphore.acquire()

    async def _refuse(self, request: Id | None, code: ErrorCode, message: str) -> None:
        await self._write(Error(id=request, code=code, message=message))

    async def _write(self, answer: Answer) -> None:
        """Send one frame. A client that is gone, or does not take it in time, ends the session.

        The end of a request must not cut a frame in two, so it does not reach in here; the session's end does, by
        closing the socket.
        """
        frame = memoryview((self._reader.encoding or Encoding.MSGPACK).encode(answer))
        if not self._writing.locked():
            # The kernel nearly always takes an answer at once; trio's send would pass through the scheduler first.
            try:
                frame = frame[os.write(self._stream.socket.fileno(), frame) :]
            except BlockingIOError:
                pass
            except OSError:
                self._end.cancel()
                return
            if not frame:
                return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(WRITE_LIMIT) as scope:
            scope.shield = True
            async with self._writing:
                await self._stream.send_all(frame)
            return
        self._end.cancel()


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
