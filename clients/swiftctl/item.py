"""`swiftctl item`: what a key stands for, without starting it. Previews show this."""

from __future__ import annotations

from swiftctl import STATUS_ANSWER, STATUS_EMPTY, show
from swiftctl.run import activate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options


def run(options: Options) -> int:
    """Ask for the item, and print its command."""
    item = activate(options, options.text)
    command = item["exec"].strip()
    lines = [show.harmless(line) for line in command.split("\n")] if command else []
    show.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
    return STATUS_ANSWER if command else STATUS_EMPTY
