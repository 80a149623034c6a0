"""`swiftctl copy`, with small scripts in the place of the desktop's tools."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from swiftctl import clipboard
from swiftctl.__main__ import main


@pytest.fixture
def tool(session, monkeypatch):
    """Installs a script as a clipboard tool. Only those are found."""
    folder = session / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(name, *, does=None):
        body = does or f"{shutil.which('cat', path=os.defpath)} > {session}/copied-by-{name}"
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("displays", "tools"),
    [
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, ["wl-copy", "xclip", "xsel", "wl-copy"]),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, ["xsel", "xsel"]),
        ({"DISPLAY": ":0"}, ["wl-copy", "xclip", "xsel", "xclip"]),
        ({"DISPLAY": ":0"}, ["xsel", "xsel"]),
    ],
)
def test_the_sessions_own_tool_is_used(tool, session, monkeypatch, displays, tools):
    *installed, used = tools
    for name, value in displays.items():
        monkeypatch.setenv(name, value)
    for name in installed:
        tool(name)
    assert main(["copy", "--", "-é\n"]) == 0
    assert (session / f"copied-by-{used}").read_text() == "-é\n"
    assert len(list(session.glob("copied-by-*"))) == 1


def test_another_tool_is_tried_when_one_fails(tool, session, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    tool("xclip", does="exit 1")
    tool("xsel")
    assert main(["copy", "a"]) == 0
    assert (session / "copied-by-xsel").read_text() == "a"


@pytest.mark.parametrize(
    ("displays", "told"),
    [
        ({}, "neither WAYLAND_DISPLAY nor DISPLAY is set"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "install wl-copy"),
        ({"DISPLAY": ":0"}, "install xclip or xsel"),
    ],
)
def test_without_a_tool_it_says_what_is_missing(tool, capsys, monkeypatch, displays, told):
    for name, value in displays.items():
        monkeypatch.setenv(name, value)
    assert main(["copy", "a"]) == 5
    assert told in capsys.readouterr().err


def test_what_the_tool_complained_of_is_told(tool, capsys, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    tool("xclip", does='echo "Error: Can\'t open display: :0" >&2; exit 1')
    tool("xsel", does="exit 7")
    assert main(["copy", "a"]) == 5
    assert "xclip: Error: Can't open display: :0; xsel: exit status 7" in capsys.readouterr().err


def test_a_tool_that_hangs_is_ended(tool, capsys, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(clipboard, "PATIENCE", 0.2)
    tool("xclip", does=f"exec {shutil.which('sleep', path=os.defpath)} 60")
    assert main(["copy", "a"]) == 5
    assert "still busy" in capsys.readouterr().err


def test_a_tool_that_stays_behind_holds_nothing_of_ours(tool, session, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    tool("xclip", does=f"{shutil.which('sleep', path=os.defpath)} 60 & echo $! >{session}/pid")
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "swiftctl", "copy", "a"], check=False, capture_output=True)
    took = time.monotonic() - start
    os.kill(int((session / "pid").read_text()), signal.SIGKILL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert took < 30
