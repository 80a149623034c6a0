"""Enter comes before the answer to what was typed: what is started belongs to the text that is on the screen.

Real time lies between the keys. Nothing here depends on how long an answer takes: whatever of both comes first, the
outcome is the same.
"""

from __future__ import annotations

import contextlib
import subprocess
import time

import pytest
from frontend_plugin import plugin, telling
from frontend_session import PATIENCE, needs

from swiftctl.rofi_start import LIVE_SINCE, version

in_fzf = needs("fzf", "tmux")
live = pytest.mark.skipif(version() < LIVE_SINCE, reason="needs rofi 1.7.6")


def in_rofi(test):
    return pytest.mark.xserver(needs("rofi", "Xvfb", "xdotool", "import")(test))


PAUSES = [0.01, 0.03, 0.06, 0.09, 0.09]
"""Seconds between the last key and Enter."""

TRAPS = plugin("p", []).replace("(i32.const 8))", "unreachable)")


@pytest.fixture
def fzf(session, terminal):
    """Starts it in the terminal, which says its exit status when it has ended.

    A query that fzf leaves behind would start another daemon when the test has ended its own.
    """
    session.daemon.install(telling("t", slow_end="!"), "telling")
    session.daemon.config.write_text('[plugins.telling]\ndeadline = "20s"\n')

    def start(*options):
        session.serve()
        terminal.open(" ".join(["swiftctl", "fzf", "--no-start", *options]) + "; echo status $?; exec sleep 60")
        terminal.shows("telling: t")

    return start


@in_fzf
def test_fzf_starts_what_the_last_key_asks(session, terminal, fzf):
    expected = ""
    for number, pause in enumerate(PAUSES):
        fzf()
        terminal.type(f"t{number}")
        terminal.shows(f"echo 't{number}'")
        terminal.type("x")
        time.sleep(pause)
        terminal.press("Enter")
        terminal.shows("status 0")
        expected += f"t{number}x\n"
        assert session.said("ran", lambda text, wanted=expected: len(text) >= len(wanted)) == expected


@in_fzf
@pytest.mark.parametrize("text", ["t12*34", "t; & é $x", "t\u3042\uac00"])
def test_fzf_starts_what_was_pasted_with_enter_at_once(session, terminal, fzf, text):
    fzf()
    terminal.type(f"{text}\r")
    terminal.shows("status 0")
    assert session.said("ran") == f"{text}\n"


@in_fzf
def test_fzf_starts_what_a_terminal_pasted(session, terminal, fzf):
    fzf()
    terminal.paste("t12*34")
    terminal.press("Enter")
    terminal.shows("status 0")
    assert session.said("ran") == "t12*34\n"


@in_fzf
def test_fzf_waits_for_a_slow_answer_rather_than_to_start_the_row_before(session, terminal, fzf):
    fzf()
    terminal.type("tA")
    terminal.shows("echo 'tA'")
    terminal.type("B!")
    terminal.press("Enter")
    terminal.shows("status 0")
    assert session.said("ran") == "tAB!\n"


@in_fzf
@pytest.mark.parametrize("typed", ["\x7f\x7fp", "\x7f\x7f\x7fnobody's"])
def test_fzf_starts_nothing_where_the_answer_has_no_row(session, terminal, fzf, typed):
    """It is shown again with the text, and the next choice counts."""
    session.daemon.install(TRAPS, "trap")
    fzf()
    terminal.type("tA")
    terminal.shows("echo 'tA'")
    terminal.type(f"{typed}\r")
    terminal.shows("trap: " if typed.endswith("p") else "nothing found")
    terminal.shows(f"swift> {typed.strip(chr(0x7F))}")
    terminal.press("C-u")
    terminal.type("tC\r")
    terminal.shows("status 0")
    assert session.said("ran") == "tC\n"


@in_fzf
def test_fzf_starts_the_row_of_the_same_name_where_the_new_answer_has_it(session, terminal, fzf):
    rows = [(name, f"echo {name} >>$HOME/ran") for name in ("one", "two", "three")]
    session.daemon.install(plugin("s", rows), "same")
    fzf()
    terminal.type("s")
    terminal.shows("3/3")
    terminal.press("Down")
    terminal.shows("echo two")
    terminal.type("x\r")
    terminal.shows("status 0")
    assert session.said("ran") == "two\n"


@in_fzf
@pytest.mark.parametrize(
    "options",
    [
        "--print-query --print0 --read0 --expect=ctrl-y --multi --sync --tac --header-lines=1",
        "--bind=enter:print-query,change:abort,start:abort --no-print-query --select-1 --exit-0",
        "--delimiter=: --with-nth=1 --nth=2 --preview='false' --height=12 --query=x",
        "--bind=ctrl-m:abort --ansi --cycle --no-sort --layout=default --exact",
    ],
)
def test_whatever_the_user_has_set_for_fzf(session, terminal, fzf, options):
    session.environment["FZF_DEFAULT_OPTS"] = options
    fzf()
    terminal.type("tA")
    terminal.shows("echo 'tA'")
    terminal.type("B\r")
    terminal.shows("status 0")
    assert session.said("ran") == "tAB\n"


@in_fzf
def test_a_key_of_the_users_that_prints_the_text_asks_it(session, terminal, fzf):
    session.environment["FZF_DEFAULT_OPTS"] = "--bind=ctrl-o:print-query"
    fzf()
    terminal.type("tA")
    terminal.shows("echo 'tA'")
    terminal.press("C-o")
    terminal.shows("status 0")
    assert session.said("ran") == "tA\n"


@pytest.fixture
def rofi(session, screen):
    """Starts rofi and waits for its window."""
    session.daemon.install(telling("t", slow_end="!"), "telling")
    session.daemon.config.write_text('[plugins.telling]\ndeadline = "20s"\n')

    def start(*options):
        session.serve()
        process = session.start("swiftctl", "rofi", *options)
        screen.window("rofi")
        screen.settle()
        return process

    return start


def shown_after(screen, text, *keys):
    """Type and press, and wait until the screen has changed and stands still."""
    before = screen.picture()
    screen.type(text)
    if keys:
        screen.press(*keys)
    return screen.settle(before)


def enter_until_it_ends(screen, started):
    """Press Enter as often as it takes: each one means what is on the screen, and rofi misses some while it asks."""
    until = time.monotonic() + PATIENCE
    while started.poll() is None:
        assert time.monotonic() < until
        screen.press("Return")
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(1)
    assert started.returncode == 0


@in_rofi
def test_rofi_starts_what_the_last_text_asks(session, screen, rofi):
    expected = ""
    for number, pause in enumerate(PAUSES):
        started = rofi()
        shown_after(screen, f"t{number}", "Return")
        screen.type(f"t{number}x")
        time.sleep(pause)
        enter_until_it_ends(screen, started)
        expected += f"t{number}x\n"
        assert session.said("ran", lambda text, wanted=expected: len(text) >= len(wanted)) == expected


@in_rofi
def test_rofi_starts_what_was_pasted_with_enter_at_once(session, screen, rofi):
    started = rofi()
    screen.paste("t12*34", "Return")
    enter_until_it_ends(screen, started)
    assert session.said("ran") == "t12*34\n"


@in_rofi
def test_rofi_waits_for_a_slow_answer(session, screen, rofi):
    """One Enter asks, the next one chooses: there is no third for what takes longer than a moment."""
    started = rofi()
    screen.type("tAB!")
    before = screen.settle()
    screen.press("Return")
    screen.settle(before)
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "tAB!\n"


@in_rofi
@live
def test_live_rofi_starts_what_the_last_key_asks(session, screen, rofi):
    expected = ""
    for number, pause in enumerate(PAUSES):
        started = rofi("--live")
        shown_after(screen, f"t{number}")
        screen.type("x")
        time.sleep(pause)
        screen.press("Return")
        assert started.wait(PATIENCE) == 0
        expected += f"t{number}x\n"
        assert session.said("ran", lambda text, wanted=expected: len(text) >= len(wanted)) == expected


@in_rofi
@live
def test_live_rofi_starts_what_was_pasted_with_enter_at_once(session, screen, rofi):
    started = rofi("--live")
    screen.paste("t12*34", "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "t12*34\n"


@in_rofi
@live
def test_live_rofi_asks_again_for_what_was_slow(session, screen, rofi):
    started = rofi("--live")
    before = shown_after(screen, "tA")
    screen.type("B!")
    screen.settle(before)
    screen.press("Return")  # on the row that asks again
    screen.settle()
    assert not (session.home / "ran").exists()
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "tAB!\n"
