"""Whether a plugin is worth a call now.

Being put off is for what costs others something: a call that timed out, ran out of memory, took its sandbox process
with it, or was slow to fail. After `TOLERATED` of those in a row the plugin is called again only after a delay, which
grows. A call that fails in a millisecond costs nobody anything, and says nothing of the next text: half of what
somebody types is often an error to a plugin, and the whole is not.

It needs nobody to recover. When the delay is over one call tries, the others wait for what becomes of it, and an
answer clears the plugin's name.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swiftd.errors import PluginFault
    from swiftd.protocol import PluginErrorCode

TOLERATED = 3
"""Failures in a row before a plugin is put off. One is an accident, two are bad luck."""
FIRST_DELAY = 1.0
"""Seconds; doubled at each further failure."""
LONGEST_DELAY = 30.0
SLOW = 0.25
"""Seconds after which a failure is a slow one: a person who types waits for it, and others for the worker."""


class Health:
    """How one plugin's last calls went."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.code: PluginErrorCode = "trap"
        """Of the last failure that counts."""
        self.reason = ""
        self._now = now
        self._failures = 0
        self._not_before = 0.0
        self._trying = False
        self._moved = trio.lowlevel.ParkingLot()

    @property
    def is_failing(self) -> bool:
        """Whether it has failed too often in a row."""
        return self._failures >= TOLERATED

    @property
    def is_put_off(self) -> bool:
        """Whether it is not to be called now: for its delay, or because another call tries whether it is well."""
        return self.is_failing and (self._trying or self.delay() > 0)

    def delay(self) -> float:
        """Seconds until it may be tried again; 0 when it may now."""
        return max(0.0, self._not_before - self._now()) if self.is_failing else 0.0

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around a call. One that is cancelled says nothing of the plugin, and the next may try."""
        is_trial = self.is_failing
        self._trying = self._trying or is_trial
        try:
            yield
        finally:
            if is_trial:
                self._trying = False
                self._moved.unpark_all()

    def failed(self, fault: PluginFault) -> bool:
        """A call failed. Returns whether the plugin is put off for it."""
        if fault.code not in ("timeout", "memory") and not fault.is_loss and fault.seconds <= SLOW:
            return False
        self.code, self.reason = fault.code, str(fault)
        self._failures += 1
        if self.is_failing:
            doublings = min(self._failures - TOLERATED, 10)
            self._not_before = self._now() + min(LONGEST_DELAY, FIRST_DELAY * 2**doublings)
        return self.is_failing

    def answered(self) -> bool:
        """A call went well. Returns whether the plugin was failing before."""
        was_failing = self.is_failing
        self._failures = 0
        self._moved.unpark_all()
        return was_failing

    def retire(self) -> None:
        """Another version's health counts from now on: nobody need wait for this one."""
        self._failures = 0
        self._moved.unpark_all()

    async def turn(self) -> None:
        """Wait until it may be worth asking `is_put_off` again."""
        with trio.move_on_after(math.inf if self._trying else self.delay()):
            await self._moved.park()

    def describe(self) -> str:
        """Why it is put off, and until when, for the user."""
        seconds = math.ceil(self.delay())
        when = f"next try in {seconds} s" if seconds else "it is tried again at the next query"
        if self._trying:
            when = "it is being tried again now"
        return f"{self._failures} failures in a row, {when}: {self.reason}"
