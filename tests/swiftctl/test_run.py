"""`swiftctl run` and `swiftctl item`: what a key stands for, started or shown."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from swiftctl_answers import item, line

from swiftctl import detached
from swiftctl.__main__ import main

UNKNOWN = line(type="error", id=1, done=True, code="unknown-key", message="the answer is too old: ask again")


def answer(command):
    return line(type="item", id=1, done=True, item=item("name\nof it") | {"exec": command})


@pytest.fixture
def eventually(session):
    """Waits for what a command writes into a file of the session's."""

    def wait(name, until="\n"):
        give_up = time.monotonic() + 30
        while not (session / name).exists() or until not in (session / name).read_text():
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return (session / name).read_text()

    return wait


def test_the_command_is_started_detached(daemon, session, eventually, monkeypatch):
    monkeypatch.setenv("ROFI_INFO", "x")
    monkeypatch.setenv("MINE", "y")
    streams = "$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 | sort -u)"
    daemon.says(
        answer(f'echo "$(cut -d" " -f6 /proc/$$/stat) $$ $PWD {streams} ${{ROFI_INFO-none}} $MINE" >$HOME/said')
    )
    assert main(["run", "k1"]) == 0
    assert daemon.requests == [{"id": 1, "op": "activate", "key": "k1"}]
    sid, pid, *rest = eventually("said").split()
    assert sid == pid != str(os.getsid(0))
    assert rest == [str(session), "/dev/null", "none", "y"]


def test_nobody_waits_for_the_command(daemon, eventually):
    daemon.says(answer("echo $$ >$HOME/pid; exec sleep 30"))
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "swiftctl", "run", "k1"], check=False, capture_output=True)
    took = time.monotonic() - start
    os.kill(int(eventually("pid")), signal.SIGKILL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert took < 20


@pytest.mark.parametrize(
    "text",
    ["it's", '"', "$(touch pwned)", "`touch pwned`", "a\nb", "-n", "\\n", "é😀", "%s ${HOME} $$", "x" * 100_000],
)
@pytest.mark.parametrize("coercion", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_the_command_arrives_as_it_is(daemon, session, eventually, text, coercion):
    quoted = text.replace("'", "'\\''")
    daemon.says(answer(f"printf '%s.' '{quoted}' >$HOME/said"))
    subprocess.run([sys.executable, "-m", "swiftctl", "run", "k1"], check=True, env=os.environ | coercion)
    assert eventually("said", ".") == f"{text}."
    assert not list(session.rglob("pwned"))


@pytest.mark.parametrize(
    ("pieces", "status", "told"),
    [
        ([UNKNOWN], 4, "too old: ask again (unknown-key)"),
        ([answer("")], 1, "nothing to run for 'name of it'"),
        ([answer(" \n")], 1, "nothing to run"),
        ([answer("x" * 200_000)], 5, "too long"),
        ([answer("a\0b")], 5, "NUL"),
        ([], 3, "hung up"),
    ],
)
def test_what_cannot_be_run_is_told(daemon, capsys, pieces, status, told):
    daemon.says(*pieces)
    assert main(["run", "k1"]) == status
    assert told in capsys.readouterr().err


def test_without_a_home_it_starts_at_the_root(daemon, session, eventually, monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    daemon.says(answer(f"pwd >{session}/said"))
    assert main(["run", "k1"]) == 0
    assert eventually("said") == "/\n"


def test_a_command_finds_this_swiftctl_where_path_has_none(daemon, session, eventually, monkeypatch):
    (session / "our,own").mkdir()
    ours = session / "our,own" / "swiftctl"
    ours.write_text('#!/bin/sh\necho "ours $1" >$HOME/said\n')
    ours.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(ours)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    daemon.says(answer("swiftctl copy"))
    assert main(["run", "k1"]) == 0
    assert eventually("said") == "ours copy\n"


class TestInAScope:
    """systemd-run is a script here, with the behaviour that its manual gives it: it becomes the command."""

    @pytest.fixture
    def systemd_run(self, session, monkeypatch):
        (session / "systemd").mkdir()
        (session / "systemd" / "private").touch()
        (session / "bin").mkdir()
        monkeypatch.setenv("PATH", f"{session}/bin:{os.environ['PATH']}")

        def install(does):
            script = session / "bin" / "systemd-run"
            script.write_text(f"#!/bin/sh\n{does}\n")
            script.chmod(0o755)

        return install

    BECOMES = 'echo "$@" >$HOME/words; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'

    def test_the_command_gets_one_of_its_own(self, daemon, systemd_run, eventually):
        systemd_run(self.BECOMES)
        daemon.says(answer("echo $$ ${SWIFT_COMMAND-gone} $(readlink /proc/$$/fd/1) '${HOME}' >$HOME/said"))
        assert main(["run", "k1"]) == 0
        assert eventually("said").split()[1:] == ["gone", "/dev/null", "${HOME}"]
        words = eventually("words").split()
        assert words[:5] == ["--user", "--scope", "--quiet", "--collect", "--slice=app.slice"]
        assert words[5].startswith("--unit=app-swift-")

    @pytest.mark.parametrize("does", ["exit 1", "echo 'Failed to connect to bus' >&2; exit 1"])
    def test_if_that_fails_the_command_is_started_without(self, daemon, systemd_run, session, eventually, does):
        systemd_run(does)
        daemon.says(answer("echo once >>$HOME/said"))
        assert main(["run", "k1"]) == 0
        assert eventually("said") == "once\n"

    def test_a_command_that_fails_is_not_started_twice(self, daemon, systemd_run, eventually):
        systemd_run(self.BECOMES)
        daemon.says(answer("echo once >>$HOME/said; exit 1"))
        assert main(["run", "k1"]) == 0
        assert eventually("said") == "once\n"
        time.sleep(0.2)
        assert eventually("said") == "once\n"

    def test_if_that_hangs_the_command_is_started_without(self, daemon, systemd_run, eventually, monkeypatch):
        monkeypatch.setattr(detached, "PATIENCE", 0.2)
        systemd_run(f"exec {shutil.which('sleep')} 60")
        daemon.says(answer("echo once >>$HOME/said"))
        assert main(["run", "k1"]) == 0
        assert eventually("said") == "once\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("xdg-open 'a b'", (0, "xdg-open 'a b'\n", "")),
        ("first\n\x1b[31msecond", (0, "first\n\ufffd[31msecond\n", "")),
        ("", (1, "", "")),
    ],
)
def test_an_item_is_shown_without_being_started(daemon, capsys, command, expected):
    daemon.says(answer(command))
    assert (main(["item", "k1"]), *capsys.readouterr()) == expected
