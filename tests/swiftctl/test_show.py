"""What reaches a terminal or a line is harmless."""

from __future__ import annotations

import io
import json
import sys

import pytest

from swiftctl import show
from swiftd import text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 😀 👩\u200d💻", "plain é 😀 👩\u200d💻"),
        ("two\nlines\r\n\ttab\u2028x\u2029\x85", "two lines   tab x  "),
        ("\x1b[31mred\x07\x00\x7f\x9b", "\ufffd[31mred\ufffd\ufffd\ufffd\ufffd"),
    ],
)
def test_control_characters_are_made_harmless(raw, shown):
    assert show.harmless(raw) == shown


def test_no_character_survives_that_breaks_a_line_or_drives_a_terminal():
    text = show.harmless("".join(map(chr, range(0x3000))))
    assert len(text.splitlines()) == 1
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)


@pytest.mark.parametrize(
    "raw", ["👨\u200d💻 ❤\ufe0f", "\ue0b0", "10\u00a0km か\u3000", "\u200c\u062e", "\u200f", "e\u0301", "\U0010fffd"]
)
def test_what_people_write_stays_as_it_is(raw):
    assert show.harmless(raw) == raw


def test_but_for_line_breaks_and_tabs_the_rule_is_the_daemon_s_own():
    breaks = {*"\t\n\v\f\r\x85\u2028\u2029"}
    for code in range(sys.maxunicode + 1):
        expected = " " if chr(code) in breaks else text.harmless(chr(code))
        assert show.harmless(chr(code)) == expected


def test_json_keeps_its_meaning_and_loses_its_controls():
    line = json.dumps({"name": "a\x7f\x9b31m é\n"}, ensure_ascii=False)
    shown = show.json_line(line)
    assert json.loads(shown) == json.loads(line)
    assert shown.isascii() is False
    assert not {0x7F, 0x9B} & set(map(ord, shown.decode()))


def test_a_terminal_never_sees_in_json_what_the_daemon_s_rule_calls_harmful():
    """But for what is no character at all, which no terminal minds; halves of surrogate pairs come as U+FFFD."""
    for code in range(0x20, sys.maxunicode + 1):
        if not text.is_harmless(chr(code)) and not 0xD800 <= code <= 0xDFFF:
            line = json.dumps({"name": f"é{chr(code)}b"}, ensure_ascii=False)
            shown = show.json_line(line).decode()
            assert json.loads(shown) == json.loads(line)
            is_none = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
            assert is_none or text.is_harmless(shown[:-1]), hex(code)


def test_a_table_is_aligned_and_one_line_a_row():
    text = show.table(["NAME", "ERROR"], [["echo", ""], ["a-long-name", "first\nsecond"]]).decode()
    assert text.splitlines() == ["NAME         ERROR", "echo         -", "a-long-name  first second"]


def test_the_columns_of_wide_characters_and_of_those_without_width_are_counted():
    table = show.table(
        ["NAME", "X"], [["か\u3000", "1"], ["👨\u200d💻", "2"], ["e\u0301é", "3"], ["abcd", "4"]]
    ).decode()
    assert table.splitlines() == ["NAME  X", "か\u3000  1", "👨\u200d💻    2", "e\u0301é    3", "abcd  4"]


def test_colours_appear_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert show.colour("ready", "green") == "ready"
    monkeypatch.setattr("sys.stdout", Terminal())
    assert show.colour("ready", "green") == "\x1b[32mready\x1b[0m"
    assert show.colour("ready", "") == "ready"
    monkeypatch.setenv("NO_COLOR", "1")
    assert show.colour("ready", "green") == "ready"


def test_progress_is_taken_away_again(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = show.Progress()
    progress.clear()
    assert not terminal.getvalue()
    progress.say("compiling a\x1bb …")
    assert "compiling a\ufffdb …" in terminal.getvalue()
    progress.clear()
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_progress_is_silent_elsewhere(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    progress = show.Progress()
    progress.say("compiling")
    progress.clear()
    show.complain("nobody hears this")
    assert stream is None or stream.getvalue() == "swiftctl: nobody hears this\n"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (2500, "2.5 KB"), (370_000, "370 KB"), (18_400_000, "18 MB")]
)
def test_sizes_are_for_people(count, shown):
    assert show.size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (0.314, "0.31 ms"), (9.0, "9 ms"), (150.4, "150 ms"), (4700.0, "4.7 s")]
)
def test_durations_are_for_people(value, shown):
    assert show.milliseconds(value) == shown
