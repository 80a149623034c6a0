"""What rofi is told, call by call; tests/frontends meets the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swiftctl_answers import item, line, results

from swiftctl import Options, own, rofi, rofi_start
from swiftctl.__main__ import main
from swiftctl.rofi import Call

CALC = {"name": "calc", "trigger": "=", "state": "ready", "bundled": True}
OTHER = {"name": "a<b", "trigger": "a<", "state": "ready", "bundled": False}
SLOW = {"name": "slow", "trigger": None, "state": "compiling", "bundled": False}
NO_NEGATION = ["-matching-negate-char", "\\x0"]
SOON = {"deadline_ms": rofi.SOON_MS}
LONG = {"deadline_ms": rofi.LONG_MS, "wait_ms": rofi.WAIT_MS}
FAILURE = line(type="error", id=1, done=True, code="unknown-key", message="too old")


class Page:
    """What rofi makes of a script's output: options, and rows with options of their own."""

    def __init__(self, text):
        self.options, self.rows = {}, []
        assert not text or text.endswith("\n")
        for entry in text.split("\n")[:-1]:
            name, *more = entry.split("\0")
            fields = "".join(more[:1]).split("\x1f")
            options = dict(zip(fields[::2], fields[1::2], strict=True)) if more else {}
            assert len(more) <= 1
            if name:
                self.rows.append((name, options))
            else:
                self.options |= options

    @property
    def names(self):
        return [name for name, options in self.rows if "nonselectable" not in options]


@pytest.fixture
def call(daemon, monkeypatch, capsys):
    """One call of rofi's."""

    def make(retv, *text, info=None, words=("rofi",)):
        monkeypatch.setenv("ROFI_RETV", str(retv))
        if info is None:
            monkeypatch.delenv("ROFI_INFO", raising=False)
        else:
            monkeypatch.setenv("ROFI_INFO", info)
        assert main([*words, *text]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return Page(captured.out)

    return make


def test_at_its_start_it_tells_what_can_be_asked(daemon, call):
    daemon.says(line(type="plugins", id=1, done=True, plugins=[OTHER, CALC, SLOW]))
    page = call(0)
    assert page.options["message"] == "a&lt;b: a&lt;…&#10;calc: =2+2*3&#10;still compiling: slow"
    assert page.options["use-hot-keys"] == "true"
    assert page.rows == []


def test_an_entry_that_was_emptied_shows_the_same_and_keeps_rofi_open(daemon, call):
    daemon.says(line(type="plugins", id=1, done=True, plugins=[CALC]))
    page = call(2, "", words=["rofi", "--live"])
    assert page.options["message"] == "calc: =2+2*3"
    assert page.names == []
    assert page.rows


def test_a_daemon_that_must_start_first_does_not_hold_rofi_up(daemon, call):
    daemon.says(hang_up=False)
    assert "starting" in call(0).options["message"]


@pytest.mark.parametrize("text", ["=1", "--help", "-x", "--", "rofi", "--live", "é😀", "a b", "query", "--socket"])
@pytest.mark.parametrize("words", [["rofi"], ["rofi", "--live"], ["rofi", "--no-start"], ["--no-start", "rofi"]])
def test_what_was_typed_is_asked_whatever_it_looks_like(daemon, call, text, words):
    daemon.says(results(item("a"), item("b", key="k2")))
    assert call(2, text, words=words).names == ["a", "b"]
    assert daemon.requests == [{"id": 1, "op": "query", "input": text} | (SOON if "--live" in words else LONG)]


def test_other_commands_are_not_taken_for_rofi(daemon, monkeypatch, capsys):
    monkeypatch.setenv("ROFI_RETV", "2")
    daemon.says(results(item("a")))
    assert main(["query", "rofi"]) == 0
    assert capsys.readouterr().out == "a\n"


def test_rows_carry_the_key_and_the_question(call, daemon):
    daemon.says(results(item("a", key="k.1.2")))
    page = call(2, "=1 + 1")
    assert page.rows == [("a", {"info": "k.1.2 =1 + 1"})]
    assert page.options["prompt"] == "=1 + 1"
    assert page.options["message"] == ""


def test_live_rows_stay_and_so_does_the_entry(call, daemon):
    daemon.says(results(item("a")))
    page = call(2, "=1", words=["rofi", "--live"])
    assert page.options["keep-filter"] == "true"
    assert "prompt" not in page.options
    assert page.rows == [("a", {"info": "k1 =1", "permanent": "true"})]
    daemon.says(results())
    assert call(2, "=1", words=["rofi", "--live"]).rows == [("\xa0", {"nonselectable": "true", "permanent": "true"})]


@pytest.mark.parametrize(
    ("fields", "message", "names"),
    [
        ({"items": []}, "nothing found for &lt;", []),
        ({"errors": [{"plugin": "x", "code": "trap", "message": "a & b\n<c>"}]}, "x: a &amp; b &lt;c&gt;", []),
        (
            {"errors": [{"plugin": "x", "code": "compiling", "message": "wait"}]},
            "x: wait",
            ["… ask again, and wait longer"],
        ),
        (
            {
                "status": "partial",
                "errors": [{"plugin": "x", "code": "memory", "message": "3 failures in a row, next try in 2 s"}],
            },
            "x: 3 failures in a row, next try in 2 s",
            ["… ask again, and wait longer"],
        ),
        (
            {
                "status": "partial",
                "items": [item("a")],
                "errors": [{"plugin": "", "code": "timeout", "message": "late"}],
            },
            "swiftd: late",
            ["a", "… ask again, and wait longer"],
        ),
    ],
)
def test_what_kept_plugins_from_answering_is_told(call, daemon, fields, message, names):
    daemon.says(results(**fields))
    page = call(2, "<")
    assert page.options["message"] == message
    assert page.names == names
    assert page.rows


@pytest.mark.parametrize("words", [["rofi"], ["rofi", "--live"]])
def test_asking_again_waits_longer(call, daemon, words):
    daemon.says(results(item("a")))
    assert call(1, "… ask again", info=" =1", words=words).names == ["a"]
    assert daemon.requests == [{"id": 1, "op": "query", "input": "=1"} | LONG]


def replies(requests):
    """A daemon that knows one item, with nothing to run, and no other key."""
    if requests["op"] == "query":
        return results(item("fresh", key="k2"))
    found = requests["key"] == "k1"
    return line(type="item", id=1, done=True, item=item("a") | {"exec": ""}) if found else FAILURE


@pytest.mark.parametrize(("key", "message"), [("k1", "nothing to run for 'a'"), ("k9", "too old (unknown-key)")])
def test_a_row_that_starts_nothing_leaves_rofi_open(call, daemon, key, message):
    daemon.replies(replies)
    page = call(1, "a", info=f"{key} =1")
    assert message in page.options["message"]
    assert page.names == ["fresh"]
    assert daemon.requests[-1]["input"] == "=1"


@pytest.mark.parametrize("retv", [3, 11, 28])
def test_other_keys_show_the_same_again(call, daemon, retv):
    daemon.replies(replies)
    assert call(retv, "a", info="k1 =1").names == ["fresh"]
    assert [request["op"] for request in daemon.requests] == ["query"]


def test_a_hot_key_without_a_row_asks_what_was_typed(call, daemon):
    daemon.replies(replies)
    call(10, "=1")
    assert daemon.requests[-1]["input"] == "=1"


def test_without_a_clipboard_the_hot_key_says_so(call, daemon):
    daemon.replies(replies)
    assert "WAYLAND_DISPLAY" in call(10, "a", info="k1 =1").options["message"]


@pytest.mark.parametrize("pieces", [[], [b"nonsense\n"], [FAILURE]])
def test_a_daemon_that_fails_is_told_in_rofi(call, daemon, pieces):
    daemon.says(*pieces)
    page = call(2, "=1")
    assert page.options["message"]
    assert page.names == []
    assert page.rows


TEXT = st.text(st.characters(codec="utf-8", include_characters="\n\0\x1f\r<&'\u2028")).filter(len)


@given(text=TEXT, names=st.lists(TEXT | st.just("x" * 100_000)), note=TEXT, live=st.booleans())
def test_no_text_becomes_anything_but_itself(text, names, note, live):
    options = Options()
    options.live = live
    call = Call(options, text)
    page = Page(call.page([call._row(name, "k1") for name in names], [note]))
    assert len(page.rows) == max(1, len(names))
    assert all(len(name) <= rofi.NAME_MAX for name, _ in page.rows)
    assert all(options["info"].startswith("k1 ") for _, options in page.rows if names)
    assert not set("<>") & set(page.options["message"])


class TestByHand:
    @pytest.fixture
    def started(self, session, monkeypatch):
        """How rofi is started, which is a script of the given version here."""
        said = []
        script = session / "rofi"
        script.touch()
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{session}:{os.environ['PATH']}")
        monkeypatch.setattr(own, "words", lambda: ["/a b/swiftctl"])
        monkeypatch.setattr(os, "execvpe", lambda *words: said.extend(words[1:]))

        def version(text):
            script.write_text(f"#!/bin/sh\necho '{text}'\n")
            return said

        return version

    def test_rofi_is_started_with_this_program_as_its_mode(self, started):
        said = started("Version: 1.7.3")
        main(["rofi", "--socket", "x", "--no-start"])
        assert said[0] == ["rofi", "-modi", "swift:'/a b/swiftctl' rofi --no-start", "-show", "swift", *NO_NEGATION]
        assert said[1]["SWIFT_SOCKET"] == str(Path.cwd() / "x")

    @pytest.mark.parametrize("version", ["Version: 1.7.6", "Version: 1.7.9.1", "Version: 2.0.0"])
    def test_live_is_for_a_rofi_that_can(self, started, version):
        said = started(version)
        main(["rofi", "--live"])
        assert said[0][1:3] == ["-modi", "swift:'/a b/swiftctl' rofi --live"]
        assert said[0][5:] == [*NO_NEGATION, "-theme-str", rofi_start.LIVE_THEME]

    @pytest.mark.parametrize("version", ["Version: 1.7.3", "Version: 1.7.5+wayland2", "nonsense"])
    def test_for_another_rofi_there_is_a_note(self, started, capsys, version):
        said = started(version)
        main(["rofi", "--live"])
        assert said[0][1:] == ["-modi", "swift:'/a b/swiftctl' rofi", "-show", "swift", *NO_NEGATION]
        assert "need 1.7.6" in capsys.readouterr().err

    def test_a_comma_in_the_path_does_not_end_the_mode(self, started, monkeypatch):
        said = started("Version: 1.7.3")
        monkeypatch.setattr(own, "words", lambda: ["/a,b/swiftctl"])
        main(["rofi"])
        assert said[0][2] == "swift:swiftctl rofi"
        assert said[1]["PATH"].startswith("/a,b:")

    def test_a_terminal_that_was_started_from_rofi_is_not_rofi(self, started, monkeypatch):
        said = started("Version: 2.0.0")
        monkeypatch.setenv("ROFI_RETV", "1")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        main(["rofi", "--live"])
        assert said[0][0] == "rofi"
        assert "ROFI_RETV" not in said[1]

    def test_without_rofi_it_says_so(self, session, monkeypatch, capsys):
        monkeypatch.setenv("PATH", str(session))
        assert main(["rofi"]) == 5
        assert "not installed" in capsys.readouterr().err
