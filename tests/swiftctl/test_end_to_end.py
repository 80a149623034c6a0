"""The client and the real daemon, with the bundled plugins, each started the way a user does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from daemons import is_alive


class Session:
    """A user's session of its own: folders, environment, and what was started in it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="swiftctl-"))
        places = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "CACHE", "STATE")}
        runtime = {"XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)}
        self.environment = {**os.environ, **places, **runtime}
        self.environment.pop("SWIFT_SOCKET", None)
        self.socket = self.folder / "swift" / "swiftd.sock"
        self.log = self.folder / "state" / "swift" / "swiftd.log"

    def swiftctl(self, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "swiftctl", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def pid(self):
        status, out, _ = self.swiftctl("--no-start", "stats", "--json")
        return None if status else json.loads(out)["pid"]

    def stop(self, how=signal.SIGTERM):
        if pid := self.pid():
            os.kill(pid, how)
            give_up = time.monotonic() + 30
            while self.listens() or is_alive(pid):
                assert time.monotonic() < give_up, self.log.read_text()
                time.sleep(0.01)

    def listens(self):
        """Whether a connection is accepted: a killed process does so until the last of its threads is gone."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


@pytest.fixture(scope="module")
def session():
    session = Session()
    yield session
    session.stop()
    shutil.rmtree(session.folder)


def test_the_first_query_starts_the_daemon(session):
    assert session.swiftctl("--no-start", "query", ">hello")[0] == 3
    assert session.swiftctl("query", ">hello world") == (0, "You typed: hello world\n", "")
    assert session.log.exists()


def test_the_next_query_meets_the_same_daemon(session):
    session.swiftctl("query", ">a")
    first = session.pid()
    assert session.swiftctl("query", "=2+2*3") == (0, "2+2*3 = 8\n", "")
    assert session.pid() == first


@pytest.mark.parametrize("text", [">é😀", ">two  spaces", ">'\"$(id)`<&>"])
def test_text_comes_through_unchanged(session, text):
    assert session.swiftctl("query", text) == (0, f"You typed: {text[1:]}\n", "")


def test_the_forms_of_an_answer(session):
    status, out, err = session.swiftctl("query", "--json", ">a\nb")
    answer = json.loads(out)
    assert (status, err, answer["type"], answer["items"][0]["name"]) == (0, "", "results", "You typed: a\nb")
    status, out, err = session.swiftctl("query", "--tsv", ">a\nb")
    key, name = out.removesuffix("\n").split("\t")
    assert (status, err, name) == (0, "", "You typed: a b")
    assert key


def test_nothing_found_is_status_1(session):
    assert session.swiftctl("query", "no plugin claims this") == (1, "", "")


@pytest.mark.parametrize("length", [5_000, 100_000])
def test_an_input_that_is_too_long_is_refused_by_the_daemon(session, length):
    status, out, err = session.swiftctl("query", ">" + "x" * length)
    assert (status, out) == (4, "")
    assert err.startswith("swiftctl: ")


def test_the_other_commands(session):
    session.swiftctl("query", ">a")
    status, out, err = session.swiftctl("plugins")
    assert (status, err) == (0, "")
    assert [row.split()[:3] for row in out.splitlines()][:1] == [["NAME", "TRIGGER", "STATE"]]
    assert ["echo", ">", "ready"] in [row.split()[:3] for row in out.splitlines()]
    status, out, err = session.swiftctl("stats")
    assert (status, err) == (0, "")
    assert "echo" in out
    status, out, err = session.swiftctl("ping")
    assert (status, err) == (0, "")
    assert out.startswith("swiftd ")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_went_away_is_started_again(session, how):
    session.swiftctl("query", ">a")
    session.stop(how)
    assert session.swiftctl("query", ">again") == (0, "You typed: again\n", "")


def test_clients_that_all_start_a_daemon_end_up_with_one(session):
    session.stop()
    with ThreadPoolExecutor(5) as clients:
        answers = list(clients.map(session.swiftctl, ["query"] * 5, [f">{number}" for number in range(5)]))
    assert answers == [(0, f"You typed: {number}\n", "") for number in range(5)]
    assert [process for process in Path("/proc").glob("[0-9]*") if _is_daemon(process, session)] == [
        Path("/proc", str(session.pid()))
    ]


def _is_daemon(process, session):
    try:
        words = (process / "cmdline").read_text(errors="replace").split("\0")
        environment = (process / "environ").read_text(errors="replace")
    except OSError:
        return False
    return any(word.endswith("swiftd") for word in words) and str(session.folder) in environment
