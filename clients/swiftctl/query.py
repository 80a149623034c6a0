"""`swiftctl query`: what the plugins answer to a text."""

from __future__ import annotations

import os
import sys
import time

from swiftctl import STATUS_ANSWER, STATUS_DAEMON_ERROR, STATUS_EMPTY, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message

COMPILING_SHARE = 0.9
"""Of the time left, how much the daemon may wait for compiling plugins: the rest is for it to answer without them."""


FZF_COLUMNS = 3
"""Of a row for `swiftctl fzf`: the key, which a note has not, the text asked in hexadecimal digits, and the name."""


def run(options: Options) -> int:
    """Ask, print, and tell by the status whether there were items."""
    line, answer = ask(options, options.text)
    items: list[Message] = answer.get("items", [])
    errors: list[Message] = answer.get("errors", [])
    if options.form == "json":
        show.write(show.json_line(line))
    elif options.form == "tsv":
        show.write("".join(_tsv(item) for item in items).encode(errors="replace"))
    elif options.form == "fzf":
        _for_fzf(options.text, answer)
        return STATUS_ANSWER
    else:
        show.write("".join(show.harmless(item["name"]) + "\n" for item in items).encode(errors="replace"))
    for error in errors:
        show.complain(show.harmless(f"{error['plugin']}: {error['message']} ({error['code']})"))
    if items:
        return STATUS_ANSWER
    if not errors and options.form == "names" and show.is_terminal(sys.stdout):
        show.complain("no plugin has an answer to this: `swiftctl plugins` lists them with their triggers")
    return STATUS_DAEMON_ERROR if errors else STATUS_EMPTY


def ask(options: Options, text: str) -> tuple[str, Message]:
    """The answer, as received and as understood. As long as plugins compile, it is waited for."""
    deadline = time.monotonic() + options.timeout
    compiling = _Compiling()
    connection = connect(options, deadline)
    try:
        request: Message = {"op": "query", "input": text}
        if options.limit is not None:
            request["limit"] = options.limit
        request["wait_ms"] = max(0, int((deadline - time.monotonic()) * 1000 * COMPILING_SHARE))
        return connection.ask(request, compiling.heard)
    finally:
        compiling.progress.clear()
        connection.close()


def _tsv(item: Message) -> str:
    return f"{show.harmless(item['key'])}\t{show.harmless(item['name'])}\n"


def _for_fzf(text: str, answer: Message) -> None:
    """Write a row for each item and each note. The text may hold anything, so it is packed."""
    from swiftctl import notes  # noqa: PLC0415 - not on the way of others

    asked = os.fsencode(text).hex()  # as fzf gave it
    rows = [(item["key"], item["name"]) for item in answer["items"]]
    if text or answer["errors"]:  # before anything is typed, nothing was sought
        rows += [("", note) for note in notes.of(answer)]
    lines = [f"{show.harmless(key)}\t{asked}\t{show.harmless(name)}\n" for key, name in rows]
    show.write("".join(lines).encode(errors="replace"))


class _Compiling:
    """Shows on a terminal which plugins the daemon compiles while the query waits for them."""

    def __init__(self) -> None:
        self.progress = show.Progress()
        self._names: list[str] = []

    def heard(self, event: Message) -> None:
        name = event.get("plugin") or ""
        if name in self._names:
            self._names.remove(name)
        if event.get("event") == "compiling":
            self._names.append(name)
        if self._names:
            self.progress.say(f"compiling {', '.join(self._names)} …")
        else:
            self.progress.clear()
