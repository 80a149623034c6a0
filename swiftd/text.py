"""What text from outside may hold when it goes to a line, a terminal or a menu: the one rule, for daemon and client.

Harmful is what drives a terminal, breaks a line, turns the writing direction round, hides letters in tags, or is no
character at all. `str.isprintable` is no measure: it also refuses what people write every day, such as the joiners
inside of emoji and of Persian words, no-break and ideographic spaces, marks of direction, the private signs of icon
fonts, and characters that are newer than Python. What it lets pass is harmless, though, and it is fast.

It imports nothing: the client asks it too, at a start that is measured.
"""

from __future__ import annotations

_BLACK_FLAG = 0x1F3F4
_TAGS = range(0xE0000, 0xE0080)
_TAG_LETTERS = range(0xE0020, 0xE0080)
_CANCEL_TAG = 0xE007F
_MOST_TAGS = 7
"""Of a flag: a region of six letters at most, and the end."""

LONGEST = 500
"""Characters of what is said of a failure. It may quote what a stranger chose."""

_SPACES = str.maketrans("\t\n\r", "   ")


def is_harmless(text: str) -> bool:
    """Whether the text can be shown as it is, on one line."""
    return text.isprintable() or all(_judge(text))


def harmless(text: str, instead: str = "\ufffd") -> str:
    """The text with `instead` in the place of each character that is not harmless."""
    if text.isprintable():
        return text
    return "".join(c if fine else instead for c, fine in zip(text, _judge(text), strict=True))


def one_line(text: str) -> str:
    """The text on one line: a space for each tab and end of a line, U+FFFD for what else is not harmless."""
    return harmless(text.translate(_SPACES))


def brief(text: str, most: int = LONGEST) -> str:
    """The text on one line; of one that is too long the beginning and the end, where the reason often stands."""
    if len(text) > most:
        end = most // 3
        text = f"{text[: most - end - 1]}…{text[-end:]}"
    return one_line(text)


def beginning(text: str, most: int = LONGEST) -> str:
    """The text on one line, cut where it is too long."""
    text = one_line(text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(text: str) -> str:
    """The text with an escape sequence of Python's in the place of each character that is not harmless."""
    if text.isprintable():
        return text
    return "".join(
        c if fine else c.encode("unicode_escape").decode() for c, fine in zip(text, _judge(text), strict=True)
    )


def _judge(text: str) -> list[bool]:
    """Of each character whether it is harmless where it stands."""
    verdicts = []
    room = 0
    for code in map(ord, text):
        if code in _TAGS:  # tags: invisible text, except for the flags of England, Scotland, Wales
            verdicts.append(room > 0 and code in _TAG_LETTERS)
            room = 0 if code == _CANCEL_TAG else room - 1
        else:
            verdicts.append(not _is_harmful(code))
            room = _MOST_TAGS if code == _BLACK_FLAG else 0
    return verdicts


def _is_harmful(code: int) -> bool:
    return (
        code < 0x20  # noqa: PLR2004 - C0 controls
        or 0x7F <= code <= 0x9F  # noqa: PLR2004 - DEL and the C1 controls
        or 0x2028 <= code <= 0x202E  # noqa: PLR2004 - line and paragraph separator, embedding and override of direction
        or 0x2066 <= code <= 0x2069  # noqa: PLR2004 - isolates of direction
        or 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - halves of surrogate pairs
        or 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - never characters
        or code & 0xFFFE == 0xFFFE  # noqa: PLR2004 - nor are the last two of each plane
    )
