"""Notices changes of the plugin folders and of config.toml.

All it says is that something may have changed; reconcile.py looks at what it is now. A folder that isn't there yet is
noticed through its nearest parent that exists, a link through the folder it is in as well as through what it leads
to, at every step of the way and also for a single plugin. What is watched is computed anew after every change, and
the watches are made anew when a watched folder itself was touched: its name may be another folder's by now. A file
system that is mounted or unmounted touches nothing, so from time to time each folder is compared with what it was.
"""

from __future__ import annotations

import logging
import os
import select
import stat
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from watchfiles import Change, awatch

from swiftd.folders import SUFFIX
from swiftd.links import steps
from swiftd.shortage import can_start
from swiftd.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

STEP = 250
"""Milliseconds. A burst of changes ends when nothing happens for so long; also how often the idle watcher wakes."""
BURST = 1000
"""Milliseconds after which a burst is reported though it goes on: a file that is copied for seconds."""
POLL = 2.0
"""Seconds between two looks where the kernel has no watch left to give. Each costs a millisecond."""
LOOKS = 30
"""How often to look before the kernel is asked again."""

LOOK = 2.0
"""Seconds between two looks for what the kernel tells no watch of. Each costs a few calls of `stat`."""

THREADS = 2
"""What a watch takes: one that reads from the kernel, and one that waits for it."""

_log = logging.getLogger(__name__)


async def watch(places: Iterable[Path], changed: Callable[[], None]) -> None:
    """Call `changed` after every change in these folders or of these files, and once for each new set of watches."""
    async with trio.open_nursery() as nursery:
        watches = _Watches(list(places), changed)
        nursery.start_soon(watches.look)
        await watches.run(nursery)


class _Watches:
    """One set of watches after the other."""

    def __init__(self, places: list[Path], changed: Callable[[], None]) -> None:
        self._places = places
        self._changed = changed
        self._stop = trio.Event()
        """Ends the watches of now. The thread that waits for the kernel can't be cancelled: it looks at this event."""
        self._identities: Identities = {}

    async def run(self, nursery: trio.Nursery) -> None:
        """Watch until cancelled."""
        told = False
        while True:
            self._stop = trio.Event()
            watched = to_watch(self._places)
            self._identities = _identities(watched.folders)
            nursery.start_soon(_say, self._changed)  # what happened between two watches: these are there when it runs
            try:
                await self._until_others_are_needed(watched)
                told = False
            except FileNotFoundError:  # one of them went away just now
                await trio.sleep(STEP / 1000)
            except ExceptionGroup as group:  # such as a name that is no text: it changed, which is all we want to know
                if group.split((OSError, RuntimeError))[1] is not None:
                    raise
                _log.debug("a watch failed, and is made anew: %s", group.exceptions)
                await trio.sleep(POLL)
            except (OSError, RuntimeError) as error:  # the latter is what watchfiles makes of trouble later on
                if not told:
                    _log.warning("the kernel gives no watch (%s): looking every %.0f s instead", error, POLL)
                    told = True
                for _ in range(LOOKS):
                    await trio.sleep(POLL)
                    self._changed()

    async def _until_others_are_needed(self, watched: Watched) -> None:
        if not can_start(THREADS):
            raise RuntimeError("no thread is to be had")
        news = awatch(
            *sorted(watched.folders),
            watch_filter=watched.concerns,
            step=STEP,
            debounce=BURST,
            stop_event=self._stop,
            recursive=False,
            force_polling=False,
        )
        async with aclosing(news):
            async for changes in news:
                self._changed()
                if any(Path(path) in watched.folders for _, path in changes) or to_watch(self._places) != watched:
                    return

    async def look(self) -> None:
        """Have the watches made anew when a watched folder is another one, though nothing touched it."""
        try:
            with _mounts() as mounts_changed:
                while True:
                    await trio.sleep(LOOK)
                    before = self._identities
                    now = await in_thread(_identities, before.keys())
                    if self._identities is before and (mounts_changed() or now != before):
                        self._stop.set()
        finally:
            self._stop.set()


Identities = dict[Path, tuple[int, int] | None]
"""Device and inode of each folder; None: it is not there."""


def _identities(folders: Iterable[Path]) -> Identities:
    return {folder: _identity(folder) for folder in folders}


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _mounts() -> Iterator[Callable[[], bool]]:
    """Tells whether something was mounted or unmounted since it was last asked (proc_pid_mountinfo(5)).

    Numbers are given anew: a file system in another's place may have the same device and inode.
    """
    try:
        file = open("/proc/self/mountinfo", "rb", buffering=0)  # noqa: PTH123, SIM115 - closed below
    except OSError:
        yield lambda: False
        return
    with file:
        poll = select.poll()
        poll.register(file, select.POLLPRI)
        poll.poll(0)
        yield lambda: bool(poll.poll(0))


async def _say(changed: Callable[[], None]) -> None:
    changed()


@dataclass(frozen=True)
class Watched:
    """Where changes are looked for, and which of them matter."""

    folders: frozenset[Path]
    """Real paths."""
    contents: frozenset[Path]
    """Those of them in which everything matters: the plugin folders."""
    entries: frozenset[Path]
    """What matters of the others."""

    def concerns(self, _change: Change, path: str) -> bool:
        """Whether a change matters."""
        changed = Path(path)
        return changed in self.entries or changed in self.folders or changed.parent in self.contents


def to_watch(places: Iterable[Path]) -> Watched:
    """What decides what is at these places, as they are now.

    Of each place every link on the way, and its nearest parent that exists; of a folder what is in it, and where the
    plugins lead that are links.
    """
    entries: set[Path] = set()
    contents: set[Path] = set()
    for place in places:
        end = _follow(place, entries)
        if end is not None and os.path.isdir(end):  # noqa: PTH112 - unlike Path's, these never raise
            contents.add(end)
            for name in _listing(end):
                if name.endswith(SUFFIX) and os.path.islink(end / name):  # noqa: PTH114
                    _follow(end / name, entries)
    folders = {folder for folder in {*contents, *(entry.parent for entry in entries)} if _can_be_watched(folder)}
    return Watched(frozenset(folders), frozenset(contents), frozenset(entries))


def _follow(place: Path, entries: set[Path]) -> Path | None:
    """Where a path leads, None if nowhere. The names on which that depends are added to `entries`.

    Of a path without links that is the last alone, or the first that is missing.
    """
    end = "/"
    for step in steps(str(place)):
        end = step.at
        if stat.S_ISDIR(step.mode) and not step.is_last:
            continue
        entries.add(Path(step.path))
        if not stat.S_ISLNK(step.mode):
            return Path(step.path) if step.is_last and step.mode else None
    return Path(end)


def _can_be_watched(folder: Path) -> bool:
    """Whether it may be read; watchfiles takes no name that is no UTF-8."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return False
    return os.access(folder, os.R_OK)


def _listing(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names
    except OSError:
        return []
