"""Which characters may be shown as they are."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from swiftd.text import LONGEST, brief, escaped, harmless, is_harmless, one_line

WRITTEN = {
    "ASCII": "swiftctl query '=1+1'",
    "accents": "réglages, Škoda, naïve",
    "combining marks": "e\u0301 o\u0308 \u0915\u094d\u0937",
    "emoji": "👍🏽 😀",
    "a sequence with joiners": "👨\u200d💻 👩\u200d👩\u200d👧",
    "variation selectors": "❤\ufe0f ☎\ufe0e",
    "a keycap": "1\ufe0f⃣",
    "a flag of letters": "🇩🇪",
    "a flag of tags": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f!",
    "Persian with a non-joiner": "می\u200cخواهم",  # noqa: RUF001 - as it is written
    "marks of direction": "\u200eabc\u200f \u061c",
    "a Nerd Font sign": "\ue0b0 \uf121 \U000f0a1e",
    "a private sign of plane 16": "\U00100000",
    "a no-break space": "10\u00a0km",
    "an ideographic space": "か\u3000",
    "narrow spaces": "1\u202f000\u2009000",
    "a soft hyphen": "Donau\u00addampf",
    "a zero-width space": "a\u200bb",
    "a character newer than Python": "\U0001faef\U0001fadf",
}

HARMFUL = {
    "newline": "\n",
    "tab": "\t",
    "NUL": "\0",
    "escape": "\x1b",
    "DEL": "\x7f",
    "next line": "\x85",
    "CSI": "\x9b",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "embedding": "\u202a",
    "override": "\u202e",
    "isolate": "\u2066",
    "end of isolate": "\u2069",
    "half a surrogate pair": "\ud83d",
    "noncharacter": "\ufdd0",
    "last of plane 0": "\uffff",
    "last of plane 16": "\U0010ffff",
    "a tag": "\U000e0041",
    "the language tag": "\U000e0001",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_what_people_write_stays(text):
    assert is_harmless(text)
    assert harmless(text) == text


@pytest.mark.parametrize("character", HARMFUL.values(), ids=HARMFUL)
def test_what_drives_a_terminal_or_an_eye_is_replaced(character):
    assert not is_harmless(f"é{character}b")
    assert harmless(f"é{character}b") == "é\ufffdb"
    assert harmless(character, "") == ""


def test_tags_are_text_of_a_flag_up_to_its_end_only():
    flag = "🏴\U000e0067\U000e0062\U000e007f"
    assert harmless(f"{flag}\U000e0041") == f"{flag}\ufffd"
    assert harmless("🏴x\U000e0067") == "🏴x\ufffd"
    assert harmless("🏴\U000e0001") == "🏴\ufffd"
    assert harmless("🏴" + "\U000e0061" * 60, "") == "🏴" + "\U000e0061" * 7


def test_what_python_calls_printable_is_harmless():
    """The short way round: over all characters it makes no difference."""
    for code in range(sys.maxunicode + 1):
        if chr(code).isprintable():
            assert harmless(f"\u00a0{chr(code)}") == f"\u00a0{chr(code)}"


def test_every_character_of_a_harmful_category_is_replaced():
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(chr(code)) in EMBEDDINGS:
            assert not is_harmless(chr(code)), hex(code)
        elif category not in ("Cf", "Cn"):
            assert is_harmless(chr(code)), hex(code)


EMBEDDINGS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_the_empty_text_is_harmless():
    assert is_harmless("")
    assert harmless("") == ""


def test_on_one_line_the_ends_of_lines_and_tabs_are_spaces_and_the_rest_is_as_harmless():
    assert one_line("a\tb\r\nc\x1b[2J") == "a b  c\ufffd[2J"
    for text in WRITTEN.values():
        assert one_line(text) == text


def test_what_is_brief_stays_and_of_what_is_long_the_beginning_and_the_end():
    assert brief("x" * LONGEST) == "x" * LONGEST
    long = brief("the path " + "x" * 10_000 + ": no such file")
    assert len(long) == LONGEST
    assert long.startswith("the path xx")
    assert long.endswith("xx: no such file")
    assert "…" in long
    assert brief("a\n\x1bb", 10) == "a \ufffdb"


@pytest.mark.parametrize("character", HARMFUL.values(), ids=HARMFUL)
def test_what_is_escaped_can_be_read_back(character):
    text = escaped(f"é{character}b")
    assert is_harmless(text)
    assert text.startswith("é\\")
    assert text[1:].encode("latin-1").decode("unicode_escape") == f"{character}b"
