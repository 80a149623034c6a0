"""What plugins say and what becomes of them: each one's log, and what it was denied."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from swiftd.protocol import Denial, LogEntry
from swiftd.spelling import toml_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swiftd.sandbox.messages import Ran

KEPT_LINES = 500
"""Lines kept of each plugin's log."""

_GRANTS = {"clock": "clock = true", "files": 'read = ["~/some/folder"]'}


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
    return f"[plugins.{toml_key(plugin)}.grants]\n{grant}"
