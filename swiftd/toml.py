"""Reads TOML that anybody may have written: of any content, in a time and a memory that its length bounds.

tomllib takes a time that grows with the square of a dotted key's parts, nests as deep as they are many, and raises
whatever Python raises. So keys of very many parts and numbers of very many digits, which nobody writes, are found
before it sees them. They are looked for outside of strings and comments: there they harm nothing.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 16
"""Parts of a dotted key. `plugins.NAME.settings.` and what lies below it has half as many."""
MOST_DIGITS = 500
"""Digits of a number, whatever its base. All numbers of 64 bits have 64 at most, those of a float that count 17."""

_QUOTED = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"{3,5}|\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""A string or a comment; one without an end goes as far as TOML lets it. No group is possessive: before Python 3.11.5
such a group may match what it should not."""
_DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}")
_NUMBER = re.compile(rf"(?<![\w.])[0-9][0-9A-Fa-fxo_]{{{MOST_DIGITS}}}")


def load(text: str) -> dict[str, Any]:
    """What a text says.

    Raises:
        ValueError: `line N: ...`.

    """
    bare = _QUOTED.sub(_stand_in, text)
    if found := _DOTTED.search(bare):
        raise ValueError(f"line {_line(bare, found)}: the key has more than {MOST_PARTS} parts")
    if found := _NUMBER.search(bare):
        raise ValueError(f"line {_line(bare, found)}: the number has more than {MOST_DIGITS} digits")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise ValueError(f"line {line}: {re.sub(r' .at .*$', '', str(error))}") from error
    except ValueError as error:
        raise ValueError(f"line 1: {error}") from error
    except RecursionError as error:
        raise ValueError(f"line {_deepest(bare)}: it is nested too deeply") from error


def _deepest(bare: str) -> int:
    """The line with the bracket that lies in the most others."""
    line = depth = most = 0
    found = 1
    for bracket in re.findall(r"[\[\]{}\n]", bare):
        line += bracket == "\n"
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > most:
            most, found = depth, line + 1
    return found


def _line(bare: str, found: re.Match[str]) -> int:
    return bare.count("\n", 0, found.start()) + 1


def _stand_in(found: re.Match[str]) -> str:
    """What has the place of a string, as a key's part has it, and of a comment; the lines stay as many."""
    return "" if found[0].startswith("#") else "_" + "\n" * found[0].count("\n")
