"""The real rofi, on an X server without a screen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from frontend_plugin import plugin
from frontend_session import PATIENCE, needs
from hostile_files import NAMES, SHOWN

from swiftctl.rofi_start import LIVE_SINCE, version

pytestmark = [pytest.mark.xserver, needs("rofi", "Xvfb", "xdotool", "import")]

LINES = 15
"""Rows on a page, by rofi's own settings."""


@pytest.fixture
def rofi(session, screen):
    """Starts rofi and waits for its window."""

    def start(*options, ready=True):
        session.serve()
        process = session.start("swiftctl", "rofi", *options)
        if ready:
            screen.window("rofi")
            screen.settle()
        return process

    return start


def ask(screen, text):
    before = screen.picture()
    screen.type(text)
    before = screen.settle(before)
    screen.press("Return")
    screen.settle(before)


def pages(screen):
    """What is on the screen, page by page."""
    pages = [screen.settle()]
    while len(pages) * LINES < len(NAMES):
        screen.press("Next")
        pages.append(screen.settle(pages[-1]))
    return pages


def test_the_answer_is_shown_and_choosing_it_runs_its_command_once(session, screen, rofi):
    started = rofi()
    ask(screen, "=2+2*3")
    if picture := os.environ.get("SWIFT_SCREENSHOT"):
        screen.save(Path(picture).absolute())
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "8\n"
    time.sleep(0.3)
    assert session.said("copied") == "8\n"


def test_rofi_is_gone_at_once_though_the_command_goes_on(session, screen, rofi):
    command = "echo $$ >$HOME/new; mv $HOME/new $HOME/started.pid; echo once >>$HOME/ran; exec sleep 60"
    session.daemon.install(plugin("s", [("sleep", command)]), "sleep")
    started = rofi()
    ask(screen, "s")
    begin = time.monotonic()
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    took = time.monotonic() - begin
    pid = int(session.said("started.pid", lambda text: text.endswith("\n")))
    os.kill(pid, 0)  # it is alive
    assert took < 30
    assert session.said("ran") == "once\n"
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert not [variable for variable in environment if variable.startswith(b"ROFI_")]


def test_names_of_any_kind_are_shown_right(session, screen, rofi):
    """The picture is that of rofi with these rows."""
    session.install_files(NAMES)
    settings = session.home / ".config" / "rofi" / "config.rasi"
    settings.parent.mkdir(parents=True)
    settings.write_text('@theme "default"\nentry { blink: false; }\n')  # or the cursor would come and go
    started = rofi()
    ask(screen, "f/")
    ours = pages(screen)
    screen.press("Escape")
    started.wait(PATIENCE)

    rows = session.home / "rows"
    rows.write_text("\0prompt\x1ff/\n\0markup-rows\x1ffalse\n" + "".join(f"{SHOWN[name]}\n" for name in NAMES))
    started = session.start("rofi", "-modi", f"f/:cat {rows}", "-show", "f/")
    screen.window("rofi")
    screen.settle()
    expected = pages(screen)
    screen.press("Escape")
    started.wait(PATIENCE)
    assert [page == wanted for page, wanted in zip(ours, expected, strict=True)] == [True] * len(ours)


@pytest.mark.slow
def test_choosing_a_file_opens_that_file_and_does_nothing_else(session, screen, rofi):
    """Whatever it is called."""
    session.install_files(NAMES)
    for number, name in enumerate(NAMES):
        started = rofi()
        ask(screen, "f/")
        screen.press(*["Down"] * number, "Return")
        assert started.wait(PATIENCE) == 0
        session.check_opened(name)
    time.sleep(0.3)
    session.check_untouched()


@pytest.mark.parametrize("text", ["--help", "-x", "=", "<b>&"])
def test_whatever_is_typed_is_asked(session, screen, rofi, text):
    session.daemon.install(plugin("", [("it was asked", "echo yes >$HOME/ran")]), "all")
    started = rofi()
    ask(screen, text)
    if text == "=":  # the calculator's own hint starts nothing
        screen.press("Return")
        time.sleep(0.3)
        assert started.poll() is None
        ask(screen, "x")
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "yes\n"


@pytest.mark.skipif(version() < LIVE_SINCE, reason="needs rofi 1.7.6")
def test_live_results_follow_each_key(session, screen, rofi):
    started = rofi("--live")
    before = screen.picture()
    for text in ("=2+2", "*3"):
        screen.type(text)
        before = screen.settle(before)
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "8\n"


@pytest.mark.skipif(version() < LIVE_SINCE, reason="needs rofi 1.7.6")
@pytest.mark.parametrize("key", ["Escape", "Return", "shift+Delete"])
def test_live_an_empty_entry_keeps_rofi_open_and_starts_nothing(session, screen, rofi, key):
    started = rofi("--live")
    before = screen.picture()
    screen.type("=1")
    before = screen.settle(before)
    screen.press("BackSpace", "BackSpace")
    screen.settle(before)
    assert started.poll() is None
    screen.press(key)
    time.sleep(0.3)
    if started.poll() is None:
        screen.press("Escape")
    started.wait(PATIENCE)
    assert not (session.home / "copied").exists()


def test_a_hot_key_copies_the_name(session, screen, rofi):
    started = rofi()
    ask(screen, "=2+2")
    screen.press("alt+1")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "2+2 = 4\n"


@pytest.mark.parametrize("keys", [["Escape"], ["Return", "Escape"], ["shift+Delete", "Escape"], ["alt+5", "Escape"]])
def test_leaving_runs_nothing(session, screen, rofi, keys):
    started = rofi()
    for key in keys:
        if started.poll() is None:
            screen.press(key)
            time.sleep(0.3)
    started.wait(PATIENCE)
    assert not (session.home / "copied").exists()


def test_the_answers_of_a_daemon_that_was_restarted_are_asked_again(session, screen, rofi):
    started = rofi()
    ask(screen, "=1+1")
    session.daemon.stop()
    session.daemon.start()
    session.daemon.client().settled("calc")
    before = screen.picture()
    screen.press("Return")
    screen.settle(before)
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "2\n"
