"""Where a path leads, and through which links: who may change one of those decides where the path leads next."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINKS = 40
"""Links that a path may lead through: what Linux allows."""


class Step(NamedTuple):
    """One name on the way."""

    path: str
    """Where it lies: a real path but for its own last name."""
    found: os.stat_result | OSError | ValueError
    """What is there, links not followed; or why that can't be known, as where there is nothing."""
    at: str
    """Where the way goes on from: from there, or, of a link, from where what it says is to be read."""
    is_last: bool
    """Whether no name is ahead, nor one of a link's."""

    @property
    def mode(self) -> int:
        """The kind of what is there, and who may do what with it, as `stat` has it; 0 where that can't be known."""
        return self.found.st_mode if isinstance(self.found, os.stat_result) else 0


def steps(path: str) -> Iterator[Step]:
    """Every name on the way of an absolute path, in the order in which the kernel looks them up; `/` is not one.

    What can't be looked at is taken as it is written, and so is one link more than the kernel follows.
    """
    at, ahead, links = "/", _names(path), 0
    while ahead:
        name = ahead.pop()
        there = os.path.dirname(at) if name == ".." else os.path.join(at, name)  # noqa: PTH118, PTH120 - names
        found, target = _look(there)
        if target is not None and (links := links + 1) > MOST_LINKS:
            found, target = OSError(errno.ELOOP, os.strerror(errno.ELOOP), there), None
        if target is None:
            at = there
        else:
            at = "/" if target.startswith("/") else at
            ahead += _names(target)
        yield Step(there, found, at, not ahead)


@dataclass(frozen=True)
class Trail:
    """Where a path leads. What of it is not there is taken as it is written."""

    end: Path
    links: tuple[Path, ...] = ()
    """The links on the way, in the order in which they are met; each a real path but for its own last name."""


def follow(path: Path) -> Trail:
    """Where an absolute path leads. Each name is looked at once, and is what it was then."""
    end = "/"
    links: list[Path] = []
    for step in steps(str(path)):
        end = step.at
        if stat.S_ISLNK(step.mode):
            links.append(Path(step.path))
    return Trail(Path(end), tuple(links))


def _names(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _look(path: str) -> tuple[os.stat_result | OSError | ValueError, str | None]:
    """What there is, and, if it is a link, what it says."""
    try:
        found = os.lstat(path)
        return found, os.readlink(path) if stat.S_ISLNK(found.st_mode) else None  # noqa: PTH115 - a name
    except (OSError, ValueError) as error:
        return error, None
