"""A worker process and its jobs: each call fresh, each reply in order, whatever the guest does."""

from __future__ import annotations

import hashlib
import os
import re

import pytest
import trio
from daemons import BUNDLED, GUESTS, PATIENCE, component, is_alive, wait_for_end

from swiftd import paths
from swiftd.children import LostError, Zygote
from swiftd.compiler import Compiler
from swiftd.sandbox.messages import (
    Failed,
    Handle,
    Handled,
    Limits,
    Load,
    Loaded,
    Trigger,
    Triggered,
    Unload,
    decode_reply,
    pack,
)


class Rig:
    """One worker, asked directly."""

    def __init__(self, child, compiler, folder):
        self.child = child
        self.compiler = compiler
        self.folder = folder
        self.slots = 0

    async def artefact(self, source, **changes):
        """The job that loads a test guest, a file, or a component's text."""
        if isinstance(source, str) and not source.startswith((";", "(")):
            source = GUESTS / f"{source}.wat"
        elif isinstance(source, str):
            text, source = source, self.folder / "plugin.wat"
            source.write_text(text)
        entry = await self.compiler.compile(source, hashlib.sha256(source.read_bytes()).hexdigest())
        assert entry.refused is None
        self.slots += 1
        return Load(
            **{
                "slot": self.slots,
                "plugin": source.stem,
                "artefact": str(self.compiler.artefact(entry)),
                "digest": entry.digest,
                "contract": entry.contract,
            }
            | changes
        )

    async def ask(self, job):
        with trio.fail_after(PATIENCE):
            return await self.child.ask(job, decode_reply)

    async def load(self, source, **changes):
        """Load it; its slot."""
        job = await self.artefact(source, **changes)
        assert isinstance(await self.ask(job), Loaded)
        return job.slot

    async def names(self, slot, text="x"):
        reply = await self.ask(Handle(slot, text))
        assert isinstance(reply, Handled), reply
        return [name for name, _, _ in reply.items]


@pytest.fixture
async def worker(cache, tmp_path):
    paths.make_private(cache)
    zygote = Zygote()
    child = await zygote.fork("w")
    try:
        yield Rig(child, Compiler(cache, zygote), tmp_path)
    finally:
        child.close()
        zygote.close()
        assert wait_for_end([child.pid]) == []


async def test_it_loads_and_calls(worker):
    slot = await worker.load("echo")
    reply = await worker.ask(Trigger(slot))
    assert isinstance(reply, Triggered)
    assert reply.trigger == "echo:"
    assert await worker.names(slot, "echo:\n\0é😀") == ["echo:\n\0é😀"]


async def test_several_plugins_are_kept_apart(worker):
    slots = [await worker.load(component(f"name {number}", f"{number}:")) for number in range(20)]
    for number, slot in enumerate(slots):
        assert (await worker.ask(Trigger(slot))).trigger == f"{number}:"
        assert await worker.names(slot) == [f"name {number}"]


async def test_every_call_is_the_first(worker):
    slot = await worker.load("counter")
    for _ in range(10):
        assert await worker.names(slot) == ["1"]


async def test_a_trap_is_a_reply_and_the_next_call_is_not_touched(worker):
    bad, good = await worker.load("unreachable"), await worker.load("after-trap")
    for _ in range(3):
        reply = await worker.ask(Handle(bad, "x"))
        assert isinstance(reply, Failed)
        assert reply.code == "trap"
        assert "unreachable" in reply.message
        assert (await worker.ask(Handle(good, "after-trap:boom"))).code == "trap"
        assert await worker.names(good, "after-trap:") == ["fresh"]


@pytest.mark.parametrize("guest", ["exit-0", "exit-1"])
async def test_exit_ends_the_call_and_not_the_worker(worker, guest):
    slot = await worker.load(guest)
    reply = await worker.ask(Handle(slot, "x"))
    assert (reply.code, "exit" in reply.message) == ("trap", True)
    assert is_alive(worker.child.pid)


@pytest.mark.parametrize(
    "path",
    [BUNDLED / "echo.wasm", GUESTS / "built" / "resource-echo.wasm", GUESTS / "built" / "wasi-echo.wasm"],
    ids=lambda path: path.stem,
)
async def test_both_forms_run_as_compiled_from_rust(worker, path):
    slot = await worker.load(path)
    trigger = (await worker.ask(Trigger(slot))).trigger
    for text in ("hello", "é😀", ""):
        names = await worker.names(slot, trigger + text)
        assert text in names[0]


async def test_its_limits_are_those_of_the_load(worker):
    source = component("n" * 20, "x", count=10)
    slot = await worker.load(source, limits=Limits(max_items=3))
    reply = await worker.ask(Handle(slot, "x"))
    assert len(reply.items) == 3
    assert "the first 3" in reply.cut
    slot = await worker.load(source, limits=Limits(name=19))
    reply = await worker.ask(Handle(slot, "x"))
    assert [name for name, _, _ in reply.items] == ["n" * 16 + "…"] * 10
    assert "a name was cut" in reply.cut


async def test_a_long_trigger_is_refused(worker):
    slot = await worker.load(component("n", "t" * 65))
    reply = await worker.ask(Trigger(slot))
    assert (reply.code, "65 bytes" in reply.message) == ("too-large", True)
    slot = await worker.load(component("n", "t" * 64))
    assert (await worker.ask(Trigger(slot))).trigger == "t" * 64


async def test_a_plugin_sees_its_own_settings(worker):
    slot = await worker.load("config", settings='{"a": "ü"}')
    assert await worker.names(slot) == ['{"a": "ü"}']


async def test_what_a_plugin_logs_comes_with_its_reply_and_once(worker):
    slot = await worker.load("log")
    for _ in range(2):
        reply = await worker.ask(Handle(slot, "x"))
        assert len(reply.log) == 1


async def test_levels_are_taken_for_the_nearest_of_ours(worker):
    slot = await worker.load("log-levels")
    reply = await worker.ask(Handle(slot, "x"))
    assert reply.log == [
        ("warning", "logged"),
        ("error", "logged"),
        ("debug", "logged"),
        ("error", "logged"),
        ("info", "odd: logged"),
        ("info", "logged"),
    ]


@pytest.mark.parametrize("guest", ["clock-start", "clock-moment", "clock-monotonic", "files-start", "files-print"])
async def test_what_a_runtime_asks_for_is_no_attempt_of_the_plugin_s(worker, guest):
    slot = await worker.load(guest)
    for job in (Trigger(slot), Handle(slot, "x")):
        assert (await worker.ask(job)).denied == []


async def test_a_denied_clock_begins_anew_with_each_call(worker):
    slot = await worker.load("clock-both")
    for _ in range(3):
        reply = await worker.ask(Handle(slot, "x"))
        assert (reply.items[0][0], reply.denied) == ("moved", ["clock"])


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (8 << 20, r'it needs 16 MiB .* its limit is 8 MiB: `memory = "32MiB"` in its section of config.toml'),
        (16 << 20, r'it needs 16.1 MiB .* its limit is 16 MiB: `memory = "32MiB"` in its section of config.toml'),
    ],
)
async def test_too_little_memory_is_said_in_words_of_config_toml(worker, memory, message):
    slot = await worker.load("memory-257", limits=Limits(memory=memory))
    reply = await worker.ask(Trigger(slot))
    assert reply.code == "memory"
    assert re.search(message, reply.message), reply.message


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        ("tables", r"more than the 50 tables that a plugin may have"),
        ("instances", r"more than the 200 instances that a plugin may have"),
        ("memories", r"more than the 4 memories that a plugin may have"),
        ("memory-4g", r"of memory from its start"),
        ("table-100m", r"a plugin may have 20000"),
        ("import-wasi", r"it needs `wasi:cli/environment@0.2.3`, which swiftd does not have"),
    ],
)
async def test_what_a_plugin_can_not_have_is_said_in_plain_words(worker, guest, message):
    reply = await worker.ask(Trigger(await worker.load(guest)))
    assert isinstance(reply, Failed)
    assert re.search(message, reply.message), reply.message


async def test_what_a_killed_call_printed_can_be_read(worker):
    slot = await worker.load("words-spin")
    await worker.child.tell(Handle(slot, "words-spin:hällo"))
    with trio.fail_after(PATIENCE):
        while len(worker.child.left_behind(slot).log) < 2:  # noqa: ASYNC110 - memory wakes nobody
            await trio.sleep(0.01)
    worker.child.kill()
    await worker.child.wait()
    printed = [("error", "words-spin:hällo"), ("warning", "words-spin:hällo")]
    assert worker.child.left_behind(slot).log == printed
    assert worker.child.left_behind(slot + 1).log == []
    worker.child.close()
    assert worker.child.left_behind(slot).log == printed  # who learns of its end later must not find nothing


async def test_a_call_that_was_answered_leaves_nothing_behind(worker):
    slot = await worker.load("log")
    assert (await worker.ask(Handle(slot, "x"))).log
    await worker.load("ok")  # by then the worker has cleaned up
    assert worker.child.left_behind(slot).log == []


@pytest.mark.parametrize(
    "changes", [{"digest": "0" * 64}, {"digest": ""}, {"artefact": "/nowhere"}, {"artefact": "/proc"}, {"artefact": ""}]
)
async def test_an_artefact_that_is_not_what_was_compiled_is_refused(worker, changes):
    good = await worker.load("ok")
    reply = await worker.ask(await worker.artefact("echo", **changes))
    assert isinstance(reply, Failed)
    assert reply.code == "artefact"
    assert await worker.names(good) == ["fine"]


async def test_an_unloaded_plugin_can_be_loaded_again(worker):
    job = await worker.artefact("echo")
    for _ in range(3):
        assert isinstance(await worker.ask(job), Loaded)
        assert await worker.names(job.slot) == ["x"]
        await worker.child.tell(Unload(job.slot))
    await worker.child.tell(Unload(job.slot))  # harmless
    assert isinstance(await worker.ask(job), Loaded)


async def test_unloading_gives_the_memory_back(worker):
    path = BUNDLED / "calc.wasm"
    for _ in range(2):
        slot = await worker.load(path)
        await worker.child.tell(Unload(slot))
    before = resident(worker.child.pid)
    for _ in range(30):
        slot = await worker.load(path)
        await worker.names(slot, "=1+1")
        await worker.child.tell(Unload(slot))
    assert resident(worker.child.pid) - before < 8 << 20


def resident(pid):
    """Bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_jobs_are_done_in_order_however_they_are_cut(worker):
    slot = await worker.load("echo")
    jobs = b"".join(pack(Handle(slot, f"echo:{number}")) for number in range(10))
    connection, buffer, expected = worker.child._socket, b"", [b"echo:%d" % number for number in range(10)]
    with trio.fail_after(PATIENCE):
        for byte in jobs:
            await trio.lowlevel.wait_writable(connection)
            connection.send(bytes([byte]))
        while expected[-1] not in buffer:
            await trio.lowlevel.wait_readable(connection)
            buffer += connection.recv(1 << 16)
    assert sorted(expected, key=buffer.index) == expected


async def test_a_call_of_what_is_not_loaded_ends_it_rather_than_answering(worker):
    with pytest.raises(LostError):
        await worker.ask(Handle(99, "x"))


async def test_it_ends_when_nobody_listens_any_more(worker):
    worker.child._socket.shutdown(2)
    with trio.fail_after(PATIENCE):
        await worker.child.wait()
