"""Text that is too long, cut where a reader would cut it: never within a character, nor between it and its marks."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
LOOKAHEAD = 4
"""Bytes beyond the limit that are enough to see whether the next character belongs to the last."""
_LONGEST_CLUSTER = 64
"""Characters that one sign is taken to be made of, at most. Scotland's flag has 7; a thousand accents are a prank."""

_JOINER = "\u200d"


def shortened(utf8: bytes, most: int) -> str:
    """The start of a text, and an ellipsis, in at most `most` bytes; `utf8` is longer, and may end anywhere."""
    room = most - len(ELLIPSIS.encode())
    if room < 0:
        return ""
    end = len(utf8[:room].decode("utf-8", "ignore"))
    text = utf8[: most + LOOKAHEAD].decode("utf-8", "ignore")
    cut = end
    while cut > max(0, end - _LONGEST_CLUSTER) and cut < len(text) and _belong_together(text, cut):
        cut -= 1
    if cut < len(text) and _belong_together(text, cut):
        cut = end
    return text[:cut].rstrip() + ELLIPSIS


def _belong_together(text: str, at: int) -> bool:
    """Whether the character there is a part of the sign that begins before it."""
    if at == 0:
        return False
    before, here = text[at - 1], text[at]
    if _JOINER in (before, here) or unicodedata.category(here).startswith("M"):
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff" or "\U000e0020" <= here <= "\U000e007f":  # skin, and the letters of a flag
        return True
    if "\u1160" <= here <= "\u11ff":  # Hangul that is written in parts
        return True
    if _is_regional(here) and _is_regional(before):  # two letters make a flag: count those before
        start = at
        while start > 0 and _is_regional(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    return False


def _is_regional(c: str) -> bool:
    return "\U0001f1e6" <= c <= "\U0001f1ff"
