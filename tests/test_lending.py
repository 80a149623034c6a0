"""Who gets what is lent, and when: with nothing but numbers to lend, and a clock that jumps."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from swiftd.lending import Lender

ALL = 1000
"""A share that is none."""


def lender(count=1, share=ALL):
    found = Lender(share, lambda _: True)
    for thing in range(1, count + 1):
        found.put(thing)
    return found


@asynccontextmanager
async def limited_nursery():
    """One in which nothing waits for ever."""
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            yield nursery


async def taken(things, who, into):
    into.append((who, await things.take(who)))


async def test_who_comes_later_never_overtakes(autojump_clock):
    things, order = lender(0), []
    async with limited_nursery() as nursery:
        for who in "abacb":
            nursery.start_soon(taken, things, who, order)
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            things.put(1)
            assert things.take_at_once("new") is None  # handed over already
            await trio.testing.wait_all_tasks_blocked()
    assert [who for who, _ in order] == list("abacb")


async def test_who_has_his_share_is_passed_over_and_keeps_his_place(autojump_clock):
    things, order = lender(1, share=1), []
    assert await things.take("a") == 1
    async with limited_nursery() as nursery:
        for who in "ab":
            nursery.start_soon(taken, things, who, order)
            await trio.testing.wait_all_tasks_blocked()
        things.put(2)
        await trio.testing.wait_all_tasks_blocked()
        assert order == [("b", 2)]
        assert (things.waiting, things.demand, things.waiting_since) == (1, 0, None)
        things.give_back(1, "a")
    assert order == [("b", 2), ("a", 1)]


async def test_a_larger_share_is_used_at_once(autojump_clock):
    things, order = lender(2, share=1), []
    assert await things.take("a") == 2
    async with limited_nursery() as nursery:
        nursery.start_soon(taken, things, "a", order)
        await trio.testing.wait_all_tasks_blocked()
        things.allow(2)
    assert order == [("a", 1)]


async def test_what_was_handed_over_in_the_moment_of_a_cancellation_is_not_lost(autojump_clock):
    things, order, scope = lender(0), [], trio.CancelScope()
    async with limited_nursery() as nursery:
        nursery.start_soon(cancelled_take, things, scope)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(taken, things, "next", order)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        things.put(1)
        assert things.held == {"first": 1}
    assert order == [("next", 1)]
    assert things.held == {"next": 1}


async def cancelled_take(things, scope):
    with scope:
        await things.take("first")


async def test_who_is_cancelled_takes_nothing(autojump_clock):
    things = lender(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await things.take("a")
    assert scope.cancelled_caught
    assert (things.idle, things.held) == ((1,), {})


async def test_an_errand_comes_before_those_who_wait_and_counts_for_nobody(autojump_clock):
    things, order = lender(1), []
    assert await things.take("a") == 1

    async def errand():
        assert await things.borrow(1)
        order.append("errand")
        things.put(1)

    async with limited_nursery() as nursery:
        nursery.start_soon(taken, things, "b", order)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(errand)
        await trio.testing.wait_all_tasks_blocked()
        things.give_back(1, "a")
        assert things.held == {}
    assert order == ["errand", ("b", 1)]


async def test_an_errand_for_what_is_withdrawn_is_off(autojump_clock):
    things, off = lender(1), []
    assert await things.take("a") == 1

    async def errand():
        off.append(not await things.borrow(1))

    async with limited_nursery() as nursery:
        nursery.start_soon(errand)
        await trio.testing.wait_all_tasks_blocked()
        things.withdraw(1)
    assert off == [True]


async def test_handing_over_costs_the_same_however_many_wait(autojump_clock, monkeypatch):
    things, looks = lender(2, share=1), Counter()
    may_have = Lender.may_have

    def counted(self, who):
        looks[who] += 1
        return may_have(self, who)

    async with limited_nursery() as nursery:
        assert {await things.take("many"), await things.take("other")} == {1, 2}
        for _ in range(1600):
            nursery.start_soon(things.take, "many")
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Lender, "may_have", counted)
        for _ in range(100):
            things.give_back(1, "other")
            assert things.take_at_once("other") == 1
        nursery.cancel_scope.cancel()
    assert looks["many"] <= 100 * 2
    assert things.waiting == 0


# ---- anything at all --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One that comes, waits for as long as it likes, and uses what it gets. Whole seconds, so that much coincides."""

    comes: int
    who: str
    patience: int
    uses: int
    breaks: bool
    errand: int | None
    """The number of the thing that it must have, if it must."""


CALLS = st.lists(
    st.builds(
        Call,
        comes=st.integers(0, 8),
        who=st.sampled_from("abc"),
        patience=st.integers(0, 6),
        uses=st.integers(0, 3),
        breaks=st.sampled_from([False, False, False, True]),
        errand=st.sampled_from([None, None, None, 1, 2]),
    ),
    max_size=40,
)


@given(CALLS, st.integers(1, 4), st.sampled_from([1, 2, ALL]))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_whatever_happens_nothing_is_lost_or_lent_twice_and_everybody_comes_to_an_end(calls, count, share):
    trio.run(simulate, calls, count, share, clock=trio.testing.MockClock(autojump_threshold=0))


async def simulate(calls, count, share):
    world = World(count, share)
    async with limited_nursery() as nursery:
        for call in calls:
            nursery.start_soon(world.live, call)
    things = world.things
    assert (things.held, things.waiting, things.demand) == ({}, 0, 0)
    assert len(things.idle) == count
    world.check()
    for who in "abc" if share < ALL else ["abc"]:  # without a share, those of all borrowers are one queue
        times = sorted((comes, when) for comes, of, when in world.served if of in who)
        for (came, when), (later, at) in pairwise(times):
            assert came == later or when <= at, "overtaken"


class World:
    def __init__(self, count, share):
        self.share = share
        self.broken, self.lent, self.served = set(), {}, []
        self.numbers = iter(range(1, 1000))
        self.things = Lender(share, lambda thing: thing not in self.broken)
        for _ in range(count):
            self.things.put(next(self.numbers))

    def check(self):
        idle = self.things.idle
        assert not self.lent.keys() & set(idle)
        assert len(set(idle)) == len(idle)
        assert all(have <= self.share for have in self.things.held.values())
        assert not idle or not self.things.demand

    async def live(self, call):
        await trio.sleep(call.comes)
        if (thing := await self.got(call)) is None:
            return
        assert thing not in self.lent
        self.lent[thing] = call
        self.check()
        await trio.sleep(call.uses)
        del self.lent[thing]
        if call.breaks:
            self.broken.add(thing)
        if call.errand is None:
            self.things.give_back(thing, call.who)
        else:
            self.things.put(thing)
        self.check()
        if call.breaks:  # it is made anew, under another number
            await trio.sleep(1)
            self.things.put(next(self.numbers))

    async def got(self, call):
        with trio.move_on_after(call.patience):
            if call.errand is None:
                thing = await self.things.take(call.who)
                self.served.append((call.comes, call.who, trio.current_time()))
                return thing
            if call.errand in {*self.things.idle, *self.lent} and await self.things.borrow(call.errand):
                return call.errand
        return None


@pytest.mark.parametrize("share", [1, 3])
async def test_the_first_who_waits_for_want_of_a_thing_is_known(autojump_clock, share):
    things = lender(0, share)
    async with limited_nursery() as nursery:
        assert (things.demand, things.waiting_since) == (0, None)
        began = trio.current_time()
        for _ in range(5):
            nursery.start_soon(things.take, "a")
            await trio.sleep(1)
        assert (things.demand, things.waiting_since) == (share, began)
        nursery.cancel_scope.cancel()
    assert (things.demand, things.waiting_since) == (0, None)
