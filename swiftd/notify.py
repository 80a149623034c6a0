"""The readiness protocol of systemd (sd_notify(3)): `swiftctl` waits for the daemon it starts by the same words."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def send(state: str) -> None:
    """Tell who started us, if they asked: lines such as `READY=1`. Never blocks, never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
