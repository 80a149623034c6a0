"""The readiness protocol of systemd (sd_notify(3)): `swiftctl` waits for the daemon it starts by the same words."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from swiftd.catalog import Catalog

ATTENTIVE = 3600.0
"""Seconds between two signs of life where nobody asked for them more often."""


def send(state: str) -> None:
    """Tell who started us, if they asked: lines such as `READY=1`. Never blocks, never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)


async def keep_informed(catalog: Catalog) -> None:
    """Tell the service manager how the plugins fare, and, if it wants to know, that the event loop still turns."""
    told = ""
    with catalog.changes() as changes:
        while True:
            status = ", ".join(f"{count} {state}" for state, count in sorted(catalog.counts().items())) or "none"
            sign = "WATCHDOG=1\n" if _watchdog() else ""
            if sign or status != told:
                send(f"{sign}STATUS=Plugins: {status}")
                told = status
            with trio.move_on_after(_watchdog() or ATTENTIVE):
                await changes.receive()


def _watchdog() -> float:
    """Seconds between two signs of life: half of what the service manager allows; 0 where it wants none."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(wanted) / 2e6 if wanted.isdecimal() and process == str(os.getpid()) else 0.0
