"""What the reconciler keeps of its work: what a plugin should be, the job that gets it there, a pass's batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from swiftd.catalog import Plugin, Version
    from swiftd.config import PluginSettings


@dataclass(frozen=True)
class Target:
    """What a plugin should be: a content and its configuration."""

    source: str
    settings: PluginSettings
    shared: dict[str, Any]
    """The shared settings."""
    problem: str | None
    """Why there is no content to be had."""


class Job:
    """What is under way for one plugin."""

    def __init__(self, plugin: Plugin, target: Target) -> None:
        self.plugin = plugin
        self.target = target
        self.scope = trio.CancelScope()


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
