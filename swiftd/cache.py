"""The folder where finished artefacts are kept: made, made again, or replaced while it can't be used.

Nobody is asked before a cache is removed, mounted over, or the disk below it becomes read-only, so it is looked at
before each compilation, not once. What it held is in service still, and is compiled anew where a worker needs it.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from swiftd import paths

_log = logging.getLogger(__name__)


class Cache:
    """A folder that can be written to, the chosen one whenever possible."""

    def __init__(self, chosen: Path, refuge: Path | None = None) -> None:
        self._chosen = chosen
        self._refuge = refuge
        """Where a temporary one is made: a folder that no plugin may be granted; None for the system's."""
        self._temporary: Path | None = None
        self._told = self._noted = ""
        self.folder = chosen
        """Where artefacts are now."""

    @property
    def folders(self) -> list[Path]:
        """Every folder in which there may be artefacts."""
        return [self._chosen, *([self._temporary] if self._temporary is not None else [])]

    def ready(self) -> Path:
        """The folder, after it was seen that it is there, private, and can be written to. Blocks shortly.

        Raises:
            OSError: neither that nor a temporary one can be used.

        """
        try:
            str(self._chosen).encode()
            paths.make_private(self._chosen)
            _try(self._chosen)
        except (OSError, UnicodeEncodeError) as error:
            if str(error) != self._told:
                _log.warning("the cache can't be used: %s; each start compiles every plugin anew", error)
                self._told = str(error)
            self.folder = self._made_for_now()
        else:
            if self.folder != self._chosen:
                _log.info("the cache can be used again")
            self.folder, self._told = self._chosen, ""
        self._note_what_noexec_costs()
        return self.folder

    def _made_for_now(self) -> Path:
        if self._temporary is None or not self._temporary.is_dir():
            if self._refuge is not None:
                self._refuge.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(prefix="swiftd-cache-", dir=self._refuge))
        return self._temporary

    def _note_what_noexec_costs(self) -> None:
        note = ""
        with suppress(OSError):
            if os.statvfs(self.folder).f_flag & os.ST_NOEXEC:
                note = (
                    f"the cache {self.folder} is on a file system mounted noexec: each sandbox process keeps a copy of "
                )
                note += "every compiled plugin (30 MB of one in Python) instead of sharing one"
        if note and note != self._noted:
            _log.info("%s", note)
        self._noted = note

    def close(self) -> None:
        """Remove the temporary one."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _try(folder: Path) -> None:
    """Whether a file can be made there.

    Raises:
        OSError: it can't.

    """
    with tempfile.TemporaryFile(dir=folder):
        pass
