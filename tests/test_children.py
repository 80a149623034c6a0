"""The daemon's end of a sandbox process: what comes from there is believed only as far as it is a message."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from daemons import PATIENCE, is_alive

from swiftd.children import LostError, Zygote
from swiftd.sandbox.messages import HEADER, Failed, Harden, Hardened, Unload, decode_reply, pack

REPLY = Failed(code="trap", message="a\n\u00fc")


async def answer(child):
    with trio.fail_after(PATIENCE):
        return await child.answer(decode_reply)


async def test_a_message_is_read_however_it_is_cut(child):
    async with trio.open_nursery() as nursery:
        replies = []

        async def read():
            replies.append(await answer(child))

        nursery.start_soon(read)
        for byte in pack(REPLY):
            child.theirs.send(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
    assert replies == [REPLY]


async def test_a_long_message_is_read_whole(child):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, child.theirs.sendall, pack("x" * 5_000_000))
        assert await child.answer(len) == 5_000_005


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\0\0\x05ab", b"Fatal Python error"])
async def test_one_that_ends_is_lost(child, said):
    child.theirs.send(said)
    child.theirs.close()
    with pytest.raises(LostError) as caught:
        await answer(child)
    assert caught.value.said == said


async def test_telling_one_that_has_ended_says_so(child):
    child.theirs.close()
    with pytest.raises(LostError):
        await child.tell(Unload(1))


@pytest.mark.parametrize("body", [b"\xc1", b"\x81\xa1x", b"\x80", b"\x81\xa4type\xa5other", b"\xa1\xff"])
async def test_one_that_sends_what_is_no_message_is_lost(child, body):
    child.theirs.send(HEADER.pack(len(body)) + body)
    with pytest.raises(LostError):
        await answer(child)


async def test_one_that_announces_more_than_any_answer_is_lost(child):
    child.theirs.send(HEADER.pack(2**32 - 1) + b"x")
    with pytest.raises(LostError), trio.fail_after(PATIENCE):
        await child.answer(decode_reply)


async def test_it_can_be_killed_and_closed_more_than_once(child, process):
    child.kill()
    with trio.fail_after(PATIENCE):
        await child.wait()
    child.kill()
    child.close()
    child.close()
    child.kill()
    assert not is_alive(process.pid)


async def test_closing_ends_the_process(child, process):
    child.close()
    assert process.wait(PATIENCE) == -9


async def test_a_start_that_is_given_up_leaves_nothing_to_the_next():
    zygote = Zygote()
    try:
        with trio.move_on_after(0.005) as given_up:  # of the 100 ms that a start takes
            await zygote.start()
        assert given_up.cancelled_caught
        worker = await zygote.fork("w")
        try:
            reply = await worker.ask(Harden([], []), decode_reply)
        finally:
            worker.close()
        assert isinstance(reply, Hardened)
    finally:
        zygote.close()
