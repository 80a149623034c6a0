"""The real fzf, in a terminal of tmux's."""

from __future__ import annotations

import os
import time

import pytest
from frontend_plugin import plugin
from frontend_session import needs
from hostile_files import NAMES, SHOWN

pytestmark = needs("fzf", "tmux")


@pytest.fixture
def fzf(session, terminal):
    """Starts it in the terminal, which says its exit status when it has ended.

    A query that fzf leaves behind would start another daemon when the test has ended its own.
    """

    def start(*options):
        session.serve()
        session.environment["DISPLAY"] = ":0"  # for the clipboard, which is a script here
        session.environment["FZF_DEFAULT_OPTS"] = "--pointer='>'"  # as in 0.38
        terminal.open(" ".join(["swiftctl", "fzf", "--no-start", *options]) + "; echo status $?; exec sleep 60")
        terminal.shows("swift>")
        terminal.shows("calc: =2+2*3")

    return start


def test_results_follow_each_key_and_enter_runs(session, terminal, fzf):
    fzf()
    terminal.type("=2+2")
    terminal.shows("> 2+2 = 4")
    terminal.shows("swiftctl copy -- '4'")
    terminal.type("*3")
    terminal.shows("> 2+2*3 = 8")
    terminal.shows("swiftctl copy -- '8'")
    terminal.press("Enter")
    terminal.shows("status 0")
    assert session.said("copied") == "8\n"


@pytest.mark.parametrize("shell", ["/bin/false", "/usr/bin/fish", "/nonexistent"])
def test_whatever_the_users_shell_is(session, terminal, fzf, shell):
    session.environment["SHELL"] = shell
    fzf("--query", "=1+1")
    terminal.shows("> 1+1 = 2")
    terminal.press("Enter")
    terminal.shows("status 0")
    assert session.said("copied") == "2\n"


@pytest.mark.parametrize(
    "text", ["'; touch pwned #", "$(touch pwned)", "`touch pwned`", '"', "\\", "-x", "--help", "<é😀&"]
)
def test_whatever_is_typed_is_asked(session, terminal, fzf, text):
    session.daemon.install(plugin("", [("it was asked", "")]), "all")
    fzf()
    terminal.type(text)
    terminal.shows("> it was asked")
    terminal.shows("Enter starts nothing here")
    terminal.press("Enter")
    terminal.shows("nothing to run for 'it was asked'")
    terminal.shows(f"swift> {text}")
    terminal.press("Escape")
    terminal.shows("status 1")
    assert not list(session.folder.rglob("pwned"))


def test_names_of_any_kind_are_shown_right(session, terminal, fzf):
    session.install_files(NAMES)
    terminal.size = (250, 60)
    fzf("--query", "f/")
    terminal.shows(f"{len(NAMES)}/{len(NAMES)}")
    shown = [line.removeprefix(">").strip() for line in terminal.lines()]
    first = shown.index(SHOWN[NAMES[0]])
    # In fzf itself U+FFFD is a space.
    assert shown[first : first + len(NAMES)] == [SHOWN[name].replace("\ufffd", " ").strip() for name in NAMES]


@pytest.mark.slow
def test_choosing_a_file_opens_that_file_and_does_nothing_else(session, terminal, fzf):
    """Whatever it is called."""
    session.install_files(NAMES)
    for number, name in enumerate(NAMES):
        fzf("--query", "f/")
        terminal.shows(f"{len(NAMES)}/{len(NAMES)}")
        terminal.press(*["Down"] * number, "Enter")
        terminal.shows("status 0")
        session.check_opened(name)
    time.sleep(0.3)
    session.check_untouched()


def test_a_typed_part_of_a_hostile_name_finds_it(session, terminal, fzf):
    session.install_files(NAMES)
    fzf()
    terminal.type("f/'; touch pwned #")
    terminal.shows("> '; touch pwned #")
    terminal.shows("1/1")
    terminal.press("Enter")
    terminal.shows("status 0")
    session.check_opened("'; touch pwned #")


def test_a_name_that_is_no_text_is_told_and_starts_nothing(session, terminal, fzf):
    """WASI has no such names, and Rust's standard library ends a listing at its first error."""
    session.install_files(["a", os.fsdecode(b"caf\xe9")])
    fzf("--query", "f/")
    terminal.shows("> Illegal byte sequence (os error 25): not all of ")
    terminal.shows("Enter starts nothing here")
    terminal.press("End", "Enter")
    terminal.shows("nothing to run for")
    terminal.press("Escape")
    terminal.shows("status 1")
    session.check_untouched()


def test_what_plugins_complain_of_is_a_row_that_starts_nothing(session, terminal, fzf):
    session.daemon.install((plugin("t", [])).replace("(i32.const 8))", "unreachable)"), "trap")
    fzf()
    terminal.type("t")
    terminal.shows("> trap: ")
    terminal.press("Enter")
    terminal.shows("that row starts nothing: asked again")
    terminal.press("Escape")
    terminal.shows("status 1")


def test_before_anything_is_typed_nothing_was_sought(session, terminal, fzf):
    fzf()
    terminal.shows("0/0")
    assert not [line for line in terminal.lines() if "nothing found" in line]
    terminal.press("Escape")
    terminal.shows("status 1")


def test_that_nothing_was_found_is_a_row_that_starts_nothing(session, terminal, fzf):
    fzf("--query", "nobody")
    terminal.shows("> nothing found")
    terminal.press("Enter")
    terminal.shows("that row starts nothing: asked again")
    terminal.shows("> nothing found")
    terminal.press("Escape")
    terminal.shows("status 1")


@pytest.mark.parametrize("key", ["Escape", "C-c"])
def test_leaving_runs_nothing(session, terminal, fzf, key):
    fzf("--query", "=1+1")
    terminal.shows("> 1+1 = 2")
    terminal.press(key)
    terminal.shows("status 1")
    assert not (session.home / "copied").exists()


def test_the_terminal_may_be_closed_at_once(session, terminal, fzf):
    command = "echo $$ >$HOME/new; mv $HOME/new $HOME/started.pid; exec sleep 60"
    session.daemon.install(plugin("s", [("sleep", command)]), "sleep")
    fzf("--query", "s")
    terminal.shows("> sleep")
    terminal.press("Enter")
    terminal.shows("status 0")
    pid = int(session.said("started.pid", lambda text: text.endswith("\n")))
    terminal.close()
    time.sleep(0.3)
    os.kill(pid, 0)  # it is alive
