"""The rows of a menu that prints the text of the one that was chosen, or the text that was typed.

What comes back is not always what was given: tofi prints é as e and an accent, others trim or fold blanks. So a row
is found by its text, and if it is not there, by its text with accents put together and blanks folded. No two rows are
the same even so: the second gets ` (2)`.

Menus show the rows that match what is typed, and take the first of them for it. A note must not be taken for what was
typed, so there is an invisible character between all of its own: it is found by what consists of single characters
at most, and nobody can type it.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from swiftctl import show

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_MAX = 200
"""Characters of a row. dmenu cuts what it reads into pieces of some thousand bytes."""

UNTYPED = "\u2060"  # a word joiner
"""What stands between the characters of a note: no menu shows anything for it, and nobody types it."""


class Row(NamedTuple):
    """What a row stands for: an item of that key, or, without one, a text that is asked next."""

    key: str
    asks: str


class Rows:
    """Rows in their order."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._folded: dict[str, Row] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def add_item(self, name: str, key: str) -> None:
        """Add a row for an item."""
        self._add(_cut(show.harmless(name).strip()) or "(no name)", Row(key, ""))

    def add_note(self, note: str, asks: str) -> None:
        """Add a row that starts nothing; choosing it asks a text."""
        self._add(UNTYPED.join(_cut(show.harmless(note).strip())), Row("", asks))

    def find(self, printed: str) -> Row | None:
        """The row that a menu means with this text; None if the text was typed."""
        return self._rows.get(printed) or self._folded.get(_fold(printed))

    def _add(self, name: str, row: Row) -> None:
        text, number = name, 1
        while _fold(text) in self._folded:
            number += 1
            text = f"{name} ({number})"
        self._rows[text] = self._folded[_fold(text)] = row


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _cut(text: str) -> str:
    return text if len(text) <= NAME_MAX else f"{text[: NAME_MAX - 1]}…"
