"""`swiftctl open`: a file or an address, by the program that the desktop has for it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from swiftctl import STATUS_ANSWER, SwiftctlError, detached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

TOOLS = (("xdg-open",), ("gio", "open"))

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def run(options: Options) -> int:
    """Open it, detached.

    Raises:
        SwiftctlError: there is no such file, or nothing to open it with.

    """
    target = _target(options.text)
    for tool in TOOLS:
        if shutil.which(tool[0]):
            words = " ".join([*tool, shlex.quote(target)])
            detached.start(f"exec {words}".encode(errors="surrogateescape"))
            return STATUS_ANSWER
    raise SwiftctlError("nothing to open it with: install xdg-utils (xdg-open) or GLib's tools (gio)")


def _target(text: str) -> str:
    """The address, or the file's absolute path: what opens it starts in the home folder."""
    if not text:
        raise SwiftctlError("an address or a path is expected, not nothing")
    path = Path(text).absolute()
    if os.path.lexists(path):
        return str(path)
    if ADDRESS.match(text):
        return text
    raise SwiftctlError(f"there is no file {path}")
