"""Which plugins the user switched off by `disable`: remembered in the state folder, not in config.toml.

config.toml is the user's own file, with his comments; a program that rewrites it loses something sooner or later.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from typing import TYPE_CHECKING

import msgspec

from swiftd import files, paths

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 1024 * 1024
"""Bytes. Four thousand names of the longest kind."""

_log = logging.getLogger(__name__)


class Switches:
    """The names that are switched off, and the file that remembers them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._off: set[str] = set()
        self._saving = threading.Lock()
        try:
            self._off = msgspec.json.decode(files.read(file, LARGEST_FILE), type=set[str])
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:  # msgspec's errors are of the second kind, and so is what is no UTF-8
            reason = files.reason(error) if isinstance(error, OSError) else error
            _log.warning("%s can't be read, so no plugin is switched off by it: %s", file, reason)

    def is_off(self, name: str) -> bool:
        """Whether a plugin is switched off."""
        return name in self._off

    def set(self, name: str, *, on: bool) -> None:
        """Switch a plugin, for this daemon. `save` is for those to come."""
        if on:
            self._off.discard(name)
        else:
            self._off.add(name)

    def save(self) -> None:
        """Remember what is switched off now. Blocks until the disk has it: for a thread.

        Raises:
            OSError: it can't be remembered.

        """
        with self._saving:  # who writes last writes what is so by then
            self._write()

    def _write(self) -> None:
        paths.make_private(self._file.parent)
        with tempfile.NamedTemporaryFile(dir=self._file.parent, prefix=".new-", delete=False) as file:
            try:
                file.write(msgspec.json.encode(sorted(self._off)))
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._file)  # noqa: PTH105 - names
            except OSError:
                os.unlink(file.name)  # noqa: PTH108 - a name
                raise
