"""The plugin folders: which files should be plugins, and which content each has.

A file's identity is the hash of its content. What a file system says of a file (`stat`) only saves hashing it again,
and is not believed while the file is so young that it could change without a trace.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swiftd import files
from swiftd.paths import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIX = ".wasm"
LARGEST_FILE = 100 * 1024 * 1024
"""Bytes of a .wasm file. The largest useful ones carry a Python of 18 MB and its libraries."""
YOUNG = 2.0
"""Seconds. Some file systems keep time no better than that."""
LOOKS = 3
"""How often a scan looks again because something changed meanwhile. The next change asks for another one anyway."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """One file that should be a plugin."""

    path: Path
    bundled: bool
    size: int = 0
    source: str = ""
    """SHA-256 of its content; empty where it can't be used."""
    problem: str | None = None
    """Why it can't be used."""


Signature = tuple[int, ...]
"""What `stat` says of a file's identity and changes."""

Known = tuple[Signature, Found]
"""What a file was found to be, with what `stat` said of it then."""


class Folders:
    """Looks at the plugin folders, in the order in which they hide each other's files."""

    def __init__(self, folders: Iterable[tuple[Path, bool]]) -> None:
        self.folders = list(folders)
        """Each with whether it is the one of the bundled plugins."""
        self._known: dict[Path, Known] = {}
        self._found: dict[str, Found] = {}  # by the last look
        self._unreadable: dict[Path, str] = {}  # and why
        self._scanned: tuple[list[Signature | None], dict[Path, Signature | None], float] = ([], {}, 0.0)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the folders themselves. What was found in one before it became so still counts."""
        return list(self._unreadable.values())

    def scan(self) -> dict[str, Found]:
        """What should be a plugin, by name. Blocks: for a thread.

        It is what was there at one moment, not half of what was there before a change and half of what after, unless
        the changes never end.
        """
        folders = self._folder_signatures()
        before = self._signatures()
        for _ in range(LOOKS):
            found = self._look_at_all()
            after = self._signatures()
            if after == before:
                break
            before = after
        self._scanned = folders, before, time.monotonic()
        return found

    def have_changed(self) -> bool:
        """Whether a scan could find something else than the last one did. Blocks for microseconds.

        That a file came, went or has another name shows in its folder. What its content is shows in itself, but is
        looked at only as long as the last scan is no older than a copy takes: the watcher tells of it in time.
        """
        folders, files, when = self._scanned
        if self._folder_signatures() != folders or any(map(_can_be_read, self._unreadable)):
            return True
        return time.monotonic() - when < YOUNG and self._signatures() != files

    def _folder_signatures(self) -> list[Signature | None]:
        return [_signature_of(folder) for folder, _ in self.folders]

    def _signatures(self) -> dict[Path, Signature | None]:
        paths = (folder / file for folder, _ in self.folders for file in self._names(folder) or ())
        return {path: _signature_of(path) for path in paths}

    def _look_at_all(self) -> dict[str, Found]:
        found: dict[str, Found] = {}
        known: dict[Path, Known] = {}
        misnamed: list[tuple[Path, bool]] = []
        for folder, bundled in self.folders:
            if (names := self._names(folder)) is None:
                before = {name: file for name, file in self._found.items() if file.path.parent == folder}
                found = before | found
                known |= {path: of_it for path, of_it in self._known.items() if path.parent == folder}
                continue
            for file in names:
                path = folder / file
                if not file.endswith(SUFFIX):
                    misnamed.append((path, bundled))
                    continue
                name = printable(file.removesuffix(SUFFIX))
                if name in found:
                    continue
                signature, found[name] = _look(path, bundled, self._known.get(path))
                if signature is not None:
                    known[path] = (signature, found[name])
                if name != file.removesuffix(SUFFIX):
                    problem = "its name has control characters or is no UTF-8: rename the file"
                    found[name] = Found(path, bundled, problem=problem)
        self._known = known
        self._found = found
        for path, bundled in misnamed:
            name = printable(path.name)
            problem = f"expected a name that ends in {SUFFIX}: rename it to {printable(path.stem)}{SUFFIX}"
            found.setdefault(name, Found(path, bundled, problem=problem))
        return found

    def _names(self, folder: Path) -> list[str] | None:
        """The files that are to be plugins, those with an ending in capitals included, to be told of.

        Nothing is said of other names: hidden files and other endings are how people set one aside. None: the folder
        is there, or could be, and can't be read now.
        """
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names, of which most may be of no interest
        except FileNotFoundError:
            names = []
        except OSError as error:
            problem = f"the plugin folder can't be read: {printable(folder)}: {files.reason(error)}"
            if self._unreadable.get(folder) != problem:
                _log.error("%s; what serves still does", problem)
            self._unreadable[folder] = problem
            return None
        if self._unreadable.pop(folder, None):
            _log.info("the plugin folder %s can be read again", printable(folder))
        return sorted(name for name in names if name.lower().endswith(SUFFIX) and not name.startswith("."))


def _can_be_read(folder: Path) -> bool:
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False


def look(path: Path, bundled: bool = False, before: Known | None = None) -> Found:
    """What is at `path`. Blocks; hashes the file unless `before` is what was found of it as it still is."""
    return _look(path, bundled, before)[1]


def _look(path: Path, bundled: bool, before: Known | None) -> tuple[Signature | None, Found]:
    try:
        with files.opened(path) as (file, status):
            if (problem := _problem(status.st_size)) is not None:
                return None, Found(path, bundled, status.st_size, problem=problem)
            signature = _signature(status)
            if before is not None and before[0] == signature and before[1].bundled == bundled:
                return before
            source = _digest(file)
            believed = signature if 0 <= status.st_ctime < time.time() - YOUNG else None
            return believed, Found(path, bundled, status.st_size, source)
    except files.NoFileError as error:
        return None, Found(path, bundled, problem=str(error))
    except OSError as error:
        return None, Found(path, bundled, problem=f"the file can't be read: {files.reason(error)}")


def _digest(file: int) -> str:
    digest = hashlib.sha256()
    for chunk in files.chunks(file, LARGEST_FILE):  # it may grow while it is read
        digest.update(chunk)
    return digest.hexdigest()


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _signature_of(path: Path) -> Signature | None:
    try:
        return _signature(path.stat())
    except OSError:
        return None


def _problem(size: int) -> str | None:
    """Why a file can't be a plugin, whatever its content."""
    if size > LARGEST_FILE:
        return f"{size / 1024**2:.0f} MiB is too large: at most {LARGEST_FILE // 1024**2} MiB"
    return None if size else "expected a WebAssembly component, found an empty file"
