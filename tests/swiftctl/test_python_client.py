"""The client in a few lines of Python, over a real daemon and ids of every size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import GUESTS, Daemon

SCRIPT = Path(__file__).parents[2] / "clients" / "python" / "query.py"


@pytest.fixture
def query(daemon_of_its_own):
    def run(*texts):
        environment = os.environ | {"SWIFT_SOCKET": str(daemon_of_its_own.socket)}
        words = [sys.executable, SCRIPT, *texts]
        return subprocess.run(words, check=False, capture_output=True, text=True, env=environment, timeout=120)

    return run


@pytest.fixture
def daemon_of_its_own(tmp_path, cache):
    daemon = Daemon(tmp_path, cache)
    daemon.install(GUESTS / "unreachable.wat", "trap")
    yield daemon.start()
    daemon.close()


def test_three_hundred_answers_come_each_to_its_query(query):
    """The number 10 is a newline in msgpack, and so is a byte of 266."""
    done = query(*(f">{number}" for number in range(1, 301)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"You typed: {number}" for number in range(1, 301)]


def test_an_answer_that_is_full_of_newlines_is_one_answer(query):
    text = "a" + "\n" * 500 + "b"
    done = query(f">{text}", ">c")
    assert done.stdout == f"You typed: {text}\nYou typed: c\n"


def test_errors_are_told(query):
    assert query("unreachable:").stderr.startswith("trap: ")
    for size in (5000, 100_000):  # too long for a plugin, and for a request: of that the daemon can't tell the id
        done = query("x" * size)
        assert done.returncode == 1
        assert "bytes" in done.stderr


def test_it_finds_the_daemon_of_the_session(daemon_of_its_own, monkeypatch):
    monkeypatch.delenv("SWIFT_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(daemon_of_its_own.socket.parents[1]))
    done = subprocess.run([sys.executable, SCRIPT, ">a"], check=True, capture_output=True, text=True)
    assert done.stdout == "You typed: a\n"
