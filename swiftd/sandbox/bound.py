"""The folders that this process was let into, as they were then.

Landlock's rules are bound to what a folder was when they were made: one that is mounted over, made anew or made only
later has the same name and no rule. Nothing of that is an error to the guest, it sees an empty place. So what was
found when the rules were made is kept, and compared before it is relied on; one process can't get another rule, but
another process can.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Identity = tuple[int, int]
"""Device and inode."""

_bound: dict[str, Identity | None] = {}
"""By real path; None where there was no folder. Empty: this process was never hardened, and may enter any."""


class StaleError(Exception):
    """A folder is another one now than when this process was let into it."""


def opened(path: str) -> int:
    """A descriptor that stands for what a real path names now: to be closed, good for no reading.

    Names are looked up one by one and none may be a link: a plugin that may write there could have made one a moment
    ago, and remove it a moment later.

    Raises:
        OSError: there is no such thing, or it is reached through a link.

    """
    names = path.strip("/").split("/")
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, name in enumerate(names, 1):
        try:
            kind = os.O_DIRECTORY if number < len(names) else 0
            there = os.open(name or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=here)
        finally:
            os.close(here)
        here = there
    if stat.S_ISLNK(os.fstat(here).st_mode):
        os.close(here)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return here


def bind(folders: Iterable[str]) -> None:
    """Keep what these are now. To be called before the rules are made: what changes in between is then stale."""
    _bound.update((folder, identity(folder)) for folder in folders)


def identity(folder: str) -> Identity | None:
    """What a folder is now; None: it is not there, or none."""
    try:
        descriptor = opened(folder)
    except OSError:
        return None
    try:
        return _identity(descriptor)
    finally:
        os.close(descriptor)


def enter(folder: str) -> int | None:
    """A descriptor, to be closed, of a folder that was asked for when this process was hardened; None: it is not there.

    Raises:
        StaleError: it is, and this process was not let into it: another had that name then, or it was not asked for.

    """
    try:
        descriptor = opened(folder)
    except OSError:
        return None
    found = _identity(descriptor)
    if found is not None and (not _bound or _bound.get(folder) == found):
        return descriptor
    os.close(descriptor)
    if found is None:
        return None
    raise StaleError(f"{folder} is another folder now, or this process was never let into it")


def _identity(descriptor: int) -> Identity | None:
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def check(folder: str) -> None:
    """Nothing, if this is not a folder that was asked for when this process was hardened.

    Raises:
        StaleError: it is one, and another folder has its name now.

    """
    if folder in _bound and (descriptor := enter(folder)) is not None:
        os.close(descriptor)
