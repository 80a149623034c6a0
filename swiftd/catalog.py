"""What plugins there are, and what state each is in.

The folders say what should be; `reconcile` looks at them and does what is needed to get there: hash, compile, load,
ask for the trigger, put in service, or take out. It never acts on the news of one change, always on what is on disk.
A file's identity is the hash of its content. A version of a plugin in service is never changed, only replaced.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.compiler import ChangedError, Compiler, Entry
from swiftd.errors import PluginFault
from swiftd.pool import ArtefactError, Pool
from swiftd.protocol import PluginInfo, PluginState, PluginTimes
from swiftd.sandbox.messages import Failed, Grants, Limits, Load, Trigger, Triggered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from swiftd.config import Config, PluginSettings

SUFFIX = ".wasm"
LARGEST_FILE = 100 * 1024 * 1024
"""Bytes of a .wasm file. The largest useful ones carry a Python of 18 MB and its libraries."""
HARMLESS_ENVIRONMENT = ("LANG", "TZ", "XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE")
"""What every plugin sees of the environment, beside LC_*."""

_log = logging.getLogger(__name__)


class UnusableFileError(Exception):
    """A file in the folder that can't be a plugin, whatever its content."""


@dataclass(frozen=True)
class Version:
    """One content with one configuration, loaded in the workers."""

    load: Load
    trigger: str
    entry: Entry


@dataclass
class Plugin:
    """One name in the catalog."""

    name: str
    path: Path
    bundled: bool
    state: PluginState = "found"
    error: str | None = None
    size: int = 0
    source: str = ""
    """SHA-256 of the file's content."""
    serving: Version | None = None
    times: PluginTimes = field(default_factory=PluginTimes)

    @property
    def is_pending(self) -> bool:
        """Whether it will perhaps answer soon, but can't yet."""
        return self.serving is None and self.state in ("found", "compiling")


class Catalog:
    """All plugins, by name."""

    def __init__(self, folders: Iterable[tuple[Path, bool]], config: Config, compiler: Compiler, pool: Pool) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.scanned = trio.Event()
        """Set once everything that was in the cache serves."""
        self.settled = trio.Event()
        """Set while nothing is left to do."""
        self._folders = list(folders)
        self._config = config
        self._compiler = compiler
        self._pool = pool
        self._routes: dict[str, list[Plugin]] = {}
        self._lengths: list[int] = []
        self._slots = 0
        self._changed = trio.lowlevel.ParkingLot()

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

    async def change(self) -> None:
        """Return when any plugin has changed its state."""
        await self._changed.park()

    def listing(self) -> list[PluginInfo]:
        """Every plugin, by name."""
        return [self._info(self.plugins[name]) for name in sorted(self.plugins)]

    def _info(self, plugin: Plugin) -> PluginInfo:
        version = plugin.serving
        grants = self._config.plugin(plugin.name).grants
        return PluginInfo(
            name=plugin.name,
            path=printable(str(plugin.path)),
            bundled=plugin.bundled,
            trigger=version.trigger if version else self._config.plugin(plugin.name).trigger,
            state=plugin.state,
            error=plugin.error,
            contract=str(version.load.contract) if version else None,
            size=plugin.size,
            language=version.entry.language if version else None,
            grants={key: value for key, value in msgspec.to_builtins(grants).items() if value},
            times=plugin.times,
        )

    # ---- getting there ------------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Bring the catalog to what is on disk. What is in the cache comes first, then the smallest."""
        found = await trio.to_thread.run_sync(self._scan)
        for name in [name for name in self.plugins if name not in found]:
            await self._drop(self.plugins[name])
        to_compile: list[Plugin] = []
        for name, (path, bundled) in sorted(found.items()):
            plugin = self.plugins.setdefault(name, Plugin(name, path, bundled))
            plugin.path, plugin.bundled = path, bundled
            if await self._examine(plugin):
                to_compile.append(plugin)
        self.scanned.set()
        for plugin in sorted(to_compile, key=lambda plugin: plugin.size):
            await self._compile(plugin)
        self.settled.set()
        self._announce()

    def _scan(self) -> dict[str, tuple[Path, bool]]:
        """The files that should be plugins, by name; a user's own hides a bundled one of the same name."""
        found: dict[str, tuple[Path, bool]] = {}
        for folder, bundled in self._folders:
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names, of which most may be of no interest
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.error("the plugin folder can't be read: %s", error)
                continue
            for name in names:
                if name.endswith(SUFFIX) and not name.startswith("."):
                    found.setdefault(printable(name.removesuffix(SUFFIX)), (folder / name, bundled))
        return found

    async def _examine(self, plugin: Plugin) -> bool:
        """Look at a plugin's file, and put it in service if its artefact is in the cache. True: it must be compiled."""
        if not self._config.plugin(plugin.name).enabled:
            self._set(plugin, "disabled", None)
            return False
        try:
            source, plugin.size = await trio.to_thread.run_sync(_fingerprint, plugin.path)
        except (OSError, UnusableFileError) as error:
            self._set(plugin, "refused", _reason(error))
            return False
        plugin.source = source
        entry = self._compiler.cached(source)
        if entry is None:
            return True
        if await self._install(plugin, entry):
            return False
        self._compiler.forget(source)
        return True

    async def _compile(self, plugin: Plugin) -> None:
        self._set(plugin, "compiling", None)
        started = trio.current_time()
        try:
            entry = await self._compiler.compile(plugin.path, plugin.source)
        except ChangedError:
            self._set(plugin, "refused", "the file changed while it was read: save it again")
            return
        except OSError as error:
            self._set(plugin, "refused", _reason(error))
            return
        plugin.times.compile_ms = (trio.current_time() - started) * 1000
        if not await self._install(plugin, entry):
            self._set(plugin, "refused", "its compiled form was lost: is the cache folder's disk full or failing?")

    async def _install(self, plugin: Plugin, entry: Entry) -> bool:
        """Put a finished artefact in service, or refuse the plugin. False: the artefact is not what it was."""
        if entry.refused is not None or entry.contract is None:
            self._set(plugin, "refused", entry.refused)
            return True
        settings = self._config.plugin(plugin.name)
        self._slots += 1
        load = Load(
            slot=self._slots,
            plugin=plugin.name,
            artefact=str(self._compiler.artefact(entry)),
            digest=entry.digest,
            contract=entry.contract,
            limits=_limits(settings),
            grants=_grants(settings),
            settings=msgspec.json.encode({**self._config.settings, **settings.settings}).decode(),
        )
        started = trio.current_time()
        try:
            trigger = settings.trigger if settings.trigger is not None else await self._ask_trigger(load)
            await self._pool.add(load)
        except ArtefactError:
            return False
        except PluginFault as fault:
            await self._pool.remove(load.slot)
            self._set(plugin, "refused", f"get-trigger: {fault}")
            return True
        plugin.times.load_ms = (trio.current_time() - started) * 1000
        previous, plugin.serving = plugin.serving, Version(load, trigger, entry)
        self._reroute()
        self._set(plugin, "ready", None)
        if previous is not None:
            await self._pool.remove(previous.load.slot)
        return True

    async def _ask_trigger(self, load: Load) -> str:
        reply = await self._pool.call(load, Trigger(load.slot))
        if isinstance(reply, Failed):
            if reply.code == "artefact":
                raise ArtefactError(reply.message)
            raise PluginFault(reply.code, reply.message)
        assert isinstance(reply, Triggered)  # noqa: S101 - what a worker says to a Trigger
        if not all(c.isprintable() for c in reply.trigger):
            raise PluginFault("contract", f"expected a trigger that can be typed, found {reply.trigger!r}")
        return reply.trigger

    async def _drop(self, plugin: Plugin) -> None:
        del self.plugins[plugin.name]
        self._reroute()
        self._announce()
        _log.info("%s: gone", plugin.name)
        if plugin.serving is not None:
            await self._pool.remove(plugin.serving.load.slot)

    def _reroute(self) -> None:
        """Sort the plugins in service by trigger: a user's own before the bundled ones, then by name."""
        routes: dict[str, list[Plugin]] = {}
        for plugin in sorted(self.plugins.values(), key=lambda plugin: (plugin.bundled, plugin.name)):
            if plugin.serving is not None:
                routes.setdefault(plugin.serving.trigger, []).append(plugin)
        self._routes = routes
        self._lengths = sorted({len(trigger) for trigger in routes}, reverse=True)

    def _set(self, plugin: Plugin, state: PluginState, error: str | None) -> None:
        plugin.state, plugin.error = state, error
        match state:
            case "ready":
                version = plugin.serving
                _log.info("%s: ready, trigger %r", plugin.name, version.trigger if version else "")
            case "refused":
                _log.warning("%s: refused: %s", plugin.name, error)
            case _:
                _log.info("%s: %s", plugin.name, state)
        self._announce()

    def _announce(self) -> None:
        self._changed.unpark_all()


def _fingerprint(path: Path) -> tuple[str, int]:
    """The SHA-256 and the size of a plugin's file.

    Raises:
        UnusableFileError: it is no file, or too large.
        OSError: it can't be read.

    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us up
    with open(number, "rb") as file:  # noqa: PTH123 - a descriptor
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableFileError(f"expected a file, found {_file_kind(status.st_mode)}")
        if status.st_size > LARGEST_FILE:
            raise UnusableFileError(
                f"{status.st_size / 1024**2:.0f} MiB is too large: at most {LARGEST_FILE // 1024**2} MiB"
            )
        return hashlib.file_digest(file, "sha256").hexdigest(), status.st_size


def _file_kind(mode: int) -> str:
    kinds: list[tuple[Callable[[int], bool], str]] = [
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    ]
    return next((name for test, name in kinds if test(mode)), "a device")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the file can't be read: {(error.strerror or str(error)).lower()}"
    return str(error)


def _limits(settings: PluginSettings) -> Limits:
    return Limits(memory=int(settings.memory), deadline=float(settings.deadline), max_items=settings.max_items)


def _grants(settings: PluginSettings) -> Grants:
    names = {name for name in os.environ if name in HARMLESS_ENVIRONMENT or name.startswith("LC_")}
    names.update(settings.grants.env)
    return Grants(
        env=tuple((name, os.environ[name]) for name in sorted(names) if name in os.environ),
        clock=settings.grants.clock,
    )


def printable(name: str) -> str:
    """A file name as it can be shown and sent: bytes that are no UTF-8, and control characters, replaced."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
