"""`swiftctl fzf` without fzf: how it is called and what becomes of its answer. tests/frontends drives the real one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from swiftctl_answers import item, line

from swiftctl import fzf
from swiftctl.__main__ import main

PLUGINS = line(type="plugins", id=1, done=True, plugins=[])


def reply(request):
    if request["op"] == "plugins":
        return PLUGINS
    command = "" if request["key"] == "k0" else "touch $HOME/ran"
    return line(type="item", id=1, done=True, item=item("a") | {"exec": command})


@pytest.fixture
def run(daemon, session, monkeypatch):
    """Runs it in a terminal with a script for fzf; status and what it wrote there."""
    daemon.replies(reply)
    (session / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{session}/bin:{os.environ['PATH']}")

    def start(does):
        script = session / "bin" / "fzf"
        script.write_text(f'#!/bin/sh\necho "$SHELL" >$HOME/shell; {does}\n')
        script.chmod(0o755)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "swiftctl", "fzf"])
        said = b""
        try:
            while data := os.read(terminal, 4096):
                said += data
        except OSError:  # the terminal's other side is closed
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()

    return start


@pytest.mark.parametrize(
    ("does", "status", "told"),
    [
        (r"printf 'k1\tname\n'", 0, ""),
        (r"printf 'k0\tname\n'", 1, "nothing to run"),
        ("echo 'swiftctl: calc: took longer (timeout)'", 1, ""),
        ("exit 1", 1, ""),
        ("exit 130", 1, ""),
        ("exit 2", 5, "0.38"),
        ("kill -9 $$", 5, "signal 9"),
    ],
)
def test_what_becomes_of_the_choice(run, does, status, told):
    got, said = run(does)
    assert got == status
    assert told in said
    assert bool(said) == bool(told)


def test_fzf_gets_a_posix_shell_whatever_the_users_own_is(run, session, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    run("exit 1")
    assert (session / "shell").read_text() == "/bin/sh\n"


def test_without_fzf_it_says_so(session, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(session))
    assert main(["fzf"]) == 5
    assert "not installed" in capsys.readouterr().err


def test_without_a_terminal_it_says_so(daemon, session):
    (session / "fzf").touch(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-m", "swiftctl", "fzf"],
        check=False,
        capture_output=True,
        env=os.environ | {"PATH": f"{session}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert done.returncode == 5
    assert b"no terminal" in done.stderr


def test_every_shell_word_of_ours_is_quoted():
    words = fzf.command("'/a b/swiftctl'", "--x", "h")
    assert "--query=--x" in words
    assert all("'/a b/swiftctl' " in word for word in words if "swiftctl" in word)
