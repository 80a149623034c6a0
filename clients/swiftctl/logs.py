"""`swiftctl logs`: what plugins printed, and how they failed."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, show
from swiftctl.follow import follow
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message

LEVELS = {"error": "red", "warning": "yellow", "debug": "dim"}


def run(options: Options) -> int:
    """Print what there is; with `--follow` also what comes, until interrupted."""
    request: Message = {"op": "logs"}
    if options.text:
        request["plugin"] = options.text
    if options.follow:
        for line, answer in follow(options, request | {"follow": True}):
            if not _print(options, line, answer):
                break
        return STATUS_ANSWER
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        line, answer = connection.ask(request)
    finally:
        connection.close()
    _print(options, line, answer)
    return STATUS_ANSWER if answer["lines"] else STATUS_EMPTY


def _print(options: Options, line: str, answer: Message) -> bool:
    if options.form == "json":
        return show.write(show.json_line(line))
    return show.write("".join(f"{in_words(entry)}\n" for entry in answer["lines"]).encode(errors="replace"))


def in_words(entry: Message) -> str:
    """One line of a log: when, who, how bad, what."""
    when = time.strftime("%H:%M:%S", time.localtime(entry["time"]))
    level = show.colour(entry["level"], LEVELS.get(entry["level"], ""))
    return f"{when} {show.harmless(entry['plugin'])} {level}: {show.harmless(entry['text'])}"
