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

from swiftd.grants import lacking
from swiftd.health import Health
from swiftd.log import Seldom
from swiftd.paths import printable
from swiftd.protocol import PluginInfo, PluginState, PluginTimes
from swiftd.text import brief
from swiftd.threads import in_thread
from swiftd.triggers import Claim, Routes

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
_seldom = Seldom(_log)


@dataclass(frozen=True)
class Version:
    """One content with one configuration, loaded in the workers."""

    source: str
    """SHA-256 of the .wasm file."""
    settings: PluginSettings
    load: Load
    trigger: str
    """What the user types for it."""
    own_trigger: str | None
    """What the plugin itself says; None where it fails to."""
    entry: Entry

    def handed(self, rest: str) -> str:
        """What the plugin is handed for a text that goes on with `rest` behind its trigger.

        It knows no trigger but its own, whatever config.toml gives it or was typed in its place.
        """
        return (self.trigger if self.own_trigger is None else self.own_trigger) + rest


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

    @property
    def condition(self) -> tuple[PluginState, str | None]:
        """Its state and error as they are shown: of one in service also how its last calls went."""
        if self.serving is not None and self.health.is_failing:
            return "failing", self.health.describe()
        return self.state, self.error


class Catalog:
    """All plugins, by name."""

    def __init__(self, journal: Journal) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.scanned = trio.Event()
        """Set once everything that was in the cache at the start serves."""
        self.troubles: list[str] = []
        """What is wrong with the plugin folders."""
        self._journal = journal
        self._routes = Routes()
        self._subscribers: set[trio.MemorySendChannel[Change]] = set()

    # ---- what the queries ask -----------------------------------------------------------------------------------

    def route(self, text: str, only: Iterable[str] | None = None) -> Claim:
        """Who answers `text`; `only` leaves the other plugins out of account."""
        return self._routes.find(text, only)

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
        error = None if error is None else brief(error)  # whoever says it: it is kept, logged and sent
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
            plugin.health.retire()
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

    def health_moved(self, plugin: Plugin) -> None:
        """A plugin in service is failing, still or again, or is not any more: tell who wants to know."""
        self._tell(Change(plugin.name, *plugin.condition))

    def _reroute(self) -> None:
        known = self._routes.conflicts()
        self._routes = Routes(self.plugins.values())
        for trigger, message in self._routes.conflicts().items():
            if trigger not in known:  # once: each plugin that joins in says so of itself
                _log.warning("%s", message)

    def _tell(self, change: Change) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(change)
            except trio.WouldBlock:
                _seldom.warning("a client that watches does not read: it misses %s", change)

    # ---- what there is ------------------------------------------------------------------------------------------

    async def listing(self) -> list[PluginInfo]:
        """Every plugin, by name."""
        grants = {name: plugin.serving.load.grants for name, plugin in self.plugins.items() if plugin.serving}
        missing = await in_thread(lambda: {name: lacking(granted) for name, granted in grants.items()})
        return [self._info(self.plugins[name], missing.get(name, [])) for name in sorted(self.plugins)]

    def counts(self) -> Counter[str]:
        """How many plugins there are in each state."""
        return Counter(plugin.condition[0] for plugin in self.plugins.values())

    def _info(self, plugin: Plugin, missing: list[str]) -> PluginInfo:
        version = plugin.serving
        state, error = plugin.condition
        grants = msgspec.to_builtins(version.settings.grants) if version else {}
        return PluginInfo(
            name=plugin.name,
            path=printable(plugin.path),
            bundled=plugin.bundled,
            trigger=version.trigger if version else None,
            state=state,
            error=error,
            contract=brief(str(version.load.contract)) if version else None,
            size=plugin.size,
            language=version.entry.language if version else None,
            grants={key: value for key, value in grants.items() if value},
            problems=[*plugin.problems, *missing, *self._routes.notices(plugin)],
            denied=self._journal.denials(plugin.name),
            times=plugin.times,
        )
