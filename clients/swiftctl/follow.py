"""Requests that go on until somebody has enough: `watch`, and `logs` that follows."""

from __future__ import annotations

import select
import time

from swiftctl import DaemonError, NoDaemonError
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from swiftctl import Options
    from swiftctl.jsonlines import Message


def follow(options: Options, request: Message) -> Iterator[tuple[str, Message]]:
    """Every frame of the answer, as received and as understood, as it comes.

    Raises:
        DaemonError: the request was refused.
        NoDaemonError: the daemon is gone.

    """
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        connection.send({"id": 1, **request})
        while True:
            select.select([connection], [], [])
            connection.deadline = time.monotonic() + options.timeout
            lines = connection.receive()
            if lines is None:
                raise NoDaemonError(f"the daemon at {connection.path} is gone")
            for line in lines:
                answer = connection.understand(line)
                if answer.get("type") == "error":
                    raise DaemonError(f"{answer.get('message')} ({answer.get('code')})", line)
                yield line, answer
    finally:
        connection.close()
