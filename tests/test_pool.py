"""Real workers from a real zygote: what a call may cost the others, and what becomes of a worker that is lost."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from daemons import PATIENCE, is_alive
from pools import SIZE, running, until

from swiftd.children import START_LIMIT
from swiftd.errors import DaemonError, PluginFault
from swiftd.pool import FIRST_CALL, MOST_EXTRA
from swiftd.sandbox.messages import Grants, Trigger
from swiftd.worker import ArtefactError


@pytest.fixture
async def rig(cache):
    async with running(cache) as rig:
        yield rig


# ---- one call ---------------------------------------------------------------------------------------------------


async def test_a_call_is_answered(rig):
    echo = await rig.load("echo")
    assert await rig.call(echo, "echo:hello") == ["echo:hello"]
    assert (await rig.pool.call(echo, Trigger(echo.slot))).trigger == "echo:"


async def test_every_call_meets_a_fresh_plugin(rig):
    counter = await rig.load("counter")
    assert [await rig.call(counter) for _ in range(5)] == [["1"]] * 5


async def test_a_deadline_costs_the_worker_and_the_next_call_works(rig):
    spin, echo = await rig.load("spin", deadline=0.1), await rig.load("echo")
    before = rig.pids()
    assert await rig.fault(spin) == "timeout"
    assert await rig.call(echo) == ["echo:x"]
    await rig.settled()
    assert len(rig.pids() & before) == SIZE - 1
    assert rig.pool.killed == 1


async def test_the_deadline_does_not_count_the_wait_for_a_worker(rig):
    spin = await rig.load("spin", deadline=0.3)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(rig.fault, spin)
        await rig.busy()
        echo = await rig.load("echo", "spin", deadline=0.2)  # counts as the same plugin, so it has to wait
        assert await rig.call(echo) == ["echo:x"]


async def test_a_cancelled_call_costs_the_worker_and_the_next_call_works(rig):
    spin, echo = await rig.load("spin"), await rig.load("echo")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.call, spin)
        (victim,) = await rig.busy()
        nursery.cancel_scope.cancel()
    await until(lambda: not is_alive(victim))
    assert await rig.call(echo) == ["echo:x"]
    await rig.settled()
    assert rig.pool.killed == 1


async def test_a_call_that_is_cancelled_while_it_waits_costs_nothing(rig):
    spin = await rig.load("spin")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.call, spin)
        await rig.busy()
        with trio.move_on_after(0.01) as scope:
            await rig.call(spin)
        assert scope.cancelled_caught
        assert rig.pool.killed == 0
        nursery.cancel_scope.cancel()
    await rig.settled()
    assert rig.is_unused()


async def test_a_call_that_is_cancelled_before_it_begins_costs_nothing(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    for _ in range(5):
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.call(echo)
        assert scope.cancelled_caught
    assert rig.pool.killed == 0
    assert rig.is_unused()


def said(rig, plugin):
    """What is in a plugin's log of its own doing, and what the pool says of it."""
    lines = [(line.level, line.text) for line in rig.journal.lines(plugin)]
    return [line for line in lines if line[1] == "x"], [text for _, text in lines if text != "x"]


async def test_what_a_call_printed_is_kept_when_it_is_killed_at_its_deadline(rig):
    load = await rig.load("words-spin", deadline=2.0)
    assert await rig.fault(load) == "timeout"
    printed, rest = said(rig, "words-spin")
    assert printed == [("error", "x"), ("warning", "x")]
    assert rest == ["timeout: no answer within its deadline of 2000 ms"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_what_a_call_printed_is_kept_when_its_process_dies(rig, number):
    load = await rig.load("words-spin")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(faults_as, rig, load, "trap")
        worker = (await until(lambda: [w for w in rig.workers() if w.child.left_behind(load.slot).log[1:]]))[0]
        await until(lambda: kill(worker.child.pid, number) or not is_alive(worker.child.pid))
    assert said(rig, "words-spin")[0] == [("error", "x"), ("warning", "x")]


async def test_what_another_plugin_printed_before_is_not_taken_for_it(rig):
    noisy, quiet = await rig.load("log"), await rig.load("spin", deadline=0.2)
    for _ in range(5):
        await rig.call(noisy)
    assert await rig.fault(quiet) == "timeout"
    assert said(rig, "spin") == ([], ["timeout: no answer within its deadline of 200 ms"])


async def test_a_plugin_has_its_time_to_say_its_trigger_whatever_its_deadline(rig):
    load = await rig.load("trigger-slow", deadline=0.05, grants=Grants(clock=True))
    reply = await rig.pool.call(load, Trigger(load.slot))
    assert reply.trigger == "trigger-slow:"
    load = await rig.load("spin-trigger", deadline=FIRST_CALL + 0.1)
    with pytest.raises(PluginFault, match="deadline of 5100 ms"):
        await rig.pool.call(load, Trigger(load.slot))


async def test_a_trap_costs_no_worker(rig):
    bad = await rig.load("unreachable")
    await rig.settled()  # the child that compiled it is gone as well
    before = rig.pids()
    for _ in range(5):
        assert await rig.fault(bad) == "trap"
    assert rig.pids() == before


# ---- lost processes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
async def test_a_worker_that_dies_in_a_call_costs_that_call_only(rig, number):
    spin, echo = await rig.load("spin"), await rig.load("echo")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(faults_as, rig, spin, "trap")
        (victim,) = await rig.busy()
        os.kill(victim, number)
        if number == signal.SIGSEGV:  # the runtime's own handler takes the first, and restores the default
            await until(lambda: kill(victim, number))
        for _ in range(5):
            assert await rig.call(echo) == ["echo:x"]
    await rig.settled()
    assert await rig.call(echo) == ["echo:x"]


def kill(pid, number):
    """Send a signal; whether the process had ended before."""
    if is_alive(pid):
        os.kill(pid, number)
        return False
    return True


async def faults_as(rig, load, code):
    assert await rig.fault(load) == code


async def test_idle_workers_that_die_are_replaced(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    before = rig.pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not before & rig.pids())
    await rig.settled()
    assert await rig.call(echo) == ["echo:x"]


async def test_when_the_zygote_dies_everything_is_made_anew(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    for _ in range(2):
        zygote, workers = rig.zygote._process.pid, rig.pids()
        os.kill(zygote, signal.SIGKILL)
        await until(lambda workers=workers: not any(map(is_alive, workers)))
        await until(lambda zygote=zygote: rig.zygote._process and rig.zygote._process.pid != zygote)
        await rig.settled()
        assert await rig.call(echo) == ["echo:x"]


async def test_a_worker_that_is_stopped_is_as_good_as_one_that_spins(rig):
    echo = await rig.load("echo", deadline=0.2)
    await rig.pool.add(echo)
    stopped = rig.pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    assert await rig.fault(echo) == "timeout"
    assert await rig.fault(echo) == "timeout"
    await until(lambda: not stopped & rig.pids())
    assert await rig.call(echo) == ["echo:x"]


async def test_nothing_is_left_of_200_killed_workers(rig):
    spin, echo = await rig.load("spin", deadline=0.002), await rig.load("echo")
    await rig.fault(spin)
    await rig.settled()
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        assert await rig.fault(spin) == "timeout"
    await rig.settled()
    assert await rig.call(echo) == ["echo:x"]
    assert rig.pool.killed == 201
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len(os.listdir(f"/proc/{rig.zygote._process.pid}/fd")) < 10
    assert len(rig.pids()) == SIZE  # zombies would count


# ---- who gets one -----------------------------------------------------------------------------------------------


async def test_a_slow_plugin_never_holds_all_workers(rig):
    spin, echo = await rig.load("spin", deadline=60.0), await rig.load("echo")
    await rig.pool.add(echo)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ends, rig, spin)
        await rig.busy()
        for _ in range(50):
            with trio.fail_after(PATIENCE):
                assert await rig.call(echo) == ["echo:x"]
        nursery.cancel_scope.cancel()


async def ends(rig, load):
    with suppress(PluginFault):
        await rig.call(load)


async def test_several_slow_plugins_make_the_pool_grow_and_it_shrinks_again(rig):
    slow = [await rig.load("spin", f"slow-{number}") for number in range(SIZE)]
    echo = await rig.load("echo")
    async with trio.open_nursery() as nursery:
        for load in slow:
            nursery.start_soon(ends, rig, load)
        await rig.busy(SIZE)
        with trio.fail_after(PATIENCE):
            assert await rig.call(echo) == ["echo:x"]
        nursery.cancel_scope.cancel()
    await rig.settled()


async def test_the_pool_never_grows_beyond_its_limit(rig):
    slow = [await rig.load("spin", f"slow-{number}", deadline=0.3) for number in range(SIZE + MOST_EXTRA + 3)]
    most = 0
    async with trio.open_nursery() as nursery:
        for load in slow:
            nursery.start_soon(ends, rig, load)
        while nursery.child_tasks:
            most = max(most, rig.pool.count, len(rig.pids()) - 1)
            await trio.sleep(0.01)
    assert SIZE < most <= SIZE + MOST_EXTRA
    await rig.settled()


async def test_two_slow_plugins_do_not_starve_a_third(rig):
    slow = [await rig.load("spin", f"slow-{number}", deadline=60.0) for number in range(2)]
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    async with trio.open_nursery() as nursery:
        for load in slow:
            for _ in range(20):
                nursery.start_soon(ends, rig, load)
        await rig.busy(SIZE)
        for _ in range(5):
            with trio.fail_after(PATIENCE):
                assert await rig.call(echo) == ["echo:x"]
        nursery.cancel_scope.cancel()


async def test_an_extra_worker_that_came_too_late_goes_again(rig):
    crew = rig.pool._common
    async with trio.open_nursery() as nursery:
        taken = [await crew.take(plugin) for plugin in ("a", "b")]
        nursery.start_soon(crew.take, "c")
        await until(lambda: crew._extra)  # it is on its way
        nursery.cancel_scope.cancel()
    for worker, plugin in zip(taken, ("a", "b"), strict=True):
        crew.give_back(worker, plugin)
    await until(lambda: not crew._extra)
    await rig.settled()


async def test_who_waits_too_long_is_told_that_all_are_busy(rig, monkeypatch):
    monkeypatch.setattr("swiftd.pool.WAIT_LIMIT", 0.2)
    spin = await rig.load("spin")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.call, spin)
        await rig.busy()
        assert await rig.fault(spin) == "busy"
        nursery.cancel_scope.cancel()
    assert rig.is_unused()


async def test_under_a_mixed_load_every_call_gets_its_own_answer(rig):
    echo, spin = await rig.load("echo"), await rig.load("spin", deadline=0.05)
    wrong = []

    async def ask(number):
        if await rig.call(echo, f"echo:{number}") != [f"echo:{number}"]:
            wrong.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
            if number % 20 == 0:
                nursery.start_soon(ends, rig, spin)
    assert wrong == []
    assert rig.is_unused()


# ---- what they have loaded --------------------------------------------------------------------------------------


async def test_what_is_added_is_loaded_everywhere_and_what_is_removed_nowhere(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    assert [worker.loaded for worker in rig.workers()] == [{echo.slot}] * SIZE
    await rig.pool.remove(echo.slot)
    assert [worker.loaded for worker in rig.workers()] == [set()] * SIZE


async def test_a_new_worker_has_what_the_others_have(rig):
    echo, spin = await rig.load("echo"), await rig.load("spin", deadline=0.05)
    await rig.pool.add(echo)
    await rig.fault(spin)
    await rig.settled()
    assert all(echo.slot in worker.loaded for worker in rig.workers())


async def test_what_was_never_added_is_loaded_for_the_call(rig):
    assert await rig.call(await rig.load("echo")) == ["echo:x"]


async def test_a_removed_plugin_can_still_be_called_by_who_was_about_to(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    await rig.pool.remove(echo.slot)
    assert await rig.call(echo) == ["echo:x"]


async def test_adding_waits_for_a_busy_worker_and_answers_go_on(rig):
    spin, echo = await rig.load("spin", deadline=0.3), await rig.load("echo")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends, rig, spin)
        await rig.busy()
        nursery.start_soon(rig.pool.add, echo)
        assert await rig.call(echo) == ["echo:x"]
    await rig.settled()
    assert all(echo.slot in worker.loaded for worker in rig.workers())


@pytest.mark.parametrize("changes", [{"digest": "0" * 64}, {"artefact": "/nowhere.cwasm"}, {"artefact": "/proc"}])
async def test_an_artefact_that_is_not_what_was_compiled_is_not_loaded(rig, changes):
    bad, echo = await rig.load("echo", **changes), await rig.load("echo")
    before = rig.pids()
    with pytest.raises(ArtefactError):
        await rig.pool.add(bad)
    with pytest.raises(ArtefactError):
        await rig.call(bad)
    assert await rig.call(echo) == ["echo:x"]
    assert rig.pids() == before
    assert rig.pool.killed == 0


async def test_two_versions_of_a_plugin_can_be_loaded_at_once(rig):
    old, new = await rig.load("ok", "p"), await rig.load("counter", "p")
    await rig.pool.add(old)
    await rig.pool.add(new)
    assert (await rig.call(old), await rig.call(new)) == (["fine"], ["1"])


# ---- what a failure cost ----------------------------------------------------------------------------------------


async def fault_of(call):
    with pytest.raises(PluginFault) as caught:
        await call
    return caught.value


async def test_a_trap_tells_how_long_it_took_and_that_nothing_was_lost(rig):
    quick = await fault_of(rig.call(await rig.load("unreachable")))
    assert (quick.code, quick.is_loss) == ("trap", False)
    assert 0 < quick.seconds < 10


async def test_a_worker_that_is_lost_in_a_call_is_told_from_a_trap(rig):
    load = await rig.load("spin")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill_the_busy, rig)
        fault = await fault_of(rig.call(load))
        nursery.cancel_scope.cancel()
    assert (fault.code, fault.is_loss) == ("trap", True)


async def kill_the_busy(rig):
    while True:
        for pid in filter(has_run_for_long, rig.pids()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await trio.sleep(0.02)


def has_run_for_long(pid):
    """Whether a worker has run for a fifth of a second, which here one does whose guest spins."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) > 20
    return False


# ---- when no process can be made --------------------------------------------------------------------------------


async def test_a_fork_that_fails_costs_no_healthy_worker(rig, caplog):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    zygote = rig.zygote._process.pid
    before = resource.prlimit(zygote, resource.RLIMIT_NOFILE)
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, (3, before[1]))  # no descriptor for a new process's connection
    first, second = rig.pids()
    os.kill(first, signal.SIGKILL)
    await until(lambda: "no sandbox process can be made" in caplog.text)
    with pytest.raises(DaemonError, match=r"too many files are open at once \(`ulimit -n`\)"):
        await rig.zygote.fork("w")
    assert [await rig.call(echo) for _ in range(20)] == [["echo:x"]] * 20
    assert rig.pids() == {second}
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, before)
    await rig.settled()
    assert second in rig.pids()
    assert rig.zygote._process.pid == zygote
    assert caplog.text.count("no sandbox process can be made") == 1


async def test_where_the_daemon_has_no_descriptor_for_a_new_process_the_others_live(rig):
    before, soft = rig.pids(), resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, soft[1]))
    try:
        for number in range(3):
            with suppress(DaemonError):  # with one left of two, the kernel hands over one
                (await rig.zygote.fork("w")).close()
            os.close(taken.pop(len(taken) // 2))
            assert before <= rig.pids(), number
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, soft)
        for number in taken:
            os.close(number)
    (await rig.zygote.fork("w")).close()
    await rig.settled()
    assert rig.pids() == before


async def test_a_zygote_that_is_stopped_is_replaced_in_seconds(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    stopped = rig.zygote._process.pid
    os.kill(stopped, signal.SIGSTOP)
    for pid in rig.pids():
        os.kill(pid, signal.SIGKILL)
    with trio.fail_after(START_LIMIT - 1):
        while True:
            with suppress(PluginFault):
                assert await rig.call(echo) == ["echo:x"]
                break
    assert not is_alive(stopped)


# ---- folders ----------------------------------------------------------------------------------------------------


async def test_a_folder_that_is_another_now_is_met_by_another_worker(rig, tmp_path):
    box = tmp_path / "box"
    box.mkdir()
    files = await rig.load("files-read", grants=Grants(read=((str(box), str(box)),)))
    await rig.pool.add(files)
    for text in ("first", "second"):
        shutil.rmtree(box)
        box.mkdir()
        (box / "file").write_text(text)
        assert await rig.call(files, "files-read:") == [text]
    assert rig.pool.killed == 0
    await rig.settled(apart=1)


async def test_a_call_never_meets_a_worker_that_was_not_let_into_its_folder(rig, tmp_path):
    """What is only tried, and a version just replaced, are in nobody's folders but their own call's."""
    box = tmp_path / "box"
    box.mkdir()
    (box / "file").write_text("there")
    files = await rig.load("files-read", grants=Grants(read=((str(box), str(box)),)))
    await rig.pool.add(await rig.load("echo", "files-read", private=True))
    crew = rig.pool._apart["files-read"]

    async def narrow(scope):
        with scope:
            while True:
                await crew.remove(0)  # of a number that nobody has: the folders of those in service remain
                await trio.lowlevel.checkpoint()

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(narrow, scope)
        answers = Counter()
        for _ in range(10):
            try:
                answers.update(await rig.call(files, "files-read:"))
            except PluginFault as fault:
                answers[fault.code] += 1
        scope.cancel()
    assert set(answers) <= {"there", "busy"}
    assert rig.pool._apart == {"files-read": crew}
    await rig.settled(apart=1)


async def test_many_calls_at_once_survive_a_folder_that_is_replaced_all_the_time(rig, tmp_path):
    box = tmp_path / "box"
    box.mkdir()
    files, echo = await rig.load("files-read", grants=Grants(read=((str(box), str(box)),))), await rig.load("echo")
    answers = Counter()

    async def ask(load, count):
        for _ in range(count):
            try:
                answers.update(await rig.call(load))
            except PluginFault as fault:
                answers[fault.code] += 1

    async def replace(scope):
        with scope:
            while True:
                box.rmdir()
                box.mkdir()
                await trio.sleep(0.01)

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replace, scope)
        async with trio.open_nursery() as asking:
            asking.start_soon(ask, files, 30)
            asking.start_soon(ask, echo, 30)
        scope.cancel()
    assert set(answers) <= {"no-entry", "none", "echo:x", "busy"}
    assert answers.total() == 60
    assert await rig.call(files) in (["no-entry"], ["none"])
    await rig.settled()
