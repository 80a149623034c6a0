"""`swiftctl stop`: end the daemon, if there is one, also where it does not answer.

Only a process that is proven to be this user's daemon is signalled: the one that holds the lock of the socket, or,
where the socket was passed to it and there is no lock, the one that both listens there and answers. Where systemd
listens, the process that listens is systemd itself: it is asked to end its service.
"""

# ruff: noqa: PTH109, PTH118

from __future__ import annotations

import os
import select
import signal
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, DaemonError, SwiftctlError, holder, show
from swiftctl.holder import Process
from swiftctl.wire import Connection, default_socket, unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

ANSWER_LIMIT = 2.0
"""Seconds for a daemon to say who it is, where it has no lock."""

GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL, as in swiftd.service. An orderly end takes 0.1 s."""

KILLED_LIMIT = 2.0
"""Seconds until a killed process is gone, and its sandbox processes with it."""

YOURSELF = "end it yourself, or tell who starts it to do so"


def run(options: Options) -> int:
    """End it, and wait until it has. Empty status: there was none.

    Raises:
        StrangerError: another user listens there.
        DaemonError: it can't be ended, or can't be told from another program.

    """
    path = os.path.join(os.getcwd(), options.socket) if options.socket else default_socket()
    if (ended := _through_systemd(path)) is None:
        ended = by_hand(path, options)
    if ended:
        return STATUS_ANSWER
    show.complain(f"nobody listens at {path}")
    return STATUS_EMPTY


def by_hand(path: str, options: Options) -> bool:
    """End a daemon without systemd; False if there is none.

    Raises:
        StrangerError: another user listens there.
        DaemonError: as with `run`.

    """
    daemon = holder.find(path) or _who_answers(path, options)
    if daemon is None:
        return False
    try:
        _end(daemon, min(GRACE, options.timeout))
    finally:
        daemon.close()
    return True


def _through_systemd(path: str) -> bool | None:
    """End systemd's service, if it serves there; False if it does not run now, None if systemd does not listen there.

    A connection would only start it.
    """
    from swiftctl import launch, service  # noqa: PLC0415 - service imports this module

    if path != launch.session_socket() or not (service.is_installed() and service.has_manager()):
        return None
    if service.is_active(service.SERVICE):
        service.systemctl("stop", service.SERVICE)
        return True
    return False if service.is_active(service.SOCKET) else None


def _who_answers(path: str, options: Options) -> Process | None:
    """The process that listens there, if it is the one that answers; None if nobody listens."""
    try:
        connection = Connection(path, time.monotonic() + min(ANSWER_LIMIT, options.timeout))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise unreachable(path, error) from None
    except DaemonError:
        raise DaemonError(f"{path} takes no connection, and whose it is can't be known: {YOURSELF}") from None
    found = None
    try:
        found = Process(connection.pid)  # before it answers, or the number could be another one's by now
        if connection.ask({"op": "stats"})[1].get("pid") == found.pid:
            return found
    except (OSError, SwiftctlError):
        pass
    finally:
        connection.close()
    if found:
        found.close()
    raise DaemonError(f"process {connection.pid} listens at {path}, and is not known to be swiftd: {YOURSELF}")


def _end(daemon: Process, grace: float) -> None:
    """Tell the daemon to end, also one that is stopped, and see to it that it and all its processes do."""
    sandboxes = daemon.descendants()
    try:
        daemon.send(signal.SIGTERM)
        for process in (daemon, *sandboxes):
            process.send(signal.SIGCONT)
        if not _ends(daemon, grace):
            daemon.send(signal.SIGKILL)
            show.complain(f"the daemon did not end within {grace:g} s, and was killed")
            if not _ends(daemon, KILLED_LIMIT):
                raise DaemonError(f"the daemon, process {daemon.pid}, can't be ended: the kernel holds it")
        for process in sandboxes:
            if not _ends(process, KILLED_LIMIT):
                process.send(signal.SIGKILL)
    finally:
        for process in sandboxes:
            process.close()


def _ends(process: Process, patience: float) -> bool:
    ended, _, _ = select.select([process], [], [], patience)
    return bool(ended)
