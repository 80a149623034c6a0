"""The process that makes processes, spoken to as the daemon does."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from daemons import PATIENCE, children, eventually, is_alive, wait_for_end

from swiftd.sandbox.engine import runtime_id


class Control:
    """The daemon's end."""

    def __init__(self, **options):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swiftd.sandbox.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                **options,
            )
        self.hello = self.socket.recv(4096)
        self.opened = []

    def fork(self):
        """A worker's process, connection and pidfd."""
        self.socket.send(b"w")
        data, (connection, pidfd, *self.memory), _, _ = socket.recv_fds(self.socket, 64, 3)
        self.opened += [pidfd, *self.memory]
        return int(data), socket.socket(fileno=connection), pidfd

    def close(self):
        everyone = [self.process.pid, *children(self.process.pid)]
        self.socket.close()
        for pidfd in self.opened:
            os.close(pidfd)
        try:
            self.process.wait(PATIENCE)
            assert wait_for_end(everyone) == []
        finally:
            for pid in filter(is_alive, everyone):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def control():
    control = Control()
    yield control
    control.close()


def ended(pidfd, patience=PATIENCE):
    return bool(select.select([pidfd], [], [], patience)[0])


def test_it_says_first_what_its_children_can_load(control):
    assert control.hello.decode() == runtime_id()
    assert "wasmtime 5" in runtime_id()


def test_what_workers_need_of_ours_is_compiled_once_and_before_them():
    """By a process that ends: the one that forks has no engine, and in a worker nothing is compiled."""
    script = """
import os
from wasmtime import component
from swiftd.sandbox import clock, engine
clock.artefact()
print(len(os.listdir("/proc/self/task")))
try:
    os.wait()
except ChildProcessError:
    print("no child")
del component.Component.__init__  # the compiler
component.Component.__init__ = lambda *_: 1 / 0
clock._ready(engine.make_engine(threads=False))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.splitlines() == ["1", "no child"]


def test_each_request_gives_a_child_with_a_connection_and_a_pidfd(control):
    made = [control.fork() for _ in range(3)]
    assert sorted(children(control.process.pid)) == sorted(pid for pid, _, _ in made)
    assert not any(ended(pidfd, 0) for _, _, pidfd in made)
    for _, connection, pidfd in made:
        connection.close()  # a worker's end
        assert ended(pidfd)
    eventually(lambda: children(control.process.pid) == [])  # none is left as a zombie


def test_a_worker_shares_memory_of_its_own_with_whoever_asked_for_it(control):
    made = []
    for _ in range(2):
        _, connection, _ = control.fork()
        made.append(connection)
        assert os.readlink(f"/proc/self/fd/{control.memory[0]}").startswith("/memfd:")
    assert len({os.fstat(memory).st_ino for memory in control.opened[1::2]}) == 2
    for connection in made:
        connection.close()


def test_where_there_is_no_memory_to_share_there_are_workers_all_the_same():
    """As where files may not be as large."""
    limit = (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    control = Control(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    try:
        _, connection, pidfd = control.fork()
        assert control.memory == []
        assert not ended(pidfd, 0)
        connection.close()
        assert ended(pidfd)
    finally:
        control.close()


def test_a_child_that_is_killed_is_reaped_and_the_others_live(control):
    (first, one, pidfd), (second, other, _) = control.fork(), control.fork()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert ended(pidfd)
    eventually(lambda: children(control.process.pid) == [second])
    assert is_alive(second)
    one.close()
    other.close()
    assert first != second


def test_it_keeps_nothing_of_its_children(control):
    _, connection, pidfd = control.fork()  # it serves: what it does first is done
    connection.close()
    assert ended(pidfd)
    before = len(os.listdir(f"/proc/{control.process.pid}/fd"))
    for _ in range(30):
        _, connection, pidfd = control.fork()
        connection.close()
        assert ended(pidfd)
    assert len(os.listdir(f"/proc/{control.process.pid}/fd")) == before
    eventually(lambda: children(control.process.pid) == [])


def test_a_key_press_meant_for_the_daemon_ends_nothing(control):
    pid, connection, pidfd = control.fork()
    for each in (control.process.pid, pid):
        os.kill(each, signal.SIGINT)
    again = control.fork()
    assert is_alive(pid)
    assert not ended(pidfd, 0)
    connection.close()
    again[1].close()


def test_with_the_daemon_it_ends_and_all_its_children(control):
    made = [control.fork() for _ in range(3)]
    control.socket.close()
    assert control.process.wait(PATIENCE) == 0
    assert all(ended(pidfd, 5) for _, _, pidfd in made)
    for _, connection, _ in made:
        connection.close()


def test_with_it_all_its_children_end(control):
    made = [control.fork() for _ in range(3)]
    control.process.kill()
    control.process.wait(PATIENCE)
    assert all(ended(pidfd, 5) for _, _, pidfd in made)
    for _, connection, _ in made:
        connection.close()
