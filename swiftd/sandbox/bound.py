"""The folders that this process was let into, as they were then.

Landlock's rules are bound to what a folder was when they were made: one that is mounted over, made anew or made only
later has the same name and no rule. Nothing of that is an error to the guest, it sees an empty place. So what was
found when the rules were made is kept, and compared before it is relied on; one process can't get another rule, but
another process can.
"""

from __future__ import annotations

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


def bind(folders: Iterable[str]) -> None:
    """Keep what these are now. To be called before the rules are made: what changes in between is then stale."""
    _bound.update((folder, identity(folder)) for folder in folders)


def identity(folder: str) -> Identity | None:
    """What a folder is now; None: it is not there, or none."""
    try:
        found = os.stat(folder, follow_symlinks=False)  # noqa: PTH116 - a name, at each call of a plugin
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def is_there(folder: str) -> bool:
    """Whether there is such a folder, which was asked for when this process was hardened.

    Raises:
        StaleError: there is, and this process was not let into it: another had that name then, or it was not asked for.

    """
    found = identity(folder)
    if found is not None and _bound and _bound.get(folder) != found:
        raise StaleError(f"{folder} is another folder now, or this process was never let into it")
    return found is not None


def check(folder: str) -> None:
    """Nothing, if this is not a folder that was asked for when this process was hardened.

    Raises:
        StaleError: it is one, and another folder has its name now.

    """
    if folder in _bound:
        is_there(folder)
