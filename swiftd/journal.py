"""What plugins say and what becomes of them: each one's log, what it was denied, and whether it is worth another try.

A plugin that keeps failing is put off with growing delays instead of being run at every key: each failure may cost a
worker and a second of the user's time. It needs nobody to recover: after the delay it is tried again, and one answer
clears its name.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from swiftd.protocol import Denial, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swiftd.protocol import PluginErrorCode
    from swiftd.sandbox.messages import Ran

KEPT_LINES = 500
"""Lines kept of each plugin's log."""
TOLERATED = 3
"""Failures in a row before a plugin is put off. One is an accident, two are bad luck."""
FIRST_DELAY = 1.0
"""Seconds; doubled at each further failure."""
LONGEST_DELAY = 60.0
COUNTED: tuple[PluginErrorCode, ...] = ("timeout", "trap", "memory")
"""What counts as a failure: what costs time or a process."""

_GRANTS = {"clock": "clock = true", "files": 'read = ["~/some/folder"]'}


class Health:
    """How one plugin's last calls went."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.code: PluginErrorCode = "trap"
        self.reason = ""
        self._now = now
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether it has failed too often in a row."""
        return self._failures >= TOLERATED

    def delay(self) -> float:
        """Seconds until it may be called again; 0 when it may now."""
        return max(0.0, self._not_before - self._now()) if self.is_failing else 0.0

    def failed(self, code: PluginErrorCode, reason: str) -> None:
        """A call failed."""
        if code not in COUNTED:
            return
        self.code, self.reason = code, reason
        self._failures += 1
        if self.is_failing:
            doublings = min(self._failures - TOLERATED, 10)
            self._not_before = self._now() + min(LONGEST_DELAY, FIRST_DELAY * 2**doublings)

    def answered(self) -> None:
        """A call went well."""
        self._failures = 0

    def describe(self) -> str:
        """Why it is put off, and until when, for the user."""
        return f"{self._failures} failures in a row, next try in {self.delay():.0f} s: {self.reason}"


class Journal:
    """Every plugin's log and denials, by the plugin's name."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, deque[LogEntry]] = defaultdict(lambda: deque(maxlen=KEPT_LINES))
        self._readers: set[trio.MemorySendChannel[LogEntry]] = set()
        self._denied: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def ran(self, plugin: str, ran: Ran) -> None:
        """Keep what one run left behind."""
        for level, text in ran.log:
            self.write(plugin, level, text)
        if ran.denied:
            self._denied[plugin].update(ran.denied)

    def write(self, plugin: str, level: str, text: str) -> None:
        """One line of a plugin's log."""
        line = LogEntry(time.time(), plugin, level, text)
        self._logs[plugin].append(line)
        for reader in self._readers:
            with suppress(trio.WouldBlock):  # a reader that is so far behind misses some, as the log forgets some
                reader.send_nowait(line)

    @contextmanager
    def following(self) -> Iterator[trio.MemoryReceiveChannel[LogEntry]]:
        """Every line from now on."""
        send, receive = trio.open_memory_channel[LogEntry](KEPT_LINES)
        self._readers.add(send)
        try:
            yield receive
        finally:
            self._readers.discard(send)
            send.close()
            receive.close()

    def lines(self, plugin: str | None = None) -> list[LogEntry]:
        """The log of one plugin, or of all in the order of time."""
        if plugin is not None:
            return list(self._logs.get(plugin, ()))
        return sorted((line for log in self._logs.values() for line in log), key=lambda line: line.time)

    def denials(self, plugin: str, section: str | None = None) -> list[Denial]:
        """What a plugin tried and had not, how often, and what in its section of config.toml would give it."""
        return [
            Denial(
                name,
                count,
                _grant(section or plugin, _GRANTS[name]) if name in _GRANTS else None,
            )
            for name, count in sorted(self._denied.get(plugin, Counter()).items())
        ]

    def forget(self, plugin: str) -> None:
        """Drop all that is kept of a plugin."""
        self._logs.pop(plugin, None)
        self._denied.pop(plugin, None)

    def forget_denials(self, plugin: str) -> None:
        """Start anew: the plugin is another one now, or has other grants."""
        self._denied.pop(plugin, None)


def _grant(plugin: str, grant: str) -> str:
    """The lines of config.toml that give a plugin something."""
    plain = plugin.isascii() and plugin.replace("-", "").replace("_", "").isalnum()
    name = plugin if plain else '"' + plugin.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"[plugins.{name}.grants]\n{grant}"
