"""Who shares a sandbox process with whom, what such a process comes to know, and how many there are."""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from contextlib import suppress

import pytest
import trio
from daemons import GUESTS, PATIENCE, is_alive
from pools import SIZE, running, until

from swiftd.children import Child
from swiftd.errors import PluginFault
from swiftd.pool import MOST_EXTRA
from swiftd.sandbox.messages import Grants, Handle, Harden, Load, Loaded
from swiftd.worker import ArtefactError

FEW = 3
"""Crews apart that have a worker, in tests of what happens when there are more."""


@pytest.fixture
async def rig(cache):
    async with running(cache) as rig:
        yield rig


@pytest.fixture
def told(monkeypatch):
    """All that any process was told, by its number."""
    told = defaultdict(list)
    tell = Child.tell

    async def recorded(self, job):
        told[self.pid].append(job)
        await tell(self, job)

    monkeypatch.setattr(Child, "tell", recorded)
    return told


def plugins_by_process(told):
    """Of which plugins each process knows."""
    loads = {pid: {job.plugin for job in jobs if isinstance(job, Load)} for pid, jobs in told.items()}
    return {pid: plugins for pid, plugins in loads.items() if plugins}


def folder(tmp_path, name, *, write=False):
    """The grant of a folder of that name."""
    path = tmp_path / name
    path.mkdir(exist_ok=True)
    (path / "file").write_text(name)
    pair = ((str(path), str(path)),)
    return Grants(write=pair) if write else Grants(read=pair)


async def answers(rig, load, times=1):
    """What calls give, and how often; faults by their codes."""
    found = Counter()
    for _ in range(times):
        try:
            found.update(await rig.call(load))
        except PluginFault as fault:
            found[fault.code] += 1
    return found


async def process_of(rig, load):
    """The process that a plugin apart runs in."""
    await rig.call(load)
    (worker,) = rig.pool._apart[load.plugin].workers
    return worker.child.pid


# ---- who shares -------------------------------------------------------------------------------------------------


async def test_a_plugin_with_folders_or_settings_shares_its_process_with_no_other(rig, tmp_path, told):
    alone = {
        "reads": await rig.load("files-read", "reads", grants=folder(tmp_path, "a")),
        "writes": await rig.load("files-read", "writes", grants=folder(tmp_path, "b", write=True)),
        "knows": await rig.load("config", "knows", private=True, settings='{"token": "secret"}'),
        "knows too": await rig.load("config", "knows too", private=True, settings='{"token": "other"}'),
    }
    shared = [await rig.load("echo"), await rig.load("counter", grants=Grants(clock=True, env=(("LANG", "C"),)))]
    for load in (*alone.values(), *shared):
        await rig.pool.add(load)
    for _ in range(2):
        for load in (*alone.values(), *shared):
            await rig.call(load)
    known = plugins_by_process(told)
    together = [plugins for plugins in known.values() if not plugins & alone.keys()]
    assert together == [{"echo", "counter"}] * SIZE
    assert sorted(map(sorted, known.values())) == sorted([*map(sorted, together), *([name] for name in alone)])


async def test_a_process_is_let_into_the_folders_of_its_own_plugin_only(rig, tmp_path, told):
    loads = [
        await rig.load("files-read", "one", grants=folder(tmp_path, "a")),
        await rig.load("files-read", "other", grants=folder(tmp_path, "b", write=True)),
        await rig.load("echo"),
    ]
    for load in loads:
        await rig.pool.add(load)
        await rig.call(load)
    cache = str(rig.cache.resolve())
    for pid, plugins in plugins_by_process(told).items():
        (harden,) = [job for job in told[pid] if isinstance(job, Harden)]
        folders = {"one": [str(tmp_path / "a")], "other": [str(tmp_path / "b")], "echo": []}
        (plugin,) = plugins
        assert sorted({*harden.read, *harden.write} - {cache}) == folders[plugin]
        assert harden.write == (folders["other"] if plugin == "other" else [])


async def test_two_versions_of_a_plugin_share_its_process(rig):
    old = await rig.load("ok", "p", private=True)
    new = await rig.load("counter", "p", private=True)
    await rig.pool.add(old)
    process = await process_of(rig, old)
    await rig.pool.add(new)
    assert await rig.call(new) == ["1"]
    await rig.pool.remove(old.slot)
    assert await process_of(rig, new) == process
    await rig.settled(apart=1)


@pytest.mark.parametrize("before", [True, False])
async def test_a_change_of_what_one_plugin_has_costs_no_worker_of_the_others(rig, tmp_path, before):
    """Folders that it gets, has others of, and has no more; whether it had settings before or not."""
    echo, other = await rig.load("echo"), await rig.load("files-read", "other", grants=folder(tmp_path, "a"))
    for load in (echo, other):
        await rig.pool.add(load)
    theirs = {await process_of(rig, other), *(worker.child.pid for worker in rig.pool._common.workers)}
    old = await rig.load("files-read", "p", private=before)
    await rig.pool.add(old)
    for grants in (folder(tmp_path, "b"), folder(tmp_path, "c", write=True), Grants()):
        new = await rig.load("files-read", "p", grants=grants)
        await rig.pool.add(new)
        await rig.call(new)
        await rig.pool.remove(old.slot)
        assert await rig.call(new) == (["b"] if grants.read else ["c"] if grants.write else ["none"])
        assert theirs <= {worker.child.pid for worker in rig.workers()}
        old = new
    assert rig.pool._apart.keys() == {"other"}
    await rig.settled(apart=1)
    assert theirs == rig.pids()


async def test_a_process_that_was_let_into_a_folder_ends_with_the_grant(rig, tmp_path):
    old = await rig.load("files-read", "p", private=True, grants=folder(tmp_path, "a"))
    new = await rig.load("files-read", "p", private=True)
    await rig.pool.add(old)
    before = await process_of(rig, old)
    await rig.pool.add(new)
    await rig.pool.remove(old.slot)
    assert rig.workers(idle=True) == list(rig.pool._common.lender.idle)  # before anything is asked
    assert await rig.call(new) == ["none"]
    assert await process_of(rig, new) != before


async def test_no_call_is_given_to_a_process_that_was_not_let_into_its_folder(rig, tmp_path, told):
    served = await rig.load("files-read", "p", private=True)
    tried = await rig.load("files-read", "p", grants=folder(tmp_path, "a"))
    await rig.pool.add(served)
    assert await rig.call(served) == ["none"]
    assert await rig.call(tried) == ["a"]
    asked = [jobs for jobs in told.values() if any(isinstance(job, Handle) and job.slot == tried.slot for job in jobs)]
    assert [str(tmp_path / "a") in jobs[0].read for jobs in asked] == [True]


async def test_of_a_plugin_that_is_gone_or_was_only_tried_no_process_is_left(rig):
    tried, served = await rig.load("echo", "tried", private=True), await rig.load("echo", "served", private=True)
    assert await rig.call(tried) == ["echo:x"]
    await rig.pool.add(served)
    assert await rig.call(served) == ["echo:x"]
    await rig.settled(apart=1)
    rig.pool.disown(served.slot)
    await rig.settled()
    await rig.pool.add(served)
    assert await rig.call(served) == ["echo:x"]
    await rig.pool.remove(served.slot)
    await rig.settled()
    assert rig.pool._apart == {}


async def test_an_artefact_that_is_not_what_was_compiled_leaves_no_crew(rig):
    bad = await rig.load("echo", digest="0" * 64, private=True)
    await rig.pool.add(bad)  # there is nobody to load it yet
    with pytest.raises(ArtefactError):
        await rig.call(bad)
    rig.pool.disown(bad.slot)
    await rig.settled()
    good = await rig.load("echo", "p", private=True)
    await rig.pool.add(good)
    await rig.call(good)
    with pytest.raises(ArtefactError):
        await rig.pool.add(await rig.load("echo", "p", digest="0" * 64, private=True))
    assert await rig.call(good) == ["echo:x"]


@pytest.mark.parametrize(
    ("section", "apart"),
    [
        ("", 0),
        ("[settings]\nfor = 'all'\n", 0),
        ("[plugins.ok]\nmemory = '32MiB'\ndeadline = '2s'\nmax_items = 5\ntrigger = 'mine:'\n", 0),
        ("[plugins.ok.grants]\nclock = true\n", 0),
        ("[plugins.ok.settings]\ntoken = 'secret'\n", 1),
        ("[plugins.ok.grants]\nenv = ['HOME']\n", 1),
        ("[plugins.ok.grants]\nread = ['~/box']\n", 1),
        ("[plugins.ok.grants]\nwrite = ['~/box']\n", 1),
    ],
)
def test_what_config_toml_gives_a_plugin_decides_whether_it_shares(idle_daemon, section, apart):
    (idle_daemon.home / "box").mkdir()
    idle_daemon.install(GUESTS / "ok.wat")
    client = idle_daemon.start().client()
    assert client.names("ok:") == ["fine"]
    common = set(idle_daemon.idle_workers())
    idle_daemon.config.write_text(section)
    client.ask("reload")
    assert client.settled("ok")["state"] == "ready"
    assert client.names("mine:" if "mine" in section else "ok:") == ["fine"]
    assert common <= set(idle_daemon.idle_workers(SIZE + apart))
    assert client.ask("stats")["workers_apart"] == apart


# ---- how many there are -----------------------------------------------------------------------------------------


async def crowd(rig, count, guest="echo", **changes):
    """Plugins with settings of their own, in service."""
    loads = [await rig.load(guest, f"p{number}", private=True, **changes) for number in range(count)]
    for load in loads:
        await rig.pool.add(load)
    return loads


async def test_many_plugins_apart_have_few_processes_and_all_answer(rig, monkeypatch):
    monkeypatch.setattr("swiftd.pool.MOST_APART", FEW)
    loads = await crowd(rig, 4 * FEW)
    await rig.settled()  # made at the first call
    for load in (*loads, *loads):
        assert await rig.call(load) == ["echo:x"]
        await until(lambda: rig.pool.count_apart <= FEW)
        assert len(rig.pool._warm) <= FEW
    await rig.settled(apart=FEW)
    assert [load.plugin for load in loads if rig.pool._apart[load.plugin].workers] == ["p9", "p10", "p11"]
    assert rig.pool.killed == 0


async def test_more_plugins_apart_than_may_have_a_process_answer_all_at_once(rig, monkeypatch):
    monkeypatch.setattr("swiftd.pool.MOST_APART", FEW)
    monkeypatch.setattr("swiftd.pool.WAIT_LIMIT", PATIENCE)
    found, most = Counter(), 0

    async def ask(load):
        found.update(await answers(rig, load, 3))

    async with trio.open_nursery() as nursery:
        for load in await crowd(rig, 4 * FEW):
            nursery.start_soon(ask, load)
        while len(nursery.child_tasks):
            most = max(most, rig.pool.count_apart)
            await trio.sleep(0.005)
    assert found == {"echo:x": 12 * FEW}
    assert most <= FEW + MOST_EXTRA
    await rig.settled(apart=FEW)


async def test_those_that_are_always_busy_do_not_keep_one_apart_from_its_turn(rig, monkeypatch):
    monkeypatch.setattr("swiftd.pool.MOST_APART", FEW)
    monkeypatch.setattr("swiftd.pool.WAIT_LIMIT", PATIENCE)
    monkeypatch.setattr("swiftd.pool.EXTRA_APART", 0)
    *slow, last = await crowd(rig, FEW + 3, "nth", deadline=0.1)
    async with trio.open_nursery() as nursery:

        async def keep_busy(load):
            while True:
                with suppress(PluginFault):
                    await rig.call(load, "nth:100")  # which spins

        for load in slow:
            for _ in range(3):
                nursery.start_soon(keep_busy, load)
        await until(lambda: rig.pool.count_apart >= FEW)
        with trio.fail_after(PATIENCE):
            for _ in range(3):
                assert await rig.call(last, "nth:1") == ["fine"]
        nursery.cancel_scope.cancel()


async def test_a_slow_call_leaves_its_plugin_a_worker_but_not_all_extra_ones(rig):
    slow, other = await crowd(rig, 2, "nth", deadline=60.0)
    async with trio.open_nursery() as nursery:

        async def is_slow(load):
            with suppress(PluginFault):
                await rig.call(load, "nth:100")

        nursery.start_soon(is_slow, slow)
        await rig.busy()
        with trio.fail_after(PATIENCE):
            assert await rig.call(slow, "nth:1") == ["fine"]
        for _ in range(5):
            nursery.start_soon(is_slow, slow)
        await rig.busy(2)
        nursery.start_soon(is_slow, other)
        await rig.busy(3)
        assert await rig.call(other, "nth:1") == ["fine"]
        assert len(rig.pool._apart[slow.plugin].workers) == 2
        nursery.cancel_scope.cancel()
    await rig.settled(apart=2)


async def test_plugins_that_are_slow_together_have_no_more_than_the_extra_workers(rig):
    slow = await crowd(rig, MOST_EXTRA + 2, "spin", deadline=0.3)
    most = 0

    async def is_slow(load):
        with suppress(PluginFault):
            await rig.call(load)

    async with trio.open_nursery() as nursery:
        for load in slow:
            for _ in range(3):
                nursery.start_soon(is_slow, load)
        while nursery.child_tasks:
            most = max(most, rig.pool.count_apart)
            await trio.sleep(0.01)
    assert len(slow) < most <= len(slow) + MOST_EXTRA
    await rig.settled(apart=len(slow))


async def test_a_worker_apart_that_dies_is_replaced_unless_its_plugin_has_given_its_place_up(rig, monkeypatch):
    monkeypatch.setattr("swiftd.pool.MOST_APART", 1)
    first, second = await crowd(rig, 2)
    process = await process_of(rig, first)
    os.kill(process, signal.SIGKILL)
    await until(lambda: not is_alive(process))
    await rig.settled(apart=1)
    assert await rig.call(first) == ["echo:x"]
    assert await rig.call(second) == ["echo:x"]
    await rig.settled(apart=1)
    assert rig.pool._apart[first.plugin].workers == set()


async def test_the_pause_after_workers_that_died_young_is_over_for_a_call_that_waits(rig):
    (load,) = await crowd(rig, 1)
    await rig.call(load)
    crew = rig.pool._apart[load.plugin]
    for _ in range(4):
        (worker,) = await until(lambda: crew.workers)
        os.kill(worker.child.pid, signal.SIGKILL)
        await until(lambda: not crew.workers)
    assert await rig.call(load) == ["echo:x"]
    assert [worker.place.is_extra for worker in crew.workers] == [False]  # an extra one would go again


# ---- calls that wait --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False])
async def test_a_plugin_may_go_or_change_while_its_calls_wait(rig, private):
    old, new = [await rig.load(guest, "p", private=private) for guest in ("ok", "echo")]
    await rig.pool.add(old)
    found = Counter()

    async def ask(load):
        found.update(await answers(rig, load))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask, old)
        await until(lambda: rig.workers() and not rig.is_unused())
        await rig.pool.add(new)
        nursery.start_soon(ask, new)
        await rig.pool.remove(old.slot)
        rig.pool.resize(4)
        await rig.pool.remove(new.slot)
        rig.pool.resize(SIZE)
    assert found == {"fine": 50, "echo:x": 1}
    assert rig.is_unused()
    await rig.settled()


async def test_who_waits_is_served_in_order_and_nobody_is_told_that_all_are_busy(rig):
    echo = await rig.load("echo")
    await rig.pool.add(echo)
    order = []

    async def ask(number):
        assert await rig.call(echo, f"echo:{number}") == [f"echo:{number}"]
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(400):
            nursery.start_soon(ask, number)
            await trio.lowlevel.cancel_shielded_checkpoint()
    assert order == sorted(order)


async def test_one_that_waits_is_told_so_after_the_limit_and_a_load_counts(rig, monkeypatch):
    """What a call waits for and what it has loaded is one time: the limit's, after which its deadline begins."""
    monkeypatch.setattr("swiftd.pool.WAIT_LIMIT", 0.2)
    echo = await rig.load("echo")  # added nowhere
    for pid in rig.pids():
        os.kill(pid, signal.SIGSTOP)
    began = trio.current_time()
    for _ in range(SIZE):
        assert await rig.fault(echo) == "busy"
    assert trio.current_time() - began < 5.0
    await rig.settled()
    assert await rig.call(echo) == ["echo:x"]


# ---- what else may happen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False])
async def test_a_worker_that_gives_an_odd_answer_to_a_call_never_serves_again(rig, monkeypatch, private):
    echo = await rig.load("echo", private=private)
    await rig.pool.add(echo)
    await rig.call(echo)
    before = {worker.child.pid for worker in rig.workers()}
    for odd in (lambda _: Loaded(), lambda _: None, fail):
        with monkeypatch.context() as patch:
            patch.setattr("swiftd.worker.decode_reply", odd)
            with pytest.raises((PluginFault, ZeroDivisionError)):
                await rig.call(echo)
    await rig.settled(apart=private)
    assert len(before & rig.pids()) == (len(before) - 1 if private else 0)
    assert await rig.call(echo) == ["echo:x"]
    assert rig.is_unused()


def fail(_):
    return 1 / 0


async def test_a_worker_that_can_not_be_made_for_an_unknown_reason_is_made_later(rig, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr("swiftd.worker.decode_reply", fail)
        for pid in rig.pids():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: "a worker could not be made" in caplog.text)
    await rig.settled()


async def test_what_workers_have_given_up_is_what_all_of_them_have(rig):
    everything = rig.pool.hardening
    assert "seccomp" in everything
    weak = next(iter(rig.pool._common.workers))
    weak.measures = [measure for measure in everything if measure != "seccomp"]
    assert rig.pool.hardening == weak.measures


async def strike(rig):
    """End or stop a process every few milliseconds, the zygote among them."""
    for number in range(10_000):
        victims = sorted(rig.pids())
        if number % 20 == 19:
            victims = [rig.zygote._process.pid] if rig.zygote._process else []
        for pid in victims[number % max(1, len(victims)) :][:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if number % 10 == 9 else signal.SIGKILL)
        await trio.sleep(0.02)


async def test_whatever_is_killed_or_stopped_no_answer_is_wrong_and_all_come(rig):
    loads = [await rig.load("echo", deadline=0.5), *(await crowd(rig, 2, deadline=0.5))]
    await rig.pool.add(loads[0])
    found = Counter()

    async def ask(load, count):
        for number in range(count):
            try:
                assert await rig.call(load, f"echo:{number}") == [f"echo:{number}"]
                found["right"] += 1
            except PluginFault as fault:
                found[fault.code] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, rig)
        async with trio.open_nursery() as asking:
            for load in loads:
                for _ in range(4):
                    asking.start_soon(ask, load, 20)
        nursery.cancel_scope.cancel()
    assert found.total() == 240
    assert found.keys() <= {"right", "trap", "timeout", "busy"}
    assert found["right"] > 20  # on a busy machine most are struck
    with trio.fail_after(PATIENCE):
        for load in loads:
            while (await answers(rig, load)).keys() != {"echo:x"}:
                pass
    assert rig.is_unused()
