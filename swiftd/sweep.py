"""Rids the cache of what nobody has needed for long.

What a daemon uses it marks: an entry's time of change is set to now whenever it is loaded, and at every sweep. So an
entry that has not been touched for days is in no running daemon's use, whichever daemon shares the cache, and one that
is removed all the same costs a compilation, not a wrong answer: the worker that misses it has it made anew.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from swiftd import files

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_UNUSED = 30 * 24 * 3600.0
"""Seconds. A plugin that was away for a month may be compiled again when it comes back."""
LARGEST_CACHE = 1024**3
"""Bytes. Thirty plugins with a Python of their own."""
LARGEST_ENTRY = 1024 * 1024
"""Bytes of an entry. One has a few hundred; a plugin with a thousand imports would have 60 KB."""
YOUNG = 2 * 24 * 3600.0
"""Seconds that an entry stays in any case: twice the time between two sweeps of a daemon that may be using it."""

MARKED_EVERY = 3600.0
"""Seconds. Marking more often would only wear the disk."""

_log = logging.getLogger(__name__)


class _Body(msgspec.Struct):
    """What a sweep wants to know of an entry."""

    digest: str = ""


@dataclass
class _Stored:
    """An entry, or an artefact that belongs to none."""

    names: list[str]
    digest: str
    size: int
    age: float


def sweep(
    cache: Path,
    keep: set[str],
    now: float,
    *,
    longest_unused: float = LONGEST_UNUSED,
    largest: int = LARGEST_CACHE,
    young: float = YOUNG,
) -> int:
    """Remove what is older than `longest_unused`, then the oldest beyond `largest` bytes; return the bytes set free.

    `keep` are the keys (the names without `.json`) of what is in use: that stays, and is marked as used. Nothing
    younger than `young` goes. `now` is in seconds since 1970, the others in seconds. Blocks: for a thread.
    """
    entries = [entry for path in cache.glob("*.json") if (entry := _entry(cache, path, now)) is not None]
    kept = [entry for entry in entries if entry.names[0].removesuffix(".json") in keep]
    for entry in kept:
        mark_used(cache / entry.names[0], now)
    users = Counter(entry.digest for entry in entries)
    orphans = [
        _Stored([path.name], path.stem, size, age)
        for path in cache.glob("*.cwasm")
        if path.stem not in users and (size := _size(path)) is not None and (age := _age(path, now)) is not None
    ]
    total = sum(entry.size for entry in [*entries, *orphans])
    freed = 0
    in_use = {id(entry) for entry in kept}
    for entry in sorted([*entries, *orphans], key=lambda entry: entry.age, reverse=True):
        too_old = entry.age > longest_unused
        if id(entry) in in_use or entry.age <= young or not (too_old or total - freed > largest):
            continue
        if _age(cache / entry.names[0], now) != entry.age:
            continue  # somebody has just used it
        users[entry.digest] -= 1
        for name in entry.names:
            if not name.endswith(".cwasm") or users[entry.digest] <= 0:
                freed += _remove(cache / name)
    if freed:
        _log.info("the cache: %.1f MB that nobody has used for long are removed", freed / 1e6)
    return freed


def _entry(cache: Path, path: Path, now: float) -> _Stored | None:
    """One entry with its artefact. One that can't be read is one without."""
    age, size = _age(path, now), _size(path)
    if age is None or size is None:
        return None
    digest = ""
    with suppress(OSError, ValueError, RecursionError):  # msgspec's errors are of the second kind
        body = files.read(path, LARGEST_ENTRY, links=False).partition(b"\n")[2]
        digest = msgspec.json.decode(body, type=_Body).digest
    artefact = f"{digest}.cwasm"
    if not digest.isalnum() or (more := _size(cache / artefact)) is None:
        return _Stored([path.name], digest, size, age)
    return _Stored([path.name, artefact], digest, size + more, age)


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None


def _age(path: Path, now: float) -> float | None:
    """Seconds since the last use. What is from the future, by a clock that was wrong, is as good as new from now on."""
    try:
        age = now - path.lstat().st_mtime
    except OSError:
        return None
    if age < 0:
        mark_used(path, now)
    return max(0.0, age)


def mark_used(path: Path, now: float) -> None:
    """Note that an entry is in use. `now` is in seconds since 1970."""
    with suppress(OSError):
        if abs(now - path.lstat().st_mtime) > MARKED_EVERY:
            os.utime(path, (now, now), follow_symlinks=False)


def _remove(path: Path) -> int:
    """Remove a file, or what has its place but is no folder; the bytes that it took."""
    try:
        size = path.lstat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
