"""`swiftctl menu` with the real fuzzel, wofi and tofi, in sway without a screen."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from daemons import eventually
from frontend_plugin import plugin
from frontend_session import PATIENCE, needs

pytestmark = [pytest.mark.xserver, needs("sway", "grim", "wtype")]

AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
"""sway refuses to run as root, so in a container that is root it runs as somebody else."""


class Compositor:
    """sway, with hands on its keyboard."""

    def __init__(self, session, folder):
        self.session = session
        self._folder = folder
        config = folder / "config"
        config.write_text("xwayland disable\n")
        words = ("sway", "--config", str(config))
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
            words = AS_NOBODY + words
        headless = {"WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1", "WLR_RENDERER": "pixman"}
        log = (folder / "log").open("wb")
        session.start(
            *words,
            env=session.environment | headless | {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)},
            cwd="/",
            stderr=log,
        )
        log.close()
        socket = eventually(
            lambda: next((path for path in folder.glob("wayland-*") if path.is_socket()), None), PATIENCE
        )
        session.environment["WAYLAND_DISPLAY"] = str(socket)
        # One keyboard that stays: fuzzel takes the end of the last one for a loss of the focus, and leaves.
        session.start("wtype", "-s", "600000")
        session.script("wl-copy", (session.bin / "xclip").read_text())

    def picture(self):
        path = self.session.folder / "picture.ppm"
        self.session.run("grim", "-t", "ppm", str(path))
        return path.read_bytes()

    def settle(self, *before):
        """Wait until the screen differs from all of `before` and stands still; return it."""

        def still():
            first = self.picture()
            time.sleep(0.3)
            return first if first not in before and first == self.picture() else None

        return eventually(still, PATIENCE)

    def type(self, text, *keys):
        """Type a text and press keys. One call for all, as each brings a keyboard of its own, which takes a moment."""
        pressed = [word for key in keys for word in ("-s", "300", "-k", key)]
        self.session.run("wtype", "-s", "500", "-d", "40", *([text] if text else []), *pressed)


@pytest.fixture
def compositor(session):
    folder = Path(tempfile.mkdtemp(prefix="swift-sway-"))
    yield Compositor(session, folder)
    session.close_programs()
    shutil.rmtree(folder)


@pytest.fixture(params=[pytest.param(name, marks=needs(name)) for name in ("fuzzel", "wofi", "tofi")])
def menu(request, session, compositor):
    def start(*options):
        session.serve()
        compositor.empty = compositor.picture()
        process = session.start("swiftctl", "menu", request.param, *options)
        compositor.settle(compositor.empty)
        return process

    return start


def test_ask_choose_and_it_runs(session, compositor, menu):
    started = menu()
    before = compositor.picture()
    compositor.type("=2+2*3", "Return")
    compositor.settle(before, compositor.empty)
    compositor.type("", "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "8\n"


def test_rows_of_the_same_name_start_their_own(session, compositor, menu):
    rows = [(name, f"echo {index} >>$HOME/ran") for index, name in enumerate(["same", "same", "<b>same", "same"])]
    session.daemon.install(plugin("s", rows), "same")
    started = menu("--query", "s")
    compositor.type("", "Down", "Down", "Down", "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == "3\n"


def test_escape_runs_nothing(session, compositor, menu):
    started = menu("--query", "=1+1")
    compositor.type("", "Escape")
    assert started.wait(PATIENCE) == 1
    assert not (session.home / "copied").exists()


def test_a_hint_is_a_row_that_asks_and_starts_nothing(session, compositor, menu):
    started = menu()
    before = compositor.picture()
    compositor.type("", "Return")  # the calculator's, whose trigger alone is no calculation
    before = compositor.settle(before, compositor.empty)
    compositor.type("=3*3", "Return")
    compositor.settle(before, compositor.empty)
    assert started.poll() is None
    compositor.type("", "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("copied") == "9\n"


@pytest.mark.parametrize("number", [2, 3])
def test_a_row_is_run_however_the_menu_prints_it(session, compositor, menu, number):
    """tofi takes accents apart; markup and pictures, which the user has switched on for wofi, are text here."""
    settings = session.home / ".config" / "wofi" / "config"
    settings.parent.mkdir(parents=True)
    settings.write_text("allow_markup=true\nallow_images=true\n")
    names = ["e\u0301", "caf\u00e9", "\ud55c\uae00  \u00fc ", "img:/x:text:\u30ac <b>b</b> &amp;"]
    session.daemon.install(plugin("h", [(name, f"echo {at} >>$HOME/ran") for at, name in enumerate(names)]), "hard")
    started = menu("--query", "h")
    compositor.type("", *["Down"] * number, "Return")
    assert started.wait(PATIENCE) == 0
    assert session.said("ran") == f"{number}\n"
