"""What the daemon tells whoever started it, on a real NOTIFY_SOCKET, and how it marks its log for the journal."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from itertools import pairwise

import pytest
import trio
from daemons import GUESTS, PATIENCE, eventually

from swiftd import notify

BUNDLED_COUNT = r"STATUS=Plugins: [1-9]\d* ready"


class Receiver:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, bound, name):
        self._socket = bound
        self.variables = {"NOTIFY_SOCKET": name.replace("\0", "@")}

    def next(self):
        """The next message's lines."""
        return self._socket.recv(4096).decode().splitlines()

    def until(self, line):
        """Every line up to one that matches, which is the last."""
        lines = []
        give_up = time.monotonic() + PATIENCE
        while not any(re.fullmatch(line, each) for each in lines):
            assert time.monotonic() < give_up, lines
            lines += self.next()
        return lines

    def during(self, seconds):
        """When each message came, in seconds from now on, with its lines."""
        begin = time.monotonic()
        came = []
        while (left := begin + seconds - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                came.append((time.monotonic() - begin, self.next()))
            except TimeoutError:
                break
        self._socket.settimeout(PATIENCE)
        return came


@contextmanager
def listening(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(PATIENCE)
        bound.bind(name)
        yield Receiver(bound, name)


@pytest.fixture(params=["path", "abstract"])
def receiver(request, idle_daemon):
    name = f"\0swiftd-notify-{os.getpid()}" if request.param == "abstract" else str(idle_daemon._run / "notify")
    with listening(name) as receiver:
        yield receiver


@pytest.fixture
def started(idle_daemon, receiver):
    """A daemon that has said how its plugins fare."""
    idle_daemon.start(env=receiver.variables)
    count = len(idle_daemon.client().ask("plugins")["plugins"])
    receiver.until(f"STATUS=Plugins: {count} ready")
    return idle_daemon


# ---- a real daemon ----------------------------------------------------------------------------------------------


def test_it_is_ready_first_and_then_counts_its_plugins(idle_daemon, receiver):
    idle_daemon.install("(component)", "broken")
    idle_daemon.start(env=receiver.variables, wait=False)
    assert receiver.next() == ["READY=1", "STATUS=Looking at the plugins"]
    assert idle_daemon.client().ask("hello")["type"] == "hello"
    receiver.until(r"STATUS=Plugins: [1-9]\d* ready, 1 refused")


def test_the_status_follows_the_plugins(started, receiver):
    count = len(started.client().ask("plugins")["plugins"])
    started.install(GUESTS / "ok.wat")
    receiver.until(f"STATUS=Plugins: {count + 1} ready")
    (started.plugins / "ok.wasm").unlink()
    receiver.until(f"STATUS=Plugins: {count} ready")


def test_a_reload_is_told_with_its_time(started, receiver):
    begin = time.monotonic_ns() // 1000
    started.process.send_signal(signal.SIGHUP)
    reloading, moment = [line for line in receiver.until("READY=1") if not line.startswith("STATUS")][:2]
    assert reloading == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", moment)
    assert begin <= int(moment.partition("=")[2]) <= time.monotonic_ns() // 1000
    assert started.client().names(">x") == ["You typed: x"]


def test_reloads_in_a_row_all_end(started, receiver):
    for _ in range(5):
        started.process.send_signal(signal.SIGHUP)
        lines = receiver.until("READY=1")
        assert lines.index("RELOADING=1") < lines.index("READY=1")


def test_it_says_that_it_stops(started, receiver):
    started.stop()
    assert receiver.until("STOPPING=1")[-1] == "STOPPING=1"


def test_it_shows_a_sign_of_life_twice_as_often_as_wanted(idle_daemon, receiver):
    wanted = 1.0
    idle_daemon.start(env=receiver.variables | {"WATCHDOG_USEC": str(int(wanted * 1e6))})
    receiver.until(BUNDLED_COUNT)
    signs = [moment for moment, lines in receiver.during(4 * wanted) if "WATCHDOG=1" in lines]
    assert 6 <= len(signs) <= 12  # eight, and as many more as something changed
    gaps = [later - earlier for earlier, later in pairwise(signs)]
    assert max(gaps) < wanted


def test_a_daemon_that_hangs_shows_no_sign_of_life(idle_daemon, receiver):
    idle_daemon.start(env=receiver.variables | {"WATCHDOG_USEC": "200000"})
    receiver.until("WATCHDOG=1")
    idle_daemon.process.send_signal(signal.SIGSTOP)
    try:
        receiver.during(0.3)
        assert receiver.during(0.5) == []
    finally:
        idle_daemon.process.send_signal(signal.SIGCONT)
    receiver.until("WATCHDOG=1")


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_nobody_who_did_not_ask_gets_signs_of_life(idle_daemon, watchdog):
    with listening(str(idle_daemon._run / "notify")) as receiver:
        idle_daemon.start(env=receiver.variables | watchdog)
        assert "WATCHDOG=1" not in receiver.until(BUNDLED_COUNT)
        assert [lines for _, lines in receiver.during(0.5) if "WATCHDOG=1" in lines] == []


def test_a_receiver_that_does_not_read_holds_nothing_up(idle_daemon):
    name = str(idle_daemon._run / "notify")
    with listening(name):
        idle_daemon.start(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000"})
        client = idle_daemon.client()
        for _ in range(20):
            assert client.names(">x") == ["You typed: x"]
            time.sleep(0.05)
        assert idle_daemon.stop() == 0


# ---- its signs of life, without waiting -------------------------------------------------------------------------


class Counts:
    """A catalog that counts what it is told to, and tells of changes when it is told to."""

    def __init__(self):
        self.now = {"ready": 2}
        self.change, self._changes = trio.open_memory_channel(10)

    def counts(self):
        return self.now

    @contextmanager
    def changes(self):
        yield self._changes


@pytest.fixture
def told(monkeypatch):
    """What was sent, with the time."""
    sent = []
    monkeypatch.setattr(notify, "send", lambda state: sent.append((trio.current_time(), state)))
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    return sent


async def test_the_time_between_two_signs_is_half_of_what_is_allowed(told, monkeypatch, autojump_clock):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    begin = trio.current_time()
    with trio.move_on_after(61):
        await notify.keep_informed(Counts())
    assert [round(moment - begin) for moment, _ in told] == [0, 15, 30, 45, 60]
    assert {state for _, state in told} == {"WATCHDOG=1\nSTATUS=Plugins: 2 ready"}


async def test_the_same_status_is_not_told_twice(told, autojump_clock):
    catalog = Counts()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notify.keep_informed, catalog)
        for now in ({"ready": 2}, {"ready": 2}, {"ready": 1, "compiling": 1}, {}):
            await trio.sleep(1)
            catalog.now = now
            catalog.change.send_nowait("something")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [state for _, state in told] == [
        "STATUS=Plugins: 2 ready",
        "STATUS=Plugins: 1 compiling, 1 ready",
        "STATUS=Plugins: none",
    ]


# ---- the journal ------------------------------------------------------------------------------------------------


def test_for_the_journal_each_line_has_its_level_and_no_time(idle_daemon):
    idle_daemon.config.write_text("nonsense")
    idle_daemon.log.touch()
    status = idle_daemon.log.stat()
    idle_daemon.start(env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    idle_daemon.client().settled("echo")
    idle_daemon.stop()
    lines = idle_daemon.said().splitlines()
    assert all(re.match(r"<[2-7]>\S", line) for line in lines), lines
    assert f"<6>listening on {idle_daemon.socket}" in lines
    assert any(line.startswith(("<3>", "<4>")) and "config.toml" in line for line in lines)


def test_what_ends_it_is_critical_in_the_journal(idle_daemon):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    idle_daemon.socket.write_text("in the way")
    idle_daemon.log.touch()
    status = idle_daemon.log.stat()
    idle_daemon.start(env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, wait=False)
    assert idle_daemon.process.wait(PATIENCE) == 1
    idle_daemon.process = None
    assert re.search(rf"^<2>{re.escape(str(idle_daemon.socket))} is in the way", idle_daemon.said(), re.MULTILINE)


@pytest.mark.parametrize("stream", ["", "1:1", "nonsense", "8:"])
def test_where_stderr_is_not_the_journal_lines_have_a_time(idle_daemon, stream):
    idle_daemon.start(env={"JOURNAL_STREAM": stream})
    eventually(lambda: "listening on" in idle_daemon.said())
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in idle_daemon.said().splitlines())
