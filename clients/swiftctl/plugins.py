"""`swiftctl plugins`: every plugin the daemon knows, and how it fares."""

from __future__ import annotations

import sys
import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, show
from swiftctl.follow import follow
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message

HEADS = ["NAME", "TRIGGER", "STATE", "LANGUAGE", "SIZE", "LOAD", "ERROR"]
STATES = {"ready": "green", "refused": "red", "failing": "red", "compiling": "yellow", "disabled": "dim"}
CLEAR = "\x1b[H\x1b[2J"


def run(options: Options) -> int:
    """Ask and print; with `--watch` again after every change, until interrupted."""
    if options.watch:
        _watch(options)
        return STATUS_ANSWER
    line, answer = _ask(options)
    if options.form == "json":
        show.write(show.json_line(line))
    else:
        show.write(_report(answer))
        if not answer["plugins"]:
            show.complain("the daemon has no plugins: put .wasm files into `swift/plugins` of your configuration")
    return STATUS_ANSWER if answer["plugins"] else STATUS_EMPTY


def _ask(options: Options) -> tuple[str, Message]:
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        return connection.ask({"op": "plugins"})
    finally:
        connection.close()


def _watch(options: Options) -> None:
    """On a terminal the table, kept up to date; elsewhere it once, and then a line for each change."""
    live = options.form != "json" and show.is_terminal(sys.stdout)
    line, answer = _ask(options)
    if live:
        show.write(CLEAR.encode() + _report(answer))
    else:
        show.write(show.json_line(line) if options.form == "json" else _report(answer))
    for received, event in follow(options, {"op": "watch"}):
        if live:
            printed = show.write(CLEAR.encode() + _report(_ask(options)[1]))
        elif options.form == "json":
            printed = show.write(show.json_line(received))
        else:
            message = f": {event['message']}" if event["message"] else ""
            printed = show.write(f"{show.harmless(event['plugin'] + ' ' + event['event'] + message)}\n".encode())
        if not printed:
            return


def _report(answer: Message) -> bytes:
    """The table, and below it what somebody should do something about."""
    plugins: list[Message] = answer["plugins"]
    table = show.table(HEADS, [_row(p) for p in plugins], [{}, {}, STATES, {}, {}, {}, {}]) if plugins else b""
    notes = [f"config.toml: {answer['problem']}"] if answer.get("problem") else []
    notes += [*answer.get("troubles", ()), *(f"config.toml, {notice}" for notice in answer.get("notices", ()))]
    for plugin in plugins:
        notes += [f"{plugin['name']}: {problem}" for problem in plugin.get("problems", ())]
        notes += [f"{plugin['name']}: denied {show.denial(found)}" for found in plugin.get("denied", ())]
    return table + "".join(f"{show.harmless(note)}\n" for note in notes).encode(errors="replace")


def _row(plugin: Message) -> list[str]:
    trigger = plugin.get("trigger")
    return [
        plugin["name"],
        '""' if trigger == "" else trigger or "",  # nothing: not known yet; quotes: takes what no other claims
        plugin["state"],
        plugin.get("language") or "",
        show.size(plugin.get("size") or 0),
        show.milliseconds((plugin.get("times") or {}).get("load_ms")),
        plugin.get("error") or "",
    ]
