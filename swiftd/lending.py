"""Lends things that are used by one at a time: first come, first served, and nobody has more than a share of them.

A thing that comes free is handed to the first of those who wait and may have it, before anybody else can ask for it.
So who comes later never overtakes, and each hand-over costs the same however many wait: it looks at the borrowers, each
with a queue of its own, not at every one of their calls.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Ticket(Generic[T]):
    """One that waits. Whoever hands over a thing writes it here."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.since = trio.current_time()
        self.ready = trio.Event()
        self.lent: T | None = None

    def hand(self, thing: T | None) -> None:
        self.lent = thing
        self.ready.set()


class Lender(Generic[T]):
    """The things that are idle, and who waits for one.

    Of those that wait nobody may have an idle thing: that holds whenever no method of this runs.
    """

    def __init__(self, share: int, is_fit: Callable[[T], bool]) -> None:
        """`is_fit` is asked of each thing that comes or comes back; where it says no, the thing is not lent again."""
        self._share = share
        self._is_fit = is_fit
        self._idle: list[T] = []
        self._held: Counter[str] = Counter()  # by borrower
        self._numbers = count()
        self._queues: dict[str, OrderedDict[_Ticket[T], None]] = {}  # by borrower; no queue is empty
        self._errands: dict[T, OrderedDict[_Ticket[T], None]] = {}

    @property
    def held(self) -> dict[str, int]:
        """How many things each borrower has."""
        return dict(self._held)

    @property
    def idle(self) -> tuple[T, ...]:
        """What nobody uses."""
        return tuple(self._idle)

    @property
    def waiting(self) -> int:
        """How many calls wait, whether they may have one or not."""
        return sum(map(len, self._queues.values()))

    @property
    def demand(self) -> int:
        """How many more things would be lent at once if they were there."""
        return sum(max(0, min(len(queue), self._share - self._held[who])) for who, queue in self._queues.items())

    @property
    def waiting_since(self) -> float | None:
        """When the first of those came who wait for want of a thing, and not because they have their share."""
        who = self._first()
        return None if who is None else next(iter(self._queues[who])).since

    def allow(self, share: int) -> None:
        """How many things one borrower may have at a time from now on."""
        self._share = share
        self._hand_out()

    def take_at_once(self, who: str) -> T | None:
        """An idle thing, unless there is none or the borrower has his share."""
        if self._idle and self.may_have(who):
            self._held[who] += 1
            return self._idle.pop()
        return None

    def may_have(self, who: str) -> bool:
        """Whether the borrower has less than his share."""
        return self._held[who] < self._share

    async def take(self, who: str) -> T:
        """An idle thing, as soon as it is this one's turn. To be given back in any case."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if (thing := self.take_at_once(who)) is not None:
            return thing
        ticket = _Ticket[T](next(self._numbers))
        self._queues.setdefault(who, OrderedDict())[ticket] = None
        try:
            await ticket.ready.wait()
        except BaseException:
            if ticket.lent is not None:  # handed over in the moment of the cancellation
                self.give_back(ticket.lent, who)
            else:
                self._leave(who, ticket)
            raise
        assert ticket.lent is not None  # noqa: S101 - nobody is told that it is ready without it
        return ticket.lent

    def give_back(self, thing: T, who: str) -> None:
        """It is idle again."""
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
        self.put(thing)

    def put(self, thing: T) -> None:
        """Lend this one, too, from now on; errands come first."""
        if not self._is_fit(thing):
            self.withdraw(thing)
        elif errands := self._errands.get(thing):
            errands.popitem(last=False)[0].hand(thing)
        else:
            self._idle.append(thing)
        self._hand_out()  # also where the thing is none for calls: its borrower may have another

    def withdraw(self, thing: T) -> bool:
        """Don't lend this one any more. Returns whether it was idle."""
        for ticket in self._errands.pop(thing, ()):
            ticket.hand(None)
        if thing in self._idle:
            self._idle.remove(thing)
            return True
        return False

    async def borrow(self, thing: T) -> bool:
        """Have this very one for an errand, once it is idle, and `put` it back. False: it has been withdrawn.

        To be asked of what is lent only. It counts for no borrower.
        """
        if thing in self._idle:
            self._idle.remove(thing)
            return True
        ticket = _Ticket[T](next(self._numbers))
        errands = self._errands.setdefault(thing, OrderedDict())
        errands[ticket] = None
        try:
            await ticket.ready.wait()
        except BaseException:
            if ticket.lent is not None:
                self.put(ticket.lent)
            raise
        finally:
            errands.pop(ticket, None)
            if not errands and self._errands.get(thing) is errands:
                del self._errands[thing]
        return ticket.lent is not None

    def _first(self) -> str | None:
        """Of the borrowers who wait and may have a thing the one who has waited longest."""
        able = filter(self.may_have, self._queues)
        return min(able, key=lambda who: next(iter(self._queues[who])).number, default=None)

    def _hand_out(self) -> None:
        while self._idle and (who := self._first()) is not None:
            ticket = next(iter(self._queues[who]))
            self._leave(who, ticket)
            self._held[who] += 1
            ticket.hand(self._idle.pop())

    def _leave(self, who: str, ticket: _Ticket[T]) -> None:
        queue = self._queues[who]
        del queue[ticket]
        if not queue:
            del self._queues[who]
