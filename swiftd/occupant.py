"""Who is at the other end of a socket: whose process that is, and at a path, whether anybody listens there at all."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from swiftd.errors import DaemonError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trio

    Connected = socket.socket | trio.socket.SocketType

ANSWER_LIMIT = 1.0
"""Seconds for a socket in our place to take a connection. The kernel does that at once, or never."""


def is_served(path: Path) -> bool:
    """Whether somebody serves there.

    Raises:
        DaemonError: it is another user, so that no client of ours would talk to him.

    """

    def is_ours(probe: socket.socket) -> bool:
        if (user := user_of(probe)) != os.geteuid():
            raise DaemonError(f"{path} is served by user {user}, not by you: remove it, or choose one with --socket")
        return True

    return _tried(path, is_ours)


def leads_to(path: Path, passed: socket.socket) -> bool:
    """Whether the path leads to a socket that was passed: of that only who listens there can be known."""
    return _tried(path, lambda probe: _peer_of(probe) == _peer_of(passed))


def _tried(path: Path, judge: Callable[[socket.socket], bool]) -> bool:
    """What is thought of a connection to whoever listens there; False where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_LIMIT)
        try:
            probe.connect(str(path))
        except (BlockingIOError, TimeoutError):  # so many wait there that no more are taken
            return True
        except OSError:
            return False
        return judge(probe)


def _peer_of(connection: Connected) -> bytes:
    """The process, user and group at a connection's other end; of a listening socket, of who listens."""
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)


def user_of(connection: Connected) -> int:
    """The number of the user at a connection's other end; of a listening socket, of who listens."""
    _, user, _ = struct.unpack("iII", _peer_of(connection))
    return int(user)
