"""`swiftctl menu` with the real dmenu, bemenu and rofi, on an X server without a screen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from daemons import children, eventually
from frontend_plugin import plugin
from frontend_session import PATIENCE, needs
from hostile_files import NAMES

pytestmark = [pytest.mark.xserver, needs("Xvfb", "xdotool", "import")]


@pytest.fixture
def menu(session, screen):
    def start(tool, *options):
        session.serve()
        screen.empty = screen.picture()
        process = session.start("swiftctl", "menu", tool, *options)
        screen.settle(screen.empty)
        return process

    return start


@pytest.fixture(params=[pytest.param(name, marks=needs(name)) for name in ("dmenu", "bemenu", "rofi")])
def tool(request, session):
    if request.param == "bemenu":
        session.environment["BEMENU_BACKEND"] = "x11"
        if not list(Path("/usr/lib").rglob("bemenu-renderer-x11.so")):
            pytest.skip("needs bemenu's renderer for X11")
    return request.param


def press(screen, *keys):
    before = screen.picture()
    screen.press(*keys)
    screen.settle(before, screen.empty)  # between two menus there is none


def test_ask_choose_and_it_runs(session, screen, menu, tool):
    started = menu(tool)
    screen.type("=2+2*3")
    press(screen, "Return")
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "8\n"


def test_rows_of_the_same_name_start_their_own(session, screen, menu, tool):
    rows = [(name, f"echo {index} >>$HOME/ran") for index, name in enumerate(["same", "same", "<b>same", "same"])]
    session.daemon.install(plugin("s", rows), "same")
    started = menu(tool, "--query", "s")
    screen.press("Down", "Down", "Down", "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "3\n"


@pytest.mark.slow
def test_choosing_a_file_opens_that_file_and_does_nothing_else(session, screen, menu, tool):
    """Whatever it is called."""
    session.install_files(NAMES)
    for number, name in enumerate(NAMES):
        if number % 4 and tool != "dmenu":  # the rows are the same, and one menu with all of them is slow enough
            continue
        started = menu(tool, "--query", "f/")
        screen.press(*["Down"] * number, "Return")
        assert started.wait(PATIENCE) == 0
        session.check_opened(name)
    time.sleep(0.3)
    session.check_untouched()


def test_typing_something_else_asks_that(session, screen, menu, tool):
    started = menu(tool, "--query", "=1+1")
    screen.type("=3*3")
    press(screen, "Return")
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "9\n"


def test_escape_runs_nothing(session, screen, menu, tool):
    started = menu(tool, "--query", "=1+1")
    screen.press("Escape")
    assert started.wait(PATIENCE) == 1
    time.sleep(0.2)
    assert not (session.home / "copied").exists()


def test_a_hint_is_a_row_that_asks_and_starts_nothing(session, screen, menu, tool):
    started = menu(tool)
    press(screen, "Return")  # the calculator's, whose trigger alone is no calculation
    screen.type("=3*3")
    press(screen, "Return")
    assert started.poll() is None
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "9\n"


def test_that_nothing_was_found_is_a_row_that_asks_again(session, screen, menu, tool):
    started = menu(tool, "--query", "nobody")
    shown = children(started.pid)
    screen.press("Return")
    eventually(lambda: children(started.pid) not in ([], shown), PATIENCE)  # it looks the same
    screen.settle(screen.empty)
    screen.type("=3*3")
    press(screen, "Return")
    screen.press("Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "9\n"
