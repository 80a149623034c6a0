"""Who listens at a socket's path now: nobody, another daemon of ours, the service manager, or another user."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from swiftd.errors import DaemonError

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_LIMIT = 1.0
"""Seconds for a socket in our place to take a connection. The kernel does that at once, or never."""


def is_served(path: Path) -> bool:
    """Whether somebody serves there.

    Raises:
        DaemonError: it is another user, so that no client of ours would talk to him.

    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_LIMIT)
        try:
            probe.connect(str(path))
        except (BlockingIOError, TimeoutError):  # so many wait there that no more are taken
            return True
        except OSError:
            return False
        if (user := user_of(probe)) != os.geteuid():
            raise DaemonError(f"{path} is served by user {user}, not by you: remove it, or choose one with --socket")
        return True


def leads_to(path: Path, passed: socket.socket) -> bool:
    """Whether the path leads to a socket that was passed: of that only who listens there can be known."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_LIMIT)
        try:
            probe.connect(str(path))
            return _listener_of(probe) == _listener_of(passed)
        except (BlockingIOError, TimeoutError):  # so many wait there that no more are taken
            return True
        except OSError:
            return False


def _listener_of(connection: socket.socket) -> bytes:
    """The process, user and group that listen at a connection's other end; of a listening socket, at this one."""
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)


def user_of(connection: socket.socket) -> int:
    """The number of the user who listens at a connection's other end; of a listening socket, at this one."""
    _, user, _ = struct.unpack("iII", _listener_of(connection))
    return int(user)
