"""`swiftctl run`: start what a key stands for."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message


def run(options: Options) -> int:
    """Ask for the item, and start its command."""
    item = activate(options, options.text)
    if start(item):
        return STATUS_ANSWER
    show.complain(nothing_to_run(item))
    return STATUS_EMPTY


def activate(options: Options, key: str) -> Message:
    """The item of that key.

    Raises:
        DaemonError: the daemon does not know it any more.

    """
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        _, answer = connection.ask({"op": "activate", "key": key})
    finally:
        connection.close()
    item: Message = answer["item"]
    return item


def start(item: Message) -> bool:
    """Start the item's command; False if it has none."""
    command: str = item["exec"]
    if not command.strip():
        return False
    from swiftctl import detached  # noqa: PLC0415 - costs subprocess

    detached.start(command.encode(errors="replace"))
    return True


def nothing_to_run(item: Message) -> str:
    """What to say of an item without a command."""
    return f"there is nothing to run for '{show.harmless(item['name'])}': it only informs"
