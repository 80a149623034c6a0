"""`swiftctl plugins`: every plugin the daemon knows, and how it fares."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message

HEADS = ["NAME", "TRIGGER", "STATE", "SIZE", "LOAD", "ERROR"]
STATES = {"ready": "green", "refused": "red", "failing": "red", "compiling": "yellow", "disabled": "dim"}


def run(options: Options) -> int:
    """Ask and print."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        line, answer = connection.ask({"op": "plugins"})
    finally:
        connection.close()
    plugins: list[Message] = answer.get("plugins", [])
    if options.form == "json":
        show.write(show.json_line(line))
    elif plugins:
        show.write(show.table(HEADS, [_row(plugin) for plugin in plugins], [{}, {}, STATES, {}, {}, {}]))
    else:
        show.complain(
            "the daemon has no plugins: put .wasm files into the folder `swift/plugins` of your configuration"
        )
    return STATUS_ANSWER if plugins else STATUS_EMPTY


def _row(plugin: Message) -> list[str]:
    trigger = plugin.get("trigger")
    return [
        plugin["name"],
        '""' if trigger == "" else trigger or "",  # nothing: not known yet; quotes: takes what no other claims
        plugin["state"],
        show.size(plugin.get("size") or 0),
        show.milliseconds((plugin.get("times") or {}).get("load_ms")),
        plugin.get("error") or "",
    ]
