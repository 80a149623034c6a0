"""`swiftctl open`, with small scripts in the place of the desktop's tools."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swiftctl.__main__ import main


@pytest.fixture
def opened(session, monkeypatch):
    """What the tool was called with. Only the tools installed here are found."""
    (session / "bin").mkdir()
    (session / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(session / "bin"))

    def install(*names):
        for name in names:
            script = session / "bin" / name
            script.write_text(
                f'#!/bin/sh\nprintf "%s\\0" {name} "$@" >"$HOME/part"; /bin/mv "$HOME/part" "$HOME/said"\n'
            )
            script.chmod(0o755)

    def said():
        give_up = time.monotonic() + 30
        while not (session / "said").exists():
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return os.fsdecode((session / "said").read_bytes()).split("\0")[:-1]

    said.install = install
    return said


HOSTILE = [
    "'; touch pwned #",
    "$(touch pwned)",
    "`touch pwned`",
    "a b",
    "two\nlines",
    "<b>&amp;",
    "-x",
    "a:b",
    "é\udcff",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_is_opened_by_its_whole_path(opened, session, monkeypatch, name):
    opened.install("xdg-open", "gio")
    (session / name).touch()
    monkeypatch.chdir(session)
    assert main(["open", "--", name]) == 0
    assert opened() == ["xdg-open", f"{session}/{name}"]
    assert not (session / "pwned").exists()


@pytest.mark.parametrize("address", ["https://example.org/?a=b&c='d'", "mailto:a@example.org"])
def test_an_address_is_passed_on(opened, address):
    opened.install("gio")
    assert main(["open", address]) == 0
    assert opened() == ["gio", "open", address]


@pytest.mark.parametrize(("target", "told"), [("", "expected"), ("absent", "there is no file"), ("ftp", "no file")])
def test_what_is_neither_is_told(opened, capsys, target, told):
    opened.install("xdg-open")
    assert main(["open", target]) == 5
    assert told in capsys.readouterr().err


def test_without_a_tool_it_says_what_to_install(opened, capsys):
    assert main(["open", "https://example.org"]) == 5
    assert "xdg-open" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_a_file_name_in_any_locale(opened, session):
    opened.install("xdg-open")
    name = os.fsencode(session) + b"/\xff\xc3\xa9"
    Path(os.fsdecode(name)).touch()
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-m", "swiftctl", "open", name], check=True, env=environment)
    assert opened() == ["xdg-open", os.fsdecode(name)]
