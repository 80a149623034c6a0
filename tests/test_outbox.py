"""What waits for clients: in order, whole, counted, and with an end."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swiftd import outbox
from swiftd.outbox import Outbox, Room

KIB = 1024


class Client:
    """A connection that nobody reads, and what is said when it is given up."""

    def __init__(self, nursery, room):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        self.reasons = []
        self._connection = trio.socket.from_stdlib_socket(self.ours)
        self.outbox = Outbox(self._connection, room, nursery, self.reasons.append)

    async def read(self, size):
        """That many bytes, as they come."""
        data = b""
        with trio.fail_after(10):
            while len(data) < size:
                await trio.lowlevel.wait_readable(self.theirs)
                data += self.theirs.recv(size - len(data))
        return data

    def close(self):
        self.outbox.close()
        self._connection.close()
        self.theirs.close()


@pytest.fixture
def room():
    return Room()


@pytest.fixture
async def connect(nursery, room):
    clients = []

    def start():
        clients.append(Client(nursery, room))
        return clients[-1]

    yield start
    nursery.cancel_scope.cancel()
    for client in clients:
        client.close()


async def test_frames_go_out_whole_and_in_order_also_of_those_who_did_not_wait_for_it(connect, nursery):
    client = connect()
    sent = [bytes([number]) * 300 * KIB for number in range(5)]
    for frame in sent:
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.outbox.send(frame)
    assert await client.read(5 * 300 * KIB) == b"".join(sent)
    assert client.reasons == []


async def test_who_sends_goes_on_when_the_kernel_has_the_frame(connect, nursery):
    client = connect()
    done = []

    async def send(number):
        await client.outbox.send(bytes([number]) * 1000 * KIB)
        done.append(number)

    for number in range(3):
        nursery.start_soon(send, number)
        await wait_all_tasks_blocked()
    assert done == []
    await client.read(1000 * KIB)
    await wait_all_tasks_blocked()
    assert done == [0]


async def test_one_connection_has_a_limit_but_for_a_single_frame(connect, nursery, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_WAITING", 1000 * KIB)
    client = connect()
    nursery.start_soon(client.outbox.send, b"x" * 1500 * KIB)
    await wait_all_tasks_blocked()
    assert client.reasons == []
    await client.outbox.send(b"x")
    (reason,) = client.reasons
    assert "waited for it" in reason


async def test_where_all_have_too_much_the_one_with_the_most_ends_and_nobody_else(connect, nursery, room, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_IN_ALL", 3000 * KIB)
    small, large, last = connect(), connect(), connect()
    for client, size in ((small, 500), (large, 1500), (last, 900)):
        nursery.start_soon(client.outbox.send, b"x" * size * KIB)
        await wait_all_tasks_blocked()
    assert [client.reasons for client in (small, large, last)] == [[], [], []]
    last.outbox.hold(200 * KIB)
    assert (small.reasons, len(large.reasons), last.reasons) == ([], 1, [])
    assert await small.read(500 * KIB)
    assert await last.read(900 * KIB)


async def test_what_has_gone_is_not_counted_any_more(connect, nursery, room, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_IN_ALL", 1000 * KIB)
    client, gone = connect(), connect()
    for _ in range(5):
        nursery.start_soon(client.outbox.send, b"x" * 600 * KIB)
        await client.read(600 * KIB)
        await wait_all_tasks_blocked()
        client.outbox.hold(900 * KIB)
        client.outbox.release(900 * KIB)
    nursery.start_soon(gone.outbox.send, b"x" * 900 * KIB)
    await wait_all_tasks_blocked()
    gone.outbox.close()
    gone.outbox.release(10)  # a request of the past
    nursery.start_soon(client.outbox.send, b"x" * 900 * KIB)
    await wait_all_tasks_blocked()
    assert client.reasons == gone.reasons == []


async def test_who_takes_nothing_is_given_up_and_nobody_waits_any_longer(connect, nursery, autojump_clock):
    client = connect()
    async with trio.open_nursery() as senders:
        for _ in range(20):
            senders.start_soon(client.outbox.send, b"x" * 300 * KIB)
    assert trio.current_time() == pytest.approx(outbox.WRITE_LIMIT, abs=0.1)
    assert len(client.reasons) == 1
    await client.outbox.send(b"x" * 300 * KIB)


async def test_one_who_has_hung_up_is_no_failure(connect):
    client = connect()
    client.theirs.close()
    await client.outbox.send(b"x")
    assert client.reasons == [""]
