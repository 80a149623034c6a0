"""What a path is to the kernel: a file system, and a place in it.

Through a bind mount one folder has several names, and none of them shows in the other. Whether a folder lies in another
can be told by names only where both were turned into these places first (proc_pid_mountinfo(5)).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


class _Mount(NamedTuple):
    number: str
    parent: str
    place: Path
    """What is mounted: `/DEVICE/path in it`."""
    point: Path
    """Where."""


class Mounts:
    """The mounts of one moment. Paths are real ones: none leads through a link."""

    def __init__(self, mountinfo: bytes) -> None:
        mounts = [mount for line in mountinfo.splitlines() if (mount := _mount(line)) is not None]
        self._on = {(mount.parent, mount.point): mount for mount in mounts}
        numbers = {mount.number for mount in mounts}
        roots = (m for m in mounts if m.point == Path("/") and (m.parent not in numbers or m.parent == m.number))
        self._root = next(roots, None)  # none in a root that is a mere folder: names must do there
        self._mounts = mounts

    @classmethod
    def now(cls) -> Mounts:
        """Those of this process; none, where there is no /proc."""
        try:
            return cls(Path("/proc/self/mountinfo").read_bytes())
        except OSError:
            return cls(b"")

    def place(self, path: Path) -> Path:
        """What a path names, as `/DEVICE/path in it`. Two paths name one folder if that is the same."""
        if (mount := self._root) is None:
            return path
        for step in reversed([path, *path.parents]):  # as the kernel goes: what is mounted on what is mounted there
            while (upon := self._on.get((mount.number, step))) is not None and upon is not mount:
                mount = upon
        return mount.place / path.relative_to(mount.point)

    def places(self, path: Path) -> list[Path]:
        """The same, and the places of all that is mounted below: all that can be reached through that name."""
        return [self.place(path), *(mount.place for mount in self._mounts if path in mount.point.parents)]


def _mount(line: bytes) -> _Mount | None:
    fields = line.split(b" ")
    if len(fields) < 5:  # noqa: PLR2004 - those that are read here
        return None
    number, parent, device, root, point = (os.fsdecode(re.sub(rb"\\(\d{3})", _byte, field)) for field in fields[:5])
    return _Mount(number, parent, Path("/", device, root.lstrip("/")), Path(point))


def _byte(escaped: re.Match[bytes]) -> bytes:
    return bytes([int(escaped[1], 8)])
