"""`swiftctl stop`: end the daemon, if there is one."""

from __future__ import annotations

import os
import select
import signal
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, DaemonError, NoDaemonError, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options


def run(options: Options) -> int:
    """Ask it who it is, tell it to end, and wait until it has. Empty status: there was none."""
    options.start = False
    try:
        connection = connect(options, time.monotonic() + options.timeout)
    except NoDaemonError as error:
        show.complain(str(error).partition(":")[0])
        return STATUS_EMPTY
    try:
        _, answer = connection.ask({"op": "stats"})
    finally:
        connection.close()
    try:
        daemon = os.pidfd_open(answer["pid"])
    except ProcessLookupError:
        return STATUS_ANSWER
    try:
        signal.pidfd_send_signal(daemon, signal.SIGTERM)
        ended, _, _ = select.select([daemon], [], [], options.timeout)
    finally:
        os.close(daemon)
    if not ended:
        raise DaemonError(f"the daemon, process {answer['pid']}, does not end: kill -9 it")
    return STATUS_ANSWER
