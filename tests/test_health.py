"""When a plugin is put off, for what, for how long, and who tries first when it may be called again."""

from __future__ import annotations

import itertools
import os
import re
import select
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from daemons import GUESTS, component, eventually

from swiftd.errors import PluginFault
from swiftd.health import FIRST_DELAY, LONGEST_DELAY, SLOW, TOLERATED, Health

TIMEOUT = PluginFault("timeout", "no answer within its deadline of 50 ms")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(clock)


def fail(health, times=TOLERATED, fault=TIMEOUT):
    for _ in range(times):
        health.failed(fault)
    return health


@pytest.mark.parametrize(
    "fault",
    [
        TIMEOUT,
        PluginFault("memory", "memory minimum size of 100 pages exceeds memory limits"),
        PluginFault("trap", "its sandbox process ended in the middle of the call", is_loss=True),
        PluginFault("trap", "unreachable", seconds=SLOW + 0.001),
        PluginFault("too-large", "the answer is too large", seconds=SLOW + 0.001),
    ],
)
def test_what_costs_others_something_counts(health, fault):
    assert [health.failed(fault) for _ in range(TOLERATED)] == [False] * (TOLERATED - 1) + [True]
    assert health.is_failing
    assert health.is_put_off
    assert (health.code, health.reason) == (fault.code, str(fault))


@pytest.mark.parametrize(
    "fault",
    [
        PluginFault("trap", "unreachable", seconds=0.001),
        PluginFault("trap", "unreachable", seconds=SLOW),
        PluginFault("too-large", "the answer is too large", seconds=0.1),
        PluginFault("contract", "an import is missing"),
        PluginFault("busy", "no sandbox process was free for 2 s"),
        PluginFault("compiling", "ask again"),
    ],
)
def test_what_costs_nobody_anything_never_counts(health, fault):
    fail(health, 100, fault)
    assert not health.is_failing
    assert not health.is_put_off


def test_a_quick_trap_between_two_failures_clears_nothing(health):
    fail(health, TOLERATED - 1)
    health.failed(PluginFault("trap", "unreachable"))
    assert health.failed(TIMEOUT)


def test_the_delay_doubles_up_to_its_limit(health, clock):
    fail(health, TOLERATED - 1)
    delays = []
    for _ in range(20):
        health.failed(TIMEOUT)
        delays.append(health.delay())
        clock.now += health.delay()
        assert not health.is_put_off
    assert delays[:6] == [FIRST_DELAY, 2.0, 4.0, 8.0, 16.0, LONGEST_DELAY]
    assert set(delays[6:]) == {LONGEST_DELAY}
    assert LONGEST_DELAY == 30.0


def test_one_answer_clears_its_name(health, clock):
    fail(health)
    clock.now += FIRST_DELAY
    assert health.answered()
    assert not health.is_failing
    assert not health.answered()
    assert [health.failed(TIMEOUT) for _ in range(TOLERATED)] == [False, False, True]
    assert health.delay() == FIRST_DELAY


@pytest.mark.parametrize(("left", "said"), [(1.0, "1 s"), (0.999, "1 s"), (0.001, "1 s"), (0.5, "1 s")])
def test_the_seconds_that_are_left_are_rounded_up(health, clock, left, said):
    fail(health)
    clock.now += FIRST_DELAY - left
    assert f"3 failures in a row, next try in {said}: no answer within" in health.describe()


@pytest.mark.parametrize("passed", [FIRST_DELAY, FIRST_DELAY + 100])
def test_no_seconds_are_never_said(health, clock, passed):
    fail(health)
    clock.now += passed
    assert "0 s" not in health.describe().replace("50 ms", "")
    assert "tried again at the next query" in health.describe()
    with health.calling():
        assert "being tried again now" in health.describe()


def test_while_one_call_tries_the_others_are_put_off(health, clock):
    fail(health)
    clock.now += FIRST_DELAY
    with health.calling():
        assert health.is_put_off
    assert not health.is_put_off


def test_while_it_is_well_any_number_of_calls_are_made_at_once(health):
    with health.calling(), health.calling():
        assert not health.is_put_off


def test_a_call_from_before_that_ends_does_not_end_the_trial(health, clock):
    with health.calling():
        fail(health)
        clock.now += FIRST_DELAY
        trial = health.calling()
        trial.__enter__()
    assert health.is_put_off
    trial.__exit__(None, None, None)
    assert not health.is_put_off


async def test_a_trial_that_is_cancelled_counts_for_nothing_and_the_next_may_try(autojump_clock):
    health = fail(Health(trio.current_time))
    await health.turn()
    with trio.move_on_after(1), health.calling():
        await trio.sleep(10)
    assert not health.is_put_off
    assert health.is_failing


async def test_of_those_that_wait_one_tries_at_a_time_until_one_is_answered(autojump_clock):
    health = fail(Health(trio.current_time))
    tries = []

    async def ask():
        while health.is_put_off:
            await health.turn()
        with health.calling():
            tries.append(trio.current_time())
            await trio.sleep(0.5)
        if len(tries) == 1:
            health.failed(TIMEOUT)
        else:
            health.answered()

    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    # The first after a second; it fails, so the second two later; it is well, so the others at once.
    assert [at - started for at in tries] == pytest.approx([1.0, 3.5, 4.0, 4.0, 4.0])


async def test_who_waits_for_a_version_that_is_replaced_waits_no_longer(autojump_clock):
    health = fail(Health(trio.current_time), 20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.turn)
        await trio.testing.wait_all_tasks_blocked()
        health.retire()
    assert trio.current_time() < LONGEST_DELAY
    assert not health.is_put_off


# ---- in a daemon ------------------------------------------------------------------------------------------------

SPINS = (GUESTS / "nth.wat").read_text()
"""Answers `nth:N` with `fine`, but spins when N is 100 or more."""
TRAPS = SPINS.replace("(loop $again (br $again))", "(unreachable)")


@pytest.fixture
def client(idle_daemon):
    """Asks a daemon with one plugin that spins on what it doesn't like and one that traps at once."""
    idle_daemon.config.write_text(
        '[plugins.spins]\ndeadline = "50ms"\n[plugins.traps]\ntrigger = "traps:"\n'
        '[plugins.patient]\ntrigger = "patient:"\ndeadline = "20s"\n'
    )
    for name, text in (("spins", SPINS), ("traps", TRAPS), ("patient", SPINS)):
        idle_daemon.install(text, name)
    client = idle_daemon.start().client()
    for name in ("spins", "traps", "patient"):
        assert client.settled(name)["state"] == "ready"
    return client


def test_a_plugin_that_takes_its_time_to_trap_is_put_off(idle_daemon):
    loop = "(loop $again (br_if $again (i32.ne (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 0))))"
    assert "(loop $again (br $again))" in SPINS
    late = SPINS.replace("(loop $again (br $again))", loop + "(unreachable)")  # after 2**32 steps
    idle_daemon.config.write_text('[plugins.late]\ndeadline = "1m"\n')
    idle_daemon.install(late, "late")
    client = idle_daemon.start().client()
    client.settled("late")
    for _ in range(TOLERATED):
        assert client.query("nth:100")["errors"][0]["code"] == "trap"
    assert client.plugin("late")["state"] == "failing"
    answer = client.query("nth:1", wait_ms=0)  # it is not asked, or already again
    assert answer["status"] == "partial" if answer["errors"] else answer["items"]
    assert client.names("nth:1") == ["fine"]


def put_off(client):
    """Have the plugin that spins be put off."""
    for _ in range(TOLERATED):
        assert client.query("nth:100")["errors"][0]["code"] == "timeout"


def test_a_plugin_that_traps_on_half_a_text_answers_the_whole(client):
    for text in ("traps:1000", "traps:100", "traps:500", "traps:999") * 3:
        (error,) = client.query(text, wait_ms=0)["errors"]
        assert (error["code"], "in a row" in error["message"]) == ("trap", False)
    assert client.names("traps:10", wait_ms=0) == ["fine"]
    assert client.plugin("traps")["state"] == "ready"


def test_who_does_not_wait_is_told_why_and_when_the_next_try_is(client):
    put_off(client)
    killed = client.ask("stats")["workers_killed"]
    for wait in (0, 1):
        answer = client.query("nth:1", wait_ms=wait)
        (error,) = answer["errors"]
        assert (error["plugin"], error["code"], answer["status"]) == ("spins", "timeout", "partial")
        assert re.search(r"3 failures in a row, (next try in 1 s|it is tried again)", error["message"])
    assert client.ask("stats")["workers_killed"] == killed


def test_who_waits_is_asked_again_each_of_several(client):
    put_off(client)
    requests = [client.send(op="query", input=f"nth:{n}", wait_ms=20_000) for n in range(5)]
    answers = {frame["id"]: frame for frame in itertools.islice(client.frames(), len(requests))}
    assert [[item["name"] for item in answers[request]["items"]] for request in requests] == [["fine"]] * 5
    assert client.plugin("spins")["state"] == "ready"


def test_a_failure_after_the_delay_is_the_answer_and_the_next_delay_is_longer(client):
    put_off(client)
    (error,) = client.query("nth:100")["errors"]
    assert error["message"] == "no answer within its deadline of 50 ms"
    (error,) = client.query("nth:1", wait_ms=0)["errors"]
    assert re.search(r"4 failures in a row, (next try in [12] s|it is tried again)", error["message"])


@pytest.mark.parametrize(
    "end", [{"op": "cancel", "target": "waits"}, {"op": "query", "input": ">x", "supersede": True}]
)
def test_a_wait_can_be_ended(client, end):
    put_off(client)
    client.send(id="waits", op="query", input="nth:1", wait_ms=20_000)
    client.send(id="end", **end)
    frames = [client.frame(), client.frame()]
    assert {frame["id"]: frame.get("status") for frame in frames}["waits"] == "superseded"


def test_a_query_s_own_deadline_ends_its_wait(client):
    put_off(client)
    answer = client.query("nth:100", deadline_ms=20)
    assert (answer["items"], answer["status"]) == ([], "partial")
    assert [(error["plugin"], error["code"]) for error in answer["errors"]] == [("spins", "timeout")]


def test_a_call_that_somebody_ended_is_no_failure(client):
    for _ in range(TOLERATED + 1):
        assert client.query("patient:100", deadline_ms=20)["status"] == "partial"
        old = client.send(op="query", input="patient:100")
        client.send(op="query", input="", plugins=[], supersede=True)
        assert client.last(old)["status"] == "superseded"
        cancelled = client.send(op="query", input="patient:100")
        client.send(op="cancel", target=cancelled)
        assert client.last(cancelled)["status"] == "superseded"
    assert client.names("patient:0000000000001", wait_ms=0) == ["fine"]
    assert client.plugin("patient")["state"] == "ready"


def test_those_beside_it_answer_meanwhile(idle_daemon):
    idle_daemon.config.write_text('[plugins.spins]\ntrigger = ""\ndeadline = "50ms"\n')
    idle_daemon.install(SPINS, "spins")
    idle_daemon.install(component("beside", ""), "beside")
    client = idle_daemon.start().client()
    client.settled("spins"), client.settled("beside")
    for _ in range(TOLERATED):
        client.query("100")
    answer = client.query("1")
    assert [item["name"] for item in answer["items"]] == ["beside"]
    (error,) = answer["errors"]
    assert "3 failures in a row" in error["message"]


def test_that_a_plugin_is_failing_and_well_again_is_an_event(idle_daemon, client):
    watcher = idle_daemon.client()
    watcher.send(id="watch", op="watch")
    watcher.ask("hello")
    put_off(client)
    event = watcher.frame()
    assert (event["plugin"], event["event"]) == ("spins", "failing")
    assert "next try in 1 s" in event["message"]
    assert client.names("nth:1") == ["fine"]
    event = watcher.frame()
    assert (event["plugin"], event["event"], event["message"]) == ("spins", "ready", None)


def test_a_worker_that_is_lost_counts(idle_daemon, client):
    for _ in range(TOLERATED):
        request = client.send(op="query", input="patient:100", deadline_ms=20_000, plugins=["patient"])
        eventually(lambda: kill_the_busy(idle_daemon) or select.select([client.socket], [], [], 0)[0])
        assert client.last(request)["errors"][0]["code"] == "trap"
    assert client.plugin("patient")["state"] == "failing"
    assert "its sandbox process ended" in client.plugin("patient")["error"]


def kill_the_busy(daemon):
    """Kill the workers that have run for a fifth of a second, which here one does whose guest spins."""
    for pid in daemon.workers():
        with suppress(OSError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) > 20:
                os.kill(pid, signal.SIGKILL)
