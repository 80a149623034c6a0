"""What a worker says is believed only as far as it answers what was asked: another may speak through it by now."""

from __future__ import annotations

import pytest
import trio
from daemons import PATIENCE

from swiftd.children import LostError
from swiftd.sandbox.messages import (
    HEADER,
    Contract,
    Failed,
    Handle,
    Handled,
    Hardened,
    Limits,
    Load,
    Loaded,
    Trigger,
    Triggered,
    pack,
)
from swiftd.worker import LONGEST_SENTENCE, ArtefactError, Folders, Place, StaleError, Worker

LIMITS = Limits(max_items=3, answer=100, log=50)
LOAD = Load(slot=1, plugin="p", artefact="/a", digest="", contract=Contract("r", "record"), limits=LIMITS)
HANDLE, TRIGGER = Handle(1, "x"), Trigger(1)
ITEM = ("name", "", "")


@pytest.fixture
def worker(child):
    """A worker whose process does nothing."""
    return Worker(child, Folders(), Place())


def says(worker, reply):
    worker.child.theirs.send(reply if isinstance(reply, bytes) else pack(reply))


async def is_ended(worker):
    """Whether its process was killed."""
    with trio.move_on_after(PATIENCE) as scope:
        await worker.child.wait()
    return worker.killed and not scope.cancelled_caught


@pytest.mark.parametrize(
    ("job", "reply"),
    [
        (HANDLE, Handled(items=[])),
        (HANDLE, Handled(items=[ITEM] * 3, cut="too many", log=[("info", "x" * 50)], denied=["clock"])),
        (HANDLE, Failed(code="trap", message="it failed", log=[("error", "x")])),
        (TRIGGER, Triggered(trigger="t:")),
        (TRIGGER, Failed(code="trap", message="it failed")),
    ],
)
async def test_an_answer_is_one(worker, job, reply):
    says(worker, reply)
    assert await worker.run(job, LOAD) == reply
    assert not worker.killed


@pytest.mark.parametrize(
    ("job", "reply"),
    [
        (HANDLE, Loaded()),
        (HANDLE, Hardened([])),
        (HANDLE, Triggered(trigger="t:")),
        (TRIGGER, Loaded()),
        (TRIGGER, Hardened([])),
        (TRIGGER, Handled(items=[ITEM])),
        (TRIGGER, Handled(items=[ITEM], denied=["clock"])),
        (HANDLE, Handled(items=[ITEM] * 4)),
        (HANDLE, Handled(items=[("x" * 101, "", "")])),
        (HANDLE, Handled(items=[("x" * 40, "y" * 40, "z" * 40)])),
        (HANDLE, Handled(items=[], cut="x" * (LONGEST_SENTENCE + 1))),
        (HANDLE, Handled(items=[], log=[("info", "x" * 51)])),
        (HANDLE, Handled(items=[], log=[("info", "")] * 51)),
        (HANDLE, Handled(items=[], log=[("shout", "x")])),
        (HANDLE, Handled(items=[], denied=["everything"])),
        (HANDLE, Handled(items=[], denied=["clock"] * 5)),
        (HANDLE, Handled(items=[], lacking=["there is none"])),
        (HANDLE, Failed(code="trap", message="x" * (LONGEST_SENTENCE + 1))),
        (TRIGGER, Triggered(trigger="x" * (LIMITS.trigger + 1))),
        (HANDLE, HEADER.pack(1) + b"\xc1"),
    ],
)
async def test_what_is_no_answer_to_a_call_costs_the_worker(worker, job, reply):
    says(worker, reply)
    with pytest.raises(LostError):
        await worker.run(job, LOAD)
    if not isinstance(reply, bytes):  # of those the caller knows
        assert await is_ended(worker)


@pytest.mark.parametrize("reply", [Loaded(), Handled(items=[]), Triggered(trigger=""), Failed(code="trap", message="")])
async def test_what_is_no_answer_to_hardening_costs_the_worker(worker, reply):
    says(worker, reply)
    with pytest.raises(LostError):
        await worker.harden()
    assert await is_ended(worker)


@pytest.mark.parametrize("reply", [Hardened([]), Handled(items=[]), Triggered(trigger="")])
async def test_what_is_no_answer_to_loading_costs_the_worker(worker, reply):
    says(worker, reply)
    with pytest.raises(LostError):
        await worker.load(LOAD)
    assert await is_ended(worker)
    assert worker.loaded == set()


async def test_one_that_takes_too_long_to_load_or_to_harden_is_of_no_use(worker, autojump_clock):
    with pytest.raises(LostError):
        await worker.load(LOAD)
    assert worker.killed
    with pytest.raises(LostError):
        await worker.harden()


async def test_what_can_not_be_loaded_is_told_from_what_another_worker_can_load(worker):
    says(worker, Failed(code="artefact", message="it is not what it was"))
    with pytest.raises(ArtefactError):
        await worker.load(LOAD)
    says(worker, Failed(code="stale", message="the folder is another"))
    with pytest.raises(StaleError):
        await worker.load(LOAD)
    says(worker, Failed(code="stale", message="the folder is another"))
    with pytest.raises(StaleError):
        await worker.run(HANDLE, LOAD)
    assert not worker.killed
