"""What has happened since the daemon started, counted."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from swiftd.journal import too_many_gone
from swiftd.protocol import Latency, PluginStats

if TYPE_CHECKING:
    from collections.abc import Collection

WINDOW = 1000
"""Calls whose latency is kept, a plugin."""


class Stats:
    """Counts, and the latency of each plugin's last calls."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.queries = 0
        self.sessions = 0
        self._calls: Counter[str] = Counter()
        self._errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._latencies: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def answered(self, plugin: str, seconds: float) -> None:
        """A call gave an answer."""
        self._calls[plugin] += 1
        self._latencies[plugin].append(seconds * 1000)

    def failed(self, plugin: str, code: str) -> None:
        """A call gave an error."""
        self._calls[plugin] += 1
        self._errors[plugin][code] += 1

    def keep_only(self, plugins: Collection[str]) -> None:
        """Forget others than these, but for a few of them."""
        for plugin in too_many_gone(self._calls, plugins):
            del self._calls[plugin]
            self._errors.pop(plugin, None)
            self._latencies.pop(plugin, None)

    def plugins(self) -> list[PluginStats]:
        """Every plugin that was ever called, by name."""
        return [
            PluginStats(name, self._calls[name], dict(self._errors.get(name, {})), _latency(self._latencies.get(name)))
            for name in sorted(self._calls)
        ]


def _latency(samples: deque[float] | None) -> Latency | None:
    if not samples:
        return None
    ordered = sorted(samples)
    p50, p90, p99 = (round(ordered[int(share * (len(ordered) - 1))], 3) for share in (0.50, 0.90, 0.99))
    return Latency(p50, p90, p99)
