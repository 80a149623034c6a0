"""`swiftctl reload`, `enable` and `disable`: they return when it is done."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message


def run(options: Options) -> int:
    """Ask for it; what the daemon has against it is an error."""
    request: Message = {"op": options.op}
    if options.text:
        request["plugin"] = options.text
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        connection.ask(request)
    finally:
        connection.close()
    return STATUS_ANSWER
