"""What sandbox processes write to stderr, such as why one crashed: a few lines of it go to the daemon's log.

They get a connection that can only be written to, and nothing of the daemon's own stderr. That may be a terminal, from
which a process that was taken over could read what is typed; or the journal, where it could write in swiftd's name. It
is no pipe: by /proc that could be opened anew, to read what others wrote.

It is read when a new process is made, which is when one has ended, and when they all end. A process that floods it
fills it, once: to write there never waits, and what there is no room for is lost.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import suppress

from swiftd.text import one_line

MOST = 256 * 1024
"""Bytes that are read at once: more than a connection holds as a rule."""
LONGEST_LINE = 300
"""Characters of a line that are passed on."""
MOST_LINES = 60
"""Lines that are passed on in `PERIOD`: two tracebacks."""
PERIOD = 60.0
"""Seconds."""

_log = logging.getLogger(__name__)


class LastWords:
    """The daemon's end of one such connection."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None
        self._since = -PERIOD
        self._passed_on = 0

    def open(self) -> socket.socket:
        """Make a connection, in the place of the last. Returns the end to write to, which the caller closes.

        Raises:
            OSError: there is none to be had.

        """
        self.close()
        self._ours, theirs = socket.socketpair()
        for end in (self._ours, theirs):
            end.setblocking(False)
        theirs.shutdown(socket.SHUT_RD)
        return theirs

    def pass_on(self) -> None:
        """Log what has been written since the last time. Never waits."""
        said = b""
        if self._ours is not None:
            with suppress(OSError):  # nothing, as a rule
                said = self._ours.recv(MOST)
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
        """Pass on the rest, and end the connection."""
        if self._ours is not None:
            self.pass_on()
            self._ours.close()
            self._ours = None
