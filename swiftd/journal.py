"""What plugins say and what becomes of them: each one's log, and what it was denied.

Here the words of plugins enter, maybe from a process that one of them took over: as lines of harmless characters, no
longer than a log may be, and not more of them, over all plugins, than `KEPT_IN_ALL`.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from swiftd.protocol import Denial, LogEntry
from swiftd.sandbox.record import CAPABILITIES, LEVELS, LOG_LIMIT
from swiftd.spelling import toml_key
from swiftd.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from swiftd.sandbox.messages import Ran

KEPT_LINES = 500
"""Lines kept of each plugin's log."""
KEPT_IN_ALL = 8 * 1024 * 1024
"""Bytes kept of all logs together. Where that is too little, the longest is cut to half."""
LINE_COST = 200
"""Bytes that a line takes besides its text."""
MOST_GONE = 20
"""Plugins that are gone of which something is kept: somebody may want to know why."""

_GRANTS = {"clock": "clock = true", "files": 'read = ["~/some/folder"]'}


class Journal:
    """Every plugin's log and denials, by the plugin's name."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, deque[LogEntry]] = defaultdict(deque)
        self._sizes: Counter[str] = Counter()
        self._size = 0
        self._readers: set[trio.MemorySendChannel[list[LogEntry]]] = set()
        self._denied: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def ran(self, plugin: str, ran: Ran) -> None:
        """Keep what one run left behind."""
        if ran.log:
            self._keep(plugin, ran.log[-KEPT_LINES:])
        if known := set(ran.denied).intersection(CAPABILITIES):
            self._denied[plugin].update(known)

    def write(self, plugin: str, level: str, text: str) -> None:
        """One line of a plugin's log."""
        self._keep(plugin, [(level, text)])

    def _keep(self, plugin: str, said: Iterable[tuple[str, str]]) -> None:
        now = time.time()
        lines = [
            LogEntry(now, plugin, level if level in LEVELS else "info", one_line(text[:LOG_LIMIT]))
            for level, text in said
        ]
        self._logs[plugin].extend(lines)
        self._count(plugin, sum(map(_size, lines)))
        self._drop(plugin, len(self._logs[plugin]) - KEPT_LINES)
        while self._size > KEPT_IN_ALL:
            longest = max(self._sizes, key=self._sizes.__getitem__)
            self._drop(longest, (len(self._logs[longest]) + 1) // 2)
        for reader in self._readers:
            with suppress(trio.WouldBlock):  # a reader that is so far behind misses some, as the log forgets some
                reader.send_nowait(lines)

    def _drop(self, plugin: str, count: int) -> None:
        """Forget the first lines of a log."""
        log = self._logs[plugin]
        self._count(plugin, -sum(_size(log.popleft()) for _ in range(count)))

    def _count(self, plugin: str, size: int) -> None:
        self._sizes[plugin] += size
        self._size += size

    @contextmanager
    def following(self) -> Iterator[trio.MemoryReceiveChannel[list[LogEntry]]]:
        """The lines from now on, as they come: those of one run together."""
        send, receive = trio.open_memory_channel[list[LogEntry]](KEPT_LINES)
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
        self._size -= self._sizes.pop(plugin, 0)
        self._denied.pop(plugin, None)

    def keep_only(self, plugins: Collection[str]) -> None:
        """Drop what is kept of others than these, but for a few of them."""
        for plugin in too_many_gone(self._logs, plugins):
            self.forget(plugin)
        for plugin in [plugin for plugin in self._denied if plugin not in plugins]:
            self.forget_denials(plugin)

    def forget_denials(self, plugin: str) -> None:
        """Start anew: the plugin is another one now, or has other grants."""
        self._denied.pop(plugin, None)


def _grant(plugin: str, grant: str) -> str:
    """The lines of config.toml that give a plugin something."""
    return f"[plugins.{toml_key(plugin)}.grants]\n{grant}"


def _size(line: LogEntry) -> int:
    return len(line.text) + LINE_COST


def too_many_gone(known: Iterable[str], plugins: Collection[str]) -> list[str]:
    """Of what is known of others than these plugins, by name, all but the last `MOST_GONE`."""
    return [name for name in known if name not in plugins][:-MOST_GONE]
