"""`swiftctl ping`: who serves here, and how far away it is."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER, show
from swiftctl.wire import PROTOCOL, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options


def run(options: Options) -> int:
    """Shake hands twice and print the second round's time: the first one includes being accepted."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        connection.ask({"op": "hello", "protocol": PROTOCOL})
        start = time.perf_counter()
        line, answer = connection.ask({"op": "hello", "protocol": PROTOCOL})
        took = (time.perf_counter() - start) * 1000
    finally:
        connection.close()
    if options.form == "json":
        show.write(show.json_line(line))
    else:
        server, version = (show.harmless(str(answer.get(field))) for field in ("server", "version"))
        text = f"{server} {version}, protocol {answer.get('protocol')}, {show.milliseconds(took)}\n"
        show.write(text.encode(errors="replace"))
    return STATUS_ANSWER
