"""Where a path leads, and through which links: who may change one of those decides where the path leads next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MOST_LINKS = 40
"""Links that a path may lead through: what Linux allows."""


@dataclass(frozen=True)
class Trail:
    """Where a path leads. What of it is not there is taken as it is written."""

    end: Path
    links: tuple[Path, ...] = ()
    """The links on the way, in the order in which they are met; each a real path but for its own last name."""


def follow(path: Path) -> Trail:
    """Where an absolute path leads. Each name is looked at once, and is what it was then."""
    here, ahead = "/", list(reversed(path.parts[1:]))
    links: list[Path] = []
    while ahead:
        name = ahead.pop()
        there = os.path.dirname(here) if name == ".." else os.path.join(here, name)  # noqa: PTH118, PTH120 - names
        target = None
        if name != ".." and len(links) < MOST_LINKS:
            target = _target(there)
        if target is None:
            here = there
            continue
        links.append(Path(there))
        if target.startswith("/"):
            here = "/"
        ahead += reversed([part for part in target.split("/") if part not in ("", ".")])
    return Trail(Path(here), tuple(links))


def _target(path: str) -> str | None:
    """Where a link leads; None where there is no link."""
    try:
        return os.readlink(path)  # noqa: PTH115 - a name
    except (OSError, ValueError):
        return None
