"""Notices changes of the plugin folders and of config.toml.

All it says is that something may have changed; reconcile.py looks at what it is now. A folder that isn't there yet,
or is removed, replaced or turned into a link, is noticed through its nearest parent that exists: what is watched is
computed anew after every change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio
from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

STEP = 250
"""Milliseconds. A burst of changes ends when nothing happens for so long; also how often the idle watcher wakes."""
BURST = 1000
"""Milliseconds after which a burst is reported though it goes on: a file that is copied for seconds."""
POLL = 2000
"""Milliseconds between two looks where the kernel has no watch left to give."""

_log = logging.getLogger(__name__)


async def watch(places: Iterable[Path], changed: Callable[[], None]) -> None:
    """Call `changed` after every change in these folders or of these files, and once for each new set of watches."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_the_end, stop)
        await _watch(list(places), changed, stop)


async def _set_at_the_end(stop: trio.Event) -> None:
    """The thread that waits for the kernel can't be cancelled: it looks at this event at every step."""
    try:
        await trio.sleep_forever()
    finally:
        stop.set()


async def _watch(places: list[Path], changed: Callable[[], None], stop: trio.Event) -> None:
    polling = False
    while True:
        watched = to_watch(places)
        changed()  # what happened between two watches
        try:
            async for _changes in awatch(
                *watched,
                watch_filter=None,
                step=STEP,
                debounce=BURST,
                stop_event=stop,
                recursive=False,
                force_polling=polling,
                poll_delay_ms=POLL,
            ):
                changed()
                if to_watch(places) != watched:
                    break
        except OSError as error:
            if isinstance(error, FileNotFoundError):  # one of them went away just now
                await trio.sleep(STEP / 1000)
            elif polling:
                _log.error("changes can't be noticed: %s; `swiftctl reload` still works", error)
                return
            else:
                _log.warning("the kernel gives no watch (%s): looking every %.0f s instead", error, POLL / 1000)
                polling = True


def to_watch(places: Iterable[Path]) -> list[Path]:
    """The folders whose entries decide what is at these places, as they are now, links followed.

    Of each place its nearest parent that exists, and itself if it is a folder; where a link leads there, both sides.
    """
    found: set[Path] = set()
    for place in places:
        if place.is_dir():
            found.add(place.resolve())
        parent = place.parent
        while not parent.is_dir():
            parent = parent.parent
        found.add(parent.resolve())
        if place.is_symlink():
            target = place.readlink()
            found.add((parent / target).parent.resolve() if (parent / target).parent.is_dir() else parent.resolve())
    return sorted(found)
