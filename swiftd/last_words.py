"""What sandbox processes write to stderr, such as why one crashed: a few lines of it go to the daemon's log.

They get a pipe that can only be written to, and nothing of the daemon's own stderr. That may be a terminal, from which
a process that was taken over could read what is typed; or the journal, where it could write in swiftd's name.

The pipe is read when a new process is made, which is when one has ended, and when they all end. A process that floods
it fills it, once: to write there never waits, and what there is no room for is lost.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress

from swiftd.text import one_line

PIPE = 64 * 1024
"""Bytes that a pipe holds."""
LONGEST_LINE = 300
"""Characters of a line that are passed on."""
MOST_LINES = 60
"""Lines that are passed on in `PERIOD`: two tracebacks."""
PERIOD = 60.0
"""Seconds."""

_log = logging.getLogger(__name__)


class LastWords:
    """The daemon's end of one such pipe."""

    def __init__(self) -> None:
        self._pipe = -1
        self._since = -PERIOD
        self._passed_on = 0

    def open(self) -> int:
        """Make a pipe, in the place of the last. Returns the end to write to, which the caller closes.

        Raises:
            OSError: there is none to be had.

        """
        self.close()
        self._pipe, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return end

    def pass_on(self) -> None:
        """Log what has been written since the last time. Never waits."""
        said = b""
        if self._pipe >= 0:
            with suppress(BlockingIOError):
                said = os.read(self._pipe, PIPE)
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        if not lines:
            return
        if time.monotonic() - self._since > PERIOD:
            self._since, self._passed_on = time.monotonic(), 0
        kept = lines[: MOST_LINES - self._passed_on]
        self._passed_on += len(kept)
        for line in kept:
            _log.warning("a sandbox process says: %s", one_line(line[:LONGEST_LINE]))
        if len(kept) < len(lines) and kept:
            _log.warning("sandbox processes say more than %d lines a minute: the rest is left out", MOST_LINES)

    def close(self) -> None:
        """Pass on the rest, and give the pipe back."""
        if self._pipe >= 0:
            self.pass_on()
            os.close(self._pipe)
            self._pipe = -1
