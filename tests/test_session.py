"""A connection in this process, with time that passes when nothing happens: its rules, its end, and its limits."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import msgpack
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swiftd import outbox, session
from swiftd.outbox import Room
from swiftd.protocol import Hello, Ok, PluginsAnswer, Results
from swiftd.session import Session


def packed(**message):
    return msgpack.packb(message) + b"\n"


def maps(data):
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return [part for part in unpacker if isinstance(part, dict)]


def finals(frames):
    """How many final frames each request got."""
    counts = {}
    for frame in frames:
        counts[frame["id"]] = counts.get(frame["id"], 0) + frame["done"]
    return counts


@pytest.fixture
async def connect(nursery):
    """Starts a session with given operations; the client's end of it, and an event for the session's end."""
    room = Room()
    ends = []

    def start(answer):
        theirs, ours = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        ended = trio.Event()

        async def serve():
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            await Session(SimpleNamespace(answer=answer), stream, room).run()
            ours.close()
            stream.socket.close()
            ended.set()

        nursery.start_soon(serve)
        ends.append(theirs)
        return trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), ended

    yield start
    nursery.cancel_scope.cancel()
    for end in ends:
        end.close()


async def quick(request, emit):
    return Ok(id=request.id)


# ---- each request gets its frames -------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_is_cut_off(connect, autojump_clock):
    async def answer(query, emit):
        return Results(id=query.id, items=[], errors=[], status="x" * 10_000_000)

    client, ended = connect(answer)
    await client.send_all(packed(id=1, op="query", input="") + packed(id=2, op="query", input=""))
    started = trio.current_time()
    await ended.wait()
    assert trio.current_time() - started == pytest.approx(outbox.WRITE_LIMIT, abs=0.1)
    await client.aclose()


async def test_a_frame_is_never_cut_in_two_by_a_cancellation(connect):
    async def answer(query, emit):
        part = Results(id=query.id, items=[], errors=[], status="x" * 1_000_000, done=False)
        while True:
            await emit(part)
            await trio.lowlevel.checkpoint()

    client, _ = connect(answer)
    await client.send_all(packed(id=1, op="query", input=""))
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)
    unpacker.feed(await client.receive_some(1000))
    await client.send_all(packed(id=2, op="cancel", target=1))
    await client.send_eof()
    async for data in client:
        unpacker.feed(data)
    found = [part for part in unpacker if part != 10]
    assert [(part["id"], part["done"]) for part in found if part["done"]] in (
        [(2, True), (1, True)],
        [(1, True), (2, True)],
    )
    assert all(len(part["status"]) == 1_000_000 for part in found if not part["done"])
    await client.aclose()


async def test_a_bug_costs_one_request(connect, caplog):
    async def answer(request, emit):
        if isinstance(request, Hello):
            return Ok(id=request.id)
        raise ZeroDivisionError

    client, _ = connect(answer)
    await client.send_all(packed(id=1, op="query", input="") + packed(id=2, op="hello"))
    await client.send_eof()
    data = b"".join([data async for data in client])
    assert {frame["id"]: frame.get("code") for frame in maps(data)} == {1: "internal", 2: None}
    assert "ZeroDivisionError" in caplog.text
    await client.aclose()


async def test_the_end_of_a_query_that_was_answered_meanwhile_is_its_answer(connect):
    """Between the answer and its last frame a cancellation comes too late, and must not add or take one."""
    proceed = trio.Event()

    async def answer(query, emit):
        await proceed.wait()
        return Results(id=query.id, items=[], errors=[], status="complete")

    client, _ = connect(answer)
    await client.send_all(packed(id=1, op="query", input=""))
    await trio.testing.wait_all_tasks_blocked()
    proceed.set()
    await client.send_all(packed(id=2, op="cancel", target=1))
    await client.send_eof()
    data = b"".join([data async for data in client])
    assert finals(maps(data)) == {1: 1, 2: 1}
    await client.aclose()


# ---- a client that does not read --------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [{"op": "cancel", "target": 0}, {"op": "hello"}, {"op": "dance"}])
async def test_whoever_floods_and_does_not_read_is_cut_off_as_soon_as_any_other(connect, autojump_clock, request_):
    client, ended = connect(quick)
    flood = b"".join(packed(id=number, **request_) for number in range(20_000))
    started = trio.current_time()
    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
        await client.send_all(flood)
    await ended.wait()
    assert trio.current_time() - started == pytest.approx(outbox.WRITE_LIMIT, abs=0.1)
    await client.aclose()


async def test_a_client_that_takes_a_little_now_and_then_is_not_cut_off(connect, autojump_clock):
    async def answer(query, emit):
        return Results(id=query.id, items=[], errors=[], status="x" * 5_000_000)

    client, _ = connect(answer)
    await client.send_all(packed(id=1, op="query", input=""))
    size = 0
    while size < 5_000_000:
        await trio.sleep(0.6 * outbox.WRITE_LIMIT)
        size += len(await client.receive_some(1 << 18))
    assert trio.current_time() > 5 * outbox.WRITE_LIMIT
    await client.aclose()


@pytest.mark.parametrize(
    ("request_", "most"),
    [
        ({"op": "query", "input": ""}, session.QUERIES_AT_ONCE),
        ({"op": "check", "path": ""}, session.QUERIES_AT_ONCE),
        ({"op": "plugins"}, session.REPORTS_AT_ONCE),
        ({"op": "logs"}, session.REPORTS_AT_ONCE),
        ({"op": "stats"}, session.REPORTS_AT_ONCE),
    ],
)
async def test_no_more_answers_are_made_than_a_client_may_have_waiting(connect, autojump_clock, request_, most):
    made = []

    async def answer(request, emit):
        made.append(request.id)
        return Results(id=request.id, items=[], errors=[], status="x" * 1_000_000)

    client, ended = connect(answer)
    await client.send_all(b"".join(packed(id=number, **request_) for number in range(60)))
    await ended.wait()  # nor is another begun at the end
    assert len(made) == most
    await client.aclose()


async def test_all_answers_come_to_one_that_reads_them_one_after_the_other(connect):
    async def answer(request, emit):
        return PluginsAnswer(id=request.id, plugins=[], problem="x" * 1_000_000)

    client, _ = connect(answer)
    for op in ("plugins", "query"):
        await client.send_all(b"".join(packed(id=f"{op}{number}", op=op, input="") for number in range(20)))
    await client.send_eof()
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)
    async for data in client:
        unpacker.feed(data)
    assert list(finals([part for part in unpacker if part != 10]).values()) == [1] * 40
    await client.aclose()


# ---- a client that sends much -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [packed(id=1, op="dance"), packed(id=1, op="cancel", target=2), b"{}\n", b"x\n"])
async def test_a_burst_gives_others_their_turns(connect, monkeypatch, data):
    monkeypatch.setattr(session, "BURST", 0.0)
    client, ended = connect(quick)
    turns = 0
    await client.send_all(data * 200)
    await client.send_eof()
    while not ended.is_set():
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns >= 200
    await client.aclose()


# ---- a client that hangs up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["at once", "with an answer unread", "after it said that it had enough to say"])
async def test_what_was_begun_has_a_moment_to_end_when_its_client_hangs_up(connect, autojump_clock, way):
    fates = {}

    async def answer(request, emit):
        try:
            if isinstance(request, Hello):
                return Ok(id=request.id)
            await trio.sleep({1: session.GRACE / 2, 2: 100 * session.GRACE}[request.id])
        except trio.Cancelled:
            fates[request.id] = "ended", trio.current_time() - started
            raise
        fates[request.id] = "done", trio.current_time() - started
        return Ok(id=request.id)

    client, ended = connect(answer)
    hello = packed(id=0, op="hello") if way == "with an answer unread" else b""
    await client.send_all(hello + packed(id=1, op="query", input="") + packed(id=2, op="query", input=""))
    if way == "after it said that it had enough to say":
        await client.send_eof()
    await wait_all_tasks_blocked()
    started = trio.current_time()
    await client.aclose()
    await ended.wait()
    assert fates[1] == ("done", pytest.approx(session.GRACE / 2, abs=0.001))
    assert fates[2] == ("ended", pytest.approx(session.GRACE * (1.5 if "enough" in way else 1), abs=0.001))


async def test_nothing_is_begun_any_more_when_a_client_has_hung_up(connect, autojump_clock):
    begun = []

    async def answer(request, emit):
        begun.append(request.id)
        await trio.sleep(session.GRACE / 2)
        return Ok(id=request.id)

    client, ended = connect(answer)
    await client.send_all(b"".join(packed(id=number, op="query", input="") for number in range(50)))
    await wait_all_tasks_blocked()
    await client.aclose()
    await ended.wait()
    assert len(begun) == session.QUERIES_AT_ONCE
