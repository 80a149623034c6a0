"""Reads files whose names are known to everybody: in the place of each there may be anything by now.

A FIFO is waited at for ever, a device never ends, a link leads to one of them, and a file that is meant to have a few
bytes may have gigabytes. So nothing but a regular file is opened, and no more of it is read than it may have. What it
says of a file names no descriptor: what is found twice is then said once.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NoFileError(OSError):
    """There is something else, and what."""


CHUNK = 1 << 20
"""Bytes that are read at once."""

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@contextmanager
def opened(path: Path | str, *, links: bool = True) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file's descriptor, and what `fstat` says of it. `links`: whether one may lead there.

    It is looked at first: already to be opened is noticed by a FIFO's writer, a terminal and a tape.

    Raises:
        NoFileError: it is something else.
        OSError: there is none, or it may not be read.

    """
    _expect_file(os.stat(path, follow_symlinks=links))  # noqa: PTH116 - it may be a name
    descriptor = os.open(path, _FLAGS | (0 if links else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        _expect_file(status)
        yield descriptor, status
    finally:
        os.close(descriptor)


def chunks(descriptor: int, most: int) -> Iterator[bytes]:
    """What an open file holds.

    Raises:
        OSError: it holds more than `most` bytes, or can't be read.

    """
    left = most
    while data := os.read(descriptor, min(CHUNK, left + 1)):
        if len(data) > left:
            raise _too_large(most)
        left -= len(data)
        yield data


def read(path: Path | str, most: int, *, links: bool = True) -> bytes:
    """What a regular file holds.

    Raises:
        OSError: there is none, it is something else, it has more than `most` bytes, or it may not be read.

    """
    with opened(path, links=links) as (descriptor, status):
        if status.st_size > most:
            raise _too_large(most)
        return b"".join(chunks(descriptor, most))


def reason(error: OSError) -> str:
    """Why a file can't be used, as it goes on a line: without its name, which the system's own message has."""
    return (error.strerror or str(error)).lower() if error.errno else str(error)


def _too_large(most: int) -> OSError:
    limit = f"{most // 1024**2} MiB" if most >= 1024**2 else f"{most // 1024} KiB"
    return OSError(f"it is larger than {limit}")


def _expect_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoFileError(f"expected a file, found {_kind(status.st_mode)}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFLNK: "a link",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
