"""`swiftctl stop`: it ends the daemon in whatever state that is, and nobody else."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from daemons import PATIENCE, eventually, is_alive, wait_for_end
from swiftctl_answers import line

from swiftctl import holder, stop
from swiftctl.__main__ import main

ACTIVATE = shutil.which("systemd-socket-activate")

HOLDING = """
import fcntl, os, signal, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
if sys.argv[2:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.close(lock)
        print(os.getpid(), flush=True)
while True:
    time.sleep(60)
"""
"""What holds a lock like a daemon does; a deaf one has a child and hears no SIGTERM."""

SUPERVISING = """
import os, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
if (child := os.fork()) == 0:
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execv(sys.executable, [sys.executable, "-m", "swiftd", *sys.argv[2:]])
os.waitpid(child, 0)
"""
"""A service manager that listens and passes its socket on."""


def stops(daemon, *words):
    """Run it as a user does: its status and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "swiftctl", "--socket", str(daemon.socket), "stop", *words],
        check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout == ""
    return done.returncode, done.stderr


def assert_ended(daemon, everyone):
    assert daemon.process.wait(PATIENCE) is not None
    daemon.process = None
    assert wait_for_end(everyone, 1.0) == []


@pytest.fixture
def running(request):
    """A daemon with its sandbox processes; here and not above, as the fake one of this folder has the same name."""
    daemon = request.getfixturevalue("idle_daemon").start()
    daemon.idle_workers()
    return daemon


def test_it_ends_the_daemon_with_all_its_processes(running):
    everyone = running.family()
    assert len(everyone) >= 4
    assert stops(running) == (0, "")
    assert_ended(running, everyone)
    assert stops(running) == (1, f"swiftctl: nobody listens at {running.socket}\n")


@pytest.mark.parametrize("who", ["the daemon", "everyone"])
def test_one_that_is_stopped_is_ended_too(running, who):
    everyone = running.family()
    for pid in everyone if who == "everyone" else everyone[:1]:
        os.kill(pid, signal.SIGSTOP)
    assert stops(running)[0] == 0
    assert_ended(running, everyone)


def test_one_at_which_too_many_wait_is_ended_too(running):
    everyone = running.family()
    os.kill(running.process.pid, signal.SIGSTOP)
    with ExitStack() as waiting:
        with suppress(BlockingIOError):
            while True:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(running.socket))
        assert stops(running)[0] == 0
    assert_ended(running, everyone)


def test_one_whose_socket_is_gone_is_ended_too(running):
    everyone = running.family()
    os.kill(running.process.pid, signal.SIGSTOP)
    running.socket.unlink()
    assert stops(running)[0] == 0
    assert_ended(running, everyone)


@contextmanager
def holding(lock, *words):
    """A process that holds a lock, once it does, and the first line that it says."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING, lock, *words], stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: is_locked(lock))
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_locked(lock):
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def test_one_that_does_not_end_in_time_is_killed_and_what_it_has_started_too(session, capsys):
    path = str(session / "s")
    with holding(f"{path}.lock", "deaf") as deaf:
        child = int(deaf.stdout.readline())
        try:
            assert main(["--socket", path, "stop", "--timeout", "0.2"]) == 0
            assert deaf.wait(PATIENCE) == -signal.SIGKILL
            assert wait_for_end([child]) == []
        finally:
            if is_alive(child):
                os.kill(child, signal.SIGKILL)
    assert capsys.readouterr().err == "swiftctl: the daemon did not end within 0.2 s, and was killed\n"


def test_what_a_listener_says_of_itself_ends_nobody(daemon, capsys):
    """A process number in an answer is no proof. Here who listens is this very test."""
    with holding(f"{daemon.path}.other") as bystander:
        daemon.replies(lambda request: line(type="stats", id=1, done=True, pid=bystander.pid))
        assert main(["stop"]) == 4
        assert bystander.poll() is None
    said = capsys.readouterr().err
    assert f"process {os.getpid()} listens at {daemon.path}, and is not known to be swiftd: end it yourself" in said


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", None])
def test_a_listener_that_does_not_say_who_it_is_is_left_alone(daemon, capsys, answer):
    daemon.replies(lambda request: answer)
    if answer == b"":
        daemon.replies(None)
        daemon.says(b"", hang_up=False)
    assert main(["stop", "--timeout", "0.5"]) == 4
    assert "is not known to be swiftd" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["open", "link", "hard to tell", "none", "fifo"])
def test_a_lock_that_proves_nothing_ends_nobody(session, kind):
    lock, other = session / "s.lock", session / "other.lock"
    with holding(str(other)) as bystander:
        match kind:
            case "link":
                lock.symlink_to(other)
            case "fifo":
                os.mkfifo(lock)
            case "hard to tell":  # the same number elsewhere
                lock.touch()
            case "open":
                lock.touch()
        with ExitStack() as opened:
            if kind == "open":
                opened.enter_context(lock.open("rb"))
            assert holder.find(str(session / "s")) is None
            assert main(["--socket", str(session / "s"), "stop"]) == 1
        assert bystander.poll() is None


def test_who_only_reads_a_lock_that_another_holds_is_not_its_holder(session):
    with holding(str(session / "s.lock")) as keeper, (session / "s.lock").open("rb"):
        process = holder.find(str(session / "s"))
        assert process.pid == keeper.pid
        process.close()


@pytest.mark.systemd
@pytest.mark.skipif(not ACTIVATE, reason="systemd-socket-activate is not installed")
def test_one_that_serves_what_was_passed_and_listens_itself_is_ended(idle_daemon, request):
    """systemd-socket-activate becomes the daemon: who listens and who answers are one process."""
    idle_daemon.socket.parent.mkdir(mode=0o700)
    command = [ACTIVATE, f"--setenv=HOME={idle_daemon.home}", f"--listen={idle_daemon.socket}", sys.executable]
    command += ["-m", "swiftd", "--cache-dir", str(idle_daemon.cache)]
    with idle_daemon.log.open("ab") as log:
        idle_daemon.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    eventually(lambda: "Listening on" in idle_daemon.said())
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert stops(idle_daemon) == (0, "")
    assert idle_daemon.process.wait(PATIENCE) == 0
    idle_daemon.process = None


def test_who_listens_for_another_process_is_not_ended_and_named(idle_daemon):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    command = [sys.executable, "-c", SUPERVISING, str(idle_daemon.socket), "--cache-dir", str(idle_daemon.cache)]
    with idle_daemon.log.open("ab") as log:
        idle_daemon.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    idle_daemon.wait_for_socket()
    served = idle_daemon.client().ask("stats")["pid"]
    status, said = stops(idle_daemon)
    assert status == 4
    assert f"process {idle_daemon.process.pid} listens at {idle_daemon.socket}, and is not known to be swiftd" in said
    assert is_alive(served)
    os.kill(served, signal.SIGTERM)
    assert idle_daemon.process.wait(PATIENCE) == 0
    idle_daemon.process = None


def test_how_long_it_waits_is_as_long_as_the_service_does():
    unit = (Path(__file__).parents[2] / "systemd" / "swiftd.service").read_text()
    assert f"TimeoutStopSec={stop.GRACE:g}\n" in unit
