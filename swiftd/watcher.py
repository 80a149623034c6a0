"""Notices changes of the plugin folders and of config.toml.

All it says is that something may have changed; reconcile.py looks at what it is now. A folder that isn't there yet is
noticed through its nearest parent that exists, a link through the folder it is in as well as through what it leads
to, at every step of the way and also for a single plugin. What is watched is computed anew after every change, and
the watches are made anew when a watched folder itself was touched: its name may be another folder's by now.
"""

from __future__ import annotations

import logging
import os
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from watchfiles import Change, awatch

from swiftd.folders import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STEP = 250
"""Milliseconds. A burst of changes ends when nothing happens for so long; also how often the idle watcher wakes."""
BURST = 1000
"""Milliseconds after which a burst is reported though it goes on: a file that is copied for seconds."""
POLL = 2.0
"""Seconds between two looks where the kernel has no watch left to give. Each costs a millisecond."""
LOOKS = 30
"""How often to look before the kernel is asked again."""

MOST_LINKS = 40
"""Links that a path may lead through: what Linux allows."""

_log = logging.getLogger(__name__)


async def watch(places: Iterable[Path], changed: Callable[[], None]) -> None:
    """Call `changed` after every change in these folders or of these files, and once for each new set of watches."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_the_end, stop)
        await _watch(list(places), changed, stop, nursery)


async def _set_at_the_end(stop: trio.Event) -> None:
    """The thread that waits for the kernel can't be cancelled: it looks at this event at every step."""
    try:
        await trio.sleep_forever()
    finally:
        stop.set()


async def _watch(places: list[Path], changed: Callable[[], None], stop: trio.Event, nursery: trio.Nursery) -> None:
    told = False
    while True:
        watched = to_watch(places)
        nursery.start_soon(_say, changed)  # what happened between two watches: these are there when it runs
        news = awatch(
            *sorted(watched.folders),
            watch_filter=watched.concerns,
            step=STEP,
            debounce=BURST,
            stop_event=stop,
            recursive=False,
            force_polling=False,
        )
        try:
            async with aclosing(news):
                async for changes in news:
                    changed()
                    if any(Path(path) in watched.folders for _, path in changes) or to_watch(places) != watched:
                        break
        except FileNotFoundError:  # one of them went away just now
            await trio.sleep(STEP / 1000)
        except ExceptionGroup as group:  # such as a name that is no text: it changed, and that is all we want to know
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
                changed()


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
    here, ahead, links = Path("/"), list(reversed(place.parts[1:])), 0
    while ahead:
        name = ahead.pop()
        there = here.parent if name == ".." else here / name
        if os.path.islink(there):  # noqa: PTH114
            entries.add(there)
            links += 1
            try:
                target = there.readlink()
            except OSError:
                return None
            if links > MOST_LINKS:
                return None
            if target.is_absolute():
                here = Path("/")
            ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        elif ahead and os.path.isdir(there):  # noqa: PTH112
            here = there
        else:
            entries.add(there)
            return there if os.path.exists(there) and not ahead else None  # noqa: PTH110
    return here


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
