"""How to call this very swiftctl again: from rofi, from fzf, from what an item starts."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def words() -> list[str]:
    """The command line that calls it."""
    script = Path(sys.argv[0]).absolute()
    for ours in (script, Path(sys.executable).with_name("swiftctl")):
        if ours.name == "swiftctl" and ours.is_file() and os.access(ours, os.X_OK):
            return [str(ours)]
    return [sys.executable, "-m", "swiftctl"]


def quoted() -> str:
    """The same, for a shell."""
    return shlex.join(words())


def folder() -> str | None:
    """The folder where it is found by its name, if there is one."""
    path, *more = words()
    return None if more else str(Path(path).parent)
