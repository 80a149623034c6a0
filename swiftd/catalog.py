"""What plugins there are, what state each is in, and which of them answer an input.

A version of a plugin in service is never changed, only replaced, and several are replaced in one step: a query sees
all of a change or nothing of it. Bringing the catalog to what is on disk is reconcile.py's job.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.journal import Health
from swiftd.paths import printable
from swiftd.protocol import PluginInfo, PluginState, PluginTimes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from swiftd.compiler import Entry
    from swiftd.config import PluginSettings
    from swiftd.journal import Journal
    from swiftd.sandbox.messages import Load

MOST_UNREAD = 1000
"""Changes that a subscriber may be behind; one that is further behind misses some."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One content with one configuration, loaded in the workers."""

    source: str
    """SHA-256 of the .wasm file."""
    settings: PluginSettings
    load: Load
    trigger: str
    entry: Entry


@dataclass(frozen=True)
class Change:
    """A plugin has a new state."""

    plugin: str
    state: PluginState | None
    """None: it is gone."""
    error: str | None


@dataclass
class Plugin:
    """One name in the catalog."""

    name: str
    path: Path
    bundled: bool
    state: PluginState = "found"
    error: str | None = None
    """Why it is refused, or, while an older version serves, why the file's content does not."""
    size: int = 0
    source: str = ""
    """SHA-256 of the file's content."""
    serving: Version | None = None
    times: PluginTimes = field(default_factory=PluginTimes)
    health: Health = field(default_factory=Health)
    problems: list[str] = field(default_factory=list)
    """What of its configuration could not be given to it."""

    @property
    def is_pending(self) -> bool:
        """Whether it will perhaps answer soon, but can't yet."""
        return self.serving is None and self.state in ("found", "compiling")


class Catalog:
    """All plugins, by name."""

    def __init__(self, journal: Journal) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.scanned = trio.Event()
        """Set once everything that was in the cache at the start serves."""
        self._journal = journal
        self._routes: dict[str, list[Plugin]] = {}
        self._lengths: list[int] = []
        self._subscribers: set[trio.MemorySendChannel[Change]] = set()

    # ---- what the queries ask -----------------------------------------------------------------------------------

    def route(self, text: str, only: Iterable[str] | None = None) -> list[Plugin]:
        """The plugins that answer `text`: those of the longest trigger that it starts with.

        Of several with the same trigger the first in order answers alone; those with the empty trigger, which take
        what no other claims, answer together. `only` leaves the others out of account.
        """
        chosen = None if only is None else frozenset(only)
        for length in self._lengths:
            if length > len(text):
                continue
            claimants = self._routes.get(text[:length], ())
            if chosen is not None:
                claimants = [plugin for plugin in claimants if plugin.name in chosen]
            if claimants:
                return list(claimants) if length == 0 else [claimants[0]]
        return []

    def pending(self, only: Iterable[str] | None = None) -> list[Plugin]:
        """The plugins that are still on their way."""
        chosen = None if only is None else frozenset(only)
        return [p for p in self.plugins.values() if p.is_pending and (chosen is None or p.name in chosen)]

    # ---- what changes -------------------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[trio.MemoryReceiveChannel[Change]]:
        """Every change of state from now on."""
        send, receive = trio.open_memory_channel[Change](MOST_UNREAD)
        self._subscribers.add(send)
        try:
            yield receive
        finally:
            self._subscribers.discard(send)
            send.close()
            receive.close()

    def set_state(self, plugin: Plugin, state: PluginState, error: str | None = None) -> None:
        """Give a plugin a state, and tell who wants to know.

        Another version may be ready or refused as the one before was: those are always news.
        """
        if (plugin.state, plugin.error) == (state, error) and state not in ("ready", "refused"):
            return
        plugin.state, plugin.error = state, error
        if error is not None:
            _log.warning("%s: %s: %s", plugin.name, state, error)
            self._journal.write(plugin.name, "error", error)
        else:
            _log.info("%s: %s", plugin.name, state)
        self._tell(Change(plugin.name, state, error))

    def serve(self, versions: dict[str, Version | None]) -> None:
        """Put these versions in service, and take out of it those that are None, in one step."""
        for name, version in versions.items():
            plugin = self.plugins[name]
            plugin.serving = version
            plugin.health = Health()
            self._journal.forget_denials(name)
        self._reroute()
        for name, version in versions.items():
            if version is not None:
                self.set_state(self.plugins[name], "ready")

    def remove(self, names: Iterable[str]) -> None:
        """Forget plugins whose files are gone. Those in service are to be taken out first."""
        for name in names:
            del self.plugins[name]
            _log.info("%s: gone", name)
            self._tell(Change(name, None, None))

    def _reroute(self) -> None:
        """Sort the plugins in service by trigger: a user's own before the bundled ones, then by name."""
        routes: dict[str, list[Plugin]] = {}
        for plugin in sorted(self.plugins.values(), key=lambda plugin: (plugin.bundled, plugin.name)):
            if plugin.serving is not None:
                routes.setdefault(plugin.serving.trigger, []).append(plugin)
        for trigger, plugins in routes.items():
            if (
                trigger
                and len(plugins) > 1
                and [p.name for p in self._routes.get(trigger, ())] != [p.name for p in plugins]
            ):
                _log.warning("%s", _conflict(plugins))
        self._routes = routes
        self._lengths = sorted({len(trigger) for trigger in routes}, reverse=True)

    def _tell(self, change: Change) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(change)
            except trio.WouldBlock:
                _log.warning("a client that watches does not read: it misses %s", change)

    # ---- what there is ------------------------------------------------------------------------------------------

    def listing(self) -> list[PluginInfo]:
        """Every plugin, by name."""
        return [self._info(self.plugins[name]) for name in sorted(self.plugins)]

    def counts(self) -> Counter[str]:
        """How many plugins there are in each state."""
        return Counter(plugin.state for plugin in self.plugins.values())

    def _info(self, plugin: Plugin) -> PluginInfo:
        version = plugin.serving
        failing = version is not None and plugin.health.is_failing
        problems = list(plugin.problems)
        if version is not None and version.trigger and len(rivals := self._routes.get(version.trigger, [])) > 1:
            problems.append(_conflict(rivals))
        grants = msgspec.to_builtins(version.settings.grants) if version else {}
        return PluginInfo(
            name=plugin.name,
            path=printable(plugin.path),
            bundled=plugin.bundled,
            trigger=version.trigger if version else None,
            state="failing" if failing else plugin.state,
            error=plugin.health.describe() if failing else plugin.error,
            contract=str(version.load.contract) if version else None,
            size=plugin.size,
            language=version.entry.language if version else None,
            grants={key: value for key, value in grants.items() if value},
            problems=problems,
            denied=self._journal.denials(plugin.name),
            times=plugin.times,
        )


def _conflict(plugins: list[Plugin]) -> str:
    first, *others = plugins
    trigger = first.serving.trigger if first.serving else ""
    return (
        f"the trigger {trigger!r} is {first.name}'s, so {', '.join(p.name for p in others)} never answers: "
        f"give one of them another with `trigger` in config.toml"
    )
