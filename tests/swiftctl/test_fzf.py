"""`swiftctl fzf` without fzf: how it is called and what becomes of its answer. tests/frontends drives the real one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest
from swiftctl_answers import item, line, results

from swiftctl import SwiftctlError, fzf
from swiftctl.__main__ import main

PLUGINS = line(type="plugins", id=1, done=True, plugins=[])
ASKED = "=é\t1".encode().hex()


def reply(request):
    if request["op"] == "plugins":
        return PLUGINS
    if request["op"] == "query":
        return results(*ANSWERS[request["input"]])
    if request["key"] not in COMMANDS:
        return line(type="error", id=1, done=True, code="unknown-key", message="too old")
    return line(type="item", id=1, done=True, item=item("a") | {"exec": COMMANDS[request["key"]]})


COMMANDS = {f"k{number}": f"echo {number} >>$HOME/ran" if number else "" for number in range(4)}
ANSWERS = {
    "=2": [item("name", "k2"), item("other", "k3"), item("name", "k1")],
    "=nothing": [],
    "=informs": [item("a", "k0")],
}


@pytest.fixture
def run(daemon, session, monkeypatch):
    """Runs it in a terminal with a script for fzf; status and what it wrote there."""
    daemon.replies(reply)
    (session / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{session}/bin:{os.environ['PATH']}")

    def start(*does):
        """What fzf does the first time, the second, and so on; then it is left."""
        (session / "version").write_text("0.38.0 (fake)")
        cases = "".join(f"{number}) {what};;" for number, what in enumerate(does))
        script = session / "bin" / "fzf"
        script.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && exec cat $HOME/version\n'
            f'echo "$SHELL" >$HOME/shell; n=0; while [ -e "$HOME/call$n" ]; do n=$((n + 1)); done\n'
            f'printf "%s\\n" "$@" >$HOME/call$n; case $n in {cases} *) exit 130;; esac\n'
        )
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


def printed(text, *row):
    rows = "\\t".join(row)
    return f"printf '{text}\\n{rows}\\n'"


def ran(session):
    give_up = time.monotonic() + 10
    while not (session / "ran").exists() or not (session / "ran").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return (session / "ran").read_text()


@pytest.mark.parametrize(
    ("does", "number"),
    [
        (printed("=é\t1", "k1", ASKED, "name"), "1"),
        (printed("=2", "k1", ASKED, "other"), "3"),
        (printed("=2", "k1", ASKED, "name"), "2"),
        (printed("=2", "k1", ASKED, "gone"), "2"),
        (printed("=2", "", ASKED, "nothing found"), "2"),
        ("echo =2; exit 1", "2"),
        ("echo =2", "2"),
        ("echo =2; echo ctrl-y; " + printed("x", "k3", "3d32", "other").replace("x\\n", ""), "3"),
    ],
)
def test_what_is_started_belongs_to_the_text(run, session, does, number):
    assert run(does) == (0, "")
    assert ran(session) == f"{number}\n"


@pytest.mark.parametrize(
    ("does", "text", "note"),
    [
        (printed("=2", "k0", "3d32", "name"), "=2", "there is nothing to run for 'a': it only informs"),
        (printed("=2", "k9", "3d32", "name"), "=2", "too old (unknown-key)"),
        (printed("=2", "", "3d32", "calc: timeout"), "=2", fzf.ASKED_AGAIN),
        (printed("=2", "swiftctl: there is no daemon"), "=2", fzf.ASKED_AGAIN),
        (printed("=2", "k1", "no digits", "name"), "=2", fzf.ASKED_AGAIN),
        (printed("=nothing", "k1", ASKED, "name"), "=nothing", None),
        (printed("=informs", "k1", ASKED, "name"), "=informs", "there is nothing to run for 'a': it only informs"),
        ("echo =nothing; exit 1", "=nothing", None),
    ],
)
def test_where_there_is_nothing_to_start_fzf_is_shown_again_with_the_text(run, session, does, text, note):
    assert run(does) == (1, "")
    called = (session / "call1").read_text().splitlines()
    assert f"--query={text}" in called
    header = next(word for word in called if word.startswith("--header="))
    assert (note in header) if note else header.startswith("--header=no plugins")
    assert not (session / "ran").exists()


@pytest.mark.parametrize(
    ("does", "status", "told"), [("exit 130", 1, ""), ("exit 2", 5, "FZF_DEFAULT_OPTS"), ("kill -9 $$", 5, "signal 9")]
)
def test_what_becomes_of_fzf_s_own_end(run, does, status, told):
    got, said = run(does)
    assert got == status
    assert told in said
    assert bool(said) == bool(told)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.38.0 (debian)", []),
        ("0.52.1", ["--with-shell=/bin/sh -c"]),
        ("0.74", ["--with-shell=/bin/sh -c", "--accept-nth=.."]),
        ("1.0.0", ["--with-shell=/bin/sh -c", "--accept-nth=.."]),
        ("nonsense", []),
    ],
)
def test_options_that_only_later_versions_know_are_given_to_those(session, monkeypatch, version, words):
    script = session / "fzf"
    script.write_text(f"#!/bin/sh\necho '{version}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{session}:{os.environ['PATH']}")
    assert fzf.later_options() == words


def test_a_version_that_is_too_old_is_told(session, monkeypatch):
    script = session / "fzf"
    script.write_text("#!/bin/sh\necho '0.29 (devel)'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{session}:{os.environ['PATH']}")
    with pytest.raises(SwiftctlError, match=r"this fzf is 0\.29: 0\.38 or later is needed"):
        fzf.later_options()


def test_fzf_gets_a_posix_shell_whatever_the_users_own_is(run, session, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    run("exit 130")
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
