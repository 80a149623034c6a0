"""A socket that a service manager listens on and hands over, by the rules of sd_listen_fds(3)."""

from __future__ import annotations

import logging
import os
import socket

from swiftd.errors import DaemonError

FIRST_PASSED = 3
"""The descriptor that sd_listen_fds(3) starts from."""

_log = logging.getLogger(__name__)


def passed() -> socket.socket | None:
    """The socket that a service manager listens on for us, if it is us who is meant."""
    count = os.environ.pop("LISTEN_FDS", "")
    process = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    if int(count) > 1:
        raise DaemonError(f"{count} sockets were passed, where one is expected: see swiftd.socket")
    try:
        taken = socket.socket(fileno=FIRST_PASSED)
    except OSError as error:
        raise DaemonError(f"what was passed is no socket ({error.strerror}): see swiftd.socket") from error
    taken.set_inheritable(False)
    if (taken.family, taken.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not _listens(taken):
        taken.close()
        raise DaemonError("what was passed is no Unix stream socket that is listened on: see swiftd.socket")
    taken.setblocking(False)
    _log.info("a service manager listens on %s", name(taken))
    return taken


def _listens(taken: socket.socket) -> bool:
    return bool(taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def name(taken: socket.socket) -> str:
    """The socket's address as systemd writes it, with `@` for an abstract one."""
    return os.fsdecode(taken.getsockname()).replace("\0", "@", 1)
