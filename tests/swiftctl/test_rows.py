"""Which row a menu means with what it prints."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftctl.rows import NAME_MAX, UNTYPED, Rows


def made(*names):
    rows = Rows()
    for number, name in enumerate(names):
        rows.add_item(name, f"k{number}")
    return rows


@pytest.mark.parametrize(
    "name", ["caf\u00e9", "Z\u00fcrich", "\u30ac\u30ae\u30b0", "\ud55c\uae00", "\u1e69", "\u212b", "\u0958", "plain"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("printed", ["NFC", "NFD", "as given"])
def test_accents_may_come_back_put_together_or_apart(name, form, printed):
    given_name = unicodedata.normalize(form, name)
    back = given_name if printed == "as given" else unicodedata.normalize(printed, given_name)
    assert made("other", given_name, "another").find(back).key == "k1"


@pytest.mark.parametrize("printed", ["a b", "  a  b ", "a\u00a0b", "a b\t", "a\u3000\u2003b"])
def test_blanks_may_come_back_folded_or_trimmed(printed):
    assert made("other", "a \u00a0 b").find(printed).key == "k1"


def test_rows_that_a_menu_could_mix_up_get_numbers():
    rows = made("\u00e9", "e\u0301", "a  b", "a b", "a b (2)", "a\tb")
    assert list(rows) == ["\u00e9", "e\u0301 (2)", "a  b", "a b (2)", "a b (2) (2)", "a b (3)"]
    assert [rows.find(row).key for row in rows] == [f"k{number}" for number in range(6)]


@pytest.mark.parametrize("typed", ["x2", "X\u00b2", "fi", "firefo", "FIREFOX", "1", "\uff76"])
def test_what_only_looks_similar_is_a_text_that_was_typed(typed):
    assert made("x\u00b2", "\ufb01", "firefox", "\u2460", "\u30ab").find(typed) is None


def test_a_note_is_found_by_itself_only():
    rows = Rows()
    rows.add_note("nothing found", "=1")
    rows.add_item("nothing found", "k1")
    note, item = rows
    assert (note.replace(UNTYPED, ""), item) == ("nothing found", "nothing found")
    assert (rows.find(note).key, rows.find(note).asks) == ("", "=1")
    assert rows.find("nothing found").key == "k1"
    assert not [at for at in range(len(note) - 1) if "nothing found".find(note[at : at + 2]) >= 0]


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=8), st.lists(st.text(max_size=20), max_size=3))
def test_every_row_is_one_line_and_found_in_whatever_form(names, notes):
    rows = made(*names)
    for note in notes:
        rows.add_note(note, note)
    texts = list(rows)
    assert len(texts) == len(names) + len(notes)
    for number, text in enumerate(texts):
        assert text.isprintable() or not set(text) & set("\n\r\t\0\x1f")
        assert len(text.replace(UNTYPED, "")) <= NAME_MAX + 10
        for form in ("NFC", "NFD"):
            found = rows.find(unicodedata.normalize(form, text))
            assert found.key == (f"k{number}" if number < len(names) else "")
