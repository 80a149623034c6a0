"""What a person or a script gets to see.

Standard output carries answers, as UTF-8 whatever the locale; standard error carries everything else. Text from
plugins never reaches a line or a terminal raw: a newline would forge a row, an escape sequence would drive the
terminal. A reader that went away is no failure. Colours and progress appear on terminals only (`NO_COLOR` respected).
"""

from __future__ import annotations

import os
import sys

from swiftctl import SwiftctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from swiftctl.jsonlines import Message

_SPACES = dict.fromkeys((*range(0x09, 0x0E), 0x85, 0x2028, 0x2029), " ")

CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def harmless(text: str) -> str:
    """The text on one line: line breaks and tabs become spaces, what else is not harmless U+FFFD."""
    if text.isprintable():
        return text
    from swiftd.text import harmless  # noqa: PLC0415 - the daemon's own rule, for the few texts that may need it

    return harmless(text.translate(_SPACES))


def json_line(line: str) -> bytes:
    """A line of JSON as received, but with escapes for what JSON lets through raw and a terminal or an eye minds.

    To a program it means the same.
    """
    if not line.isprintable():
        codes = (*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
        table = {code: f"\\u{code:04x}" for code in codes}
        # Tags, letters that nobody sees: as JSON writes what is beyond four digits, in two halves.
        table |= {code: f"\\udb40\\u{code - 0xE0000 + 0xDC00:04x}" for code in range(0xE0000, 0xE0080)}
        line = line.translate(table)
    return (line + "\n").encode(errors="replace")


def write(data: bytes) -> bool:
    """Write to standard output, through to its end. False if nobody reads it, which is no failure.

    Raises:
        SwiftctlError: it can't be written.

    """
    if sys.stdout is None:  # closed before we started
        raise SwiftctlError("cannot write the answer: standard output is closed")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer goes nowhere, or the interpreter would try, and fail, once more at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise SwiftctlError(f"cannot write the answer: {error.strerror}") from None
        return False
    return True


def complain(message: str) -> None:
    """A message on standard error, under the program's name. Its lines stay lines."""
    _to_stderr("".join(f"{harmless(line)}\n" for line in f"swiftctl: {message}".split("\n")))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal that understands escape sequences."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # closed
        return False


def colour(text: str, name: str) -> str:
    """The text in that colour, or as it is where standard output takes none."""
    if name not in CODES or os.environ.get("NO_COLOR") or not is_terminal(sys.stdout):
        return text
    return f"\x1b[{CODES[name]}m{text}\x1b[0m"


def table(heads: list[str], rows: list[list[str]], colours: list[dict[str, str]] | None = None) -> bytes:
    """Columns under their heads, two spaces apart; `colours` gives for each column the colour of a cell's text."""
    lines = [[harmless(cell) or "-" for cell in row] for row in [heads, *rows]]
    widths = [max(columns(line[column]) for line in lines) for column in range(len(heads))]
    painted = colours or [{}] * len(heads)
    text = ""
    for number, line in enumerate(lines):
        cells = [cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        names = ["bold" if not number else of.get(cell, "") for cell, of in zip(line, painted, strict=True)]
        text += "  ".join(map(colour, cells, names)).rstrip() + "\n"
    return text.encode(errors="replace")


def columns(text: str) -> int:
    """How many columns of a terminal the text takes, by the rules that terminals share: wide characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width  # noqa: PLC0415 - the text is seldom of that kind

    count = 0
    joined = False
    for c in text:
        if not joined and category(c) not in ("Mn", "Me", "Cf"):
            count += 2 if east_asian_width(c) in "WF" else 1
        joined = c == "\u200d"
    return count


def denial(found: Message) -> str:
    """What a plugin tried and had not, and what would give it."""
    what = f"{harmless(str(found['capability']))}, {found['count']} x"
    if not found.get("grant"):
        return f"{what}: no plugin gets that"
    section, _, grant = str(found["grant"]).partition("\n")
    return f"{what}: `{harmless(grant)}` under `{harmless(section)}` in config.toml grants it"


def size(count: float) -> str:
    """Bytes for people: 370 KB."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:  # noqa: PLR2004 - as units do
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1000
    return f"{count:.1f} GB"


def milliseconds(value: float | None) -> str:
    """A duration for people: 0.31 ms, 150 ms, 4.7 s."""
    if value is None:
        return ""
    if value >= 1000:  # noqa: PLR2004 - a second
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"  # noqa: PLR2004 - two digits either way


class Progress:
    """One line on a terminal that says what is waited for; nothing at all elsewhere."""

    def __init__(self) -> None:
        self._on = is_terminal(sys.stderr)
        self._shown = False

    def say(self, text: str) -> None:
        """Replace the line."""
        if self._on:
            _to_stderr(f"\r\x1b[K{harmless(text)}")
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            _to_stderr("\r\x1b[K")
            self._shown = False


def _to_stderr(text: str) -> None:
    try:
        sys.stderr.write(text.encode(errors="backslashreplace").decode())  # a path may hold any bytes
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed: there is nobody to tell
        pass
