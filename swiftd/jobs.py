"""What the reconciler keeps of its work: what a plugin should be, the job that gets it there, a pass's batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from swiftd.sandbox.messages import Grants

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftd.catalog import Plugin, Version
    from swiftd.config import PluginSettings

CHANGING_PAUSE = 0.25
"""Seconds before another look at a file that changed while it was compiled: who writes it may not be done."""
FIRST_PAUSE = 1.0
"""Seconds before another try of what failed for no fault of the plugin's."""
LONGEST_PAUSE = 60.0


class RefusedError(Exception):
    """A content can't serve as a plugin, and why."""


@dataclass(frozen=True)
class Target:
    """What a plugin should be: a content and its configuration."""

    source: str
    settings: PluginSettings
    shared: dict[str, Any]
    """The shared settings."""
    problem: str | None
    """Why there is no content to be had."""
    doubts: tuple[str, ...] = ()
    """Why some of what it asks for is not given, and what else the user should know of its grants."""
    grants: Grants = field(default_factory=Grants, compare=False)
    """What it is given. Where a folder of the user's leads is found out when this becomes a target, and stays."""


class Job:
    """What is under way for one plugin."""

    def __init__(self, plugin: Plugin, target: Target) -> None:
        self.plugin = plugin
        self.target = target
        self.scope = trio.CancelScope()
        self.started = trio.current_time()


class Trials:
    """How long to wait before another try of what failed for no fault of the plugin's.

    Twice as long after each failure, up to a minute, but so long that the tries take a tenth of the time at most.
    """

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()  # by the source's SHA-256

    async def again(self, job: Job, look: Callable[[Job], None]) -> None:
        """Have another look after a pause: what a machine is short of now it may have later."""
        doublings = min(self._failures[job.target.source], 10)
        self._failures[job.target.source] += 1
        took = trio.current_time() - job.started
        await trio.sleep(max(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**doublings), 9 * took))
        look(job)

    def succeeded(self, job: Job) -> float:
        """A try has not failed: how many milliseconds it took."""
        self._failures.pop(job.target.source, None)
        return round((trio.current_time() - job.started) * 1000, 1)


class Batch:
    """The versions of one pass that are put in service together."""

    def __init__(self) -> None:
        self.versions: dict[str, Version | None] = {}
        self._expected = 0
        self._open = True
        self._done = trio.Event()

    def expect(self) -> None:
        """One more is on its way."""
        self._expected += 1

    def offer(self, name: str, version: Version) -> bool:
        """Add a version. False: the batch is closed."""
        if self._open:
            self.versions[name] = version
        return self._open

    def done(self) -> None:
        """One of the expected has come, or never will."""
        self._expected -= 1
        if not self._expected:
            self._done.set()

    async def complete(self) -> None:
        """Wait for all that are expected."""
        while self._expected:
            self._done = trio.Event()
            await self._done.wait()

    def close(self) -> dict[str, Version | None]:
        """The versions; what comes later comes on its own."""
        self._open = False
        return self.versions
