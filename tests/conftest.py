"""What all tests share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from daemons import Daemon

from swiftd.children import Child


@pytest.fixture(scope="session", autouse=True)
def interrupts():
    """Programs that tests start can be interrupted, also where the tests run in the background of a script.

    There a shell has SIGINT ignored, and so would they.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A compile cache for the whole run. `SWIFTD_TEST_CACHE` names one that outlives it."""
    if chosen := os.environ.get("SWIFTD_TEST_CACHE"):
        return Path(chosen)
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def process():
    """A process that does nothing."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
async def child(process):
    """The daemon's end of such a process; `theirs` is the end that a sandbox process would have."""
    ours, theirs = socket.socketpair()
    child = Child(process.pid, os.pidfd_open(process.pid), ours)
    with theirs:
        child.theirs = theirs
        yield child
    child.close()


@pytest.fixture
def idle_daemon(tmp_path, cache):
    """A daemon that is not started yet."""
    daemon = Daemon(tmp_path, cache)
    yield daemon
    daemon.close()


@pytest.fixture
def daemon(idle_daemon):
    """A daemon that runs, with the bundled plugins and an empty folder of the user's own."""
    return idle_daemon.start()
