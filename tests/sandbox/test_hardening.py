"""What a sandbox process can't do any more, tried with the process's own means, as an escaped guest would."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from daemons import in_view

from swiftd.sandbox import landlock, seccomp

TRIES = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, sys, threading
from swiftd.sandbox.hardening import harden

inside, writable, outside = sys.argv[1:4]
parent = os.getppid()
libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

def thread():
    started = threading.Thread(target=lambda: None)
    started.start()
    started.join()

def write(path):
    with open(path, "w") as file:
        file.write("x")

tries = {
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "fork": lambda: os._exit(0) if os.fork() == 0 else None,
    "open a TCP socket": lambda: socket.socket(socket.AF_INET),
    "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "make a pair of sockets": socket.socketpair,
    "trace the parent": lambda: raw({"x86_64": 101, "aarch64": 117}[os.uname().machine], 16, parent, 0, 0),
    "signal the parent": lambda: os.kill(parent, 0),
    "get a handle on the parent": lambda: os.pidfd_open(parent),
    "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
    "slow the parent down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "tie the parent to a processor": lambda: os.sched_setaffinity(parent, {0}),
    "send the parent a signal by a descriptor": lambda: fcntl.fcntl(2, fcntl.F_SETOWN, parent),
    "choose that signal": lambda: fcntl.fcntl(2, 10, 9),
    "make a namespace": lambda: raw({"x86_64": 272, "aarch64": 97}[os.uname().machine], 0x10000000),
    "read outside": lambda: open(outside).close(),
    "list outside": lambda: os.listdir("/"),
    "read /etc/passwd": lambda: open("/etc/passwd").close(),
    "read another process": lambda: open(f"/proc/{parent}/maps").close(),
    "write where it may read": lambda: write(inside + "/new"),
    "make a device": lambda: os.mknod(writable + "/device", 0o20600, os.makedev(1, 3)),
    "read inside": lambda: open(inside + "/file").close(),
    "list inside": lambda: os.listdir(inside),
    "write where it may": lambda: write(writable + "/new"),
    "start a thread": thread,
    "ask for random bytes": lambda: os.urandom(8),
    "limit itself": lambda: resource.setrlimit(resource.RLIMIT_DATA, resource.getrlimit(resource.RLIMIT_DATA)),
}
measures = harden([inside], [writable])
outcome = {}
for what, attempt in tries.items():
    try:
        attempt()
    except OSError as error:
        outcome[what] = errno.errorcode[error.errno]
    else:
        outcome[what] = "done"
print(json.dumps([measures, outcome]))
"""
ALLOWED = {
    "read inside", "list inside", "write where it may", "start a thread", "ask for random bytes", "limit itself",
}  # fmt: skip
FILES = {
    "read outside", "list outside", "read /etc/passwd", "read another process", "write where it may read",
    "make a device",
}  # fmt: skip


@pytest.fixture(scope="module")
def hardened(tmp_path_factory):
    """What is in force, and the outcome of each try."""
    place = tmp_path_factory.mktemp("hardened")
    for name in ("inside", "writable"):
        (place / name).mkdir()
    (place / "inside" / "file").write_text("x")
    (place / "outside").write_text("x")
    command = [sys.executable, "-c", TRIES, *(str(place / name) for name in ("inside", "writable", "outside"))]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_everything_that_this_kernel_has_is_in_force(hardened):
    measures, _ = hardened
    assert {"no-new-privileges", "not-dumpable", "resource-limits", "seccomp"} <= set(measures)


def test_what_a_plugin_needs_still_works(hardened):
    _, outcome = hardened
    assert {what: outcome[what] for what in ALLOWED} == dict.fromkeys(ALLOWED, "done")


def test_no_program_socket_process_or_namespace(hardened):
    _, outcome = hardened
    refused = outcome.keys() - ALLOWED - FILES
    assert {what: outcome[what] for what in refused} == dict.fromkeys(refused, "EPERM")


def test_no_file_but_those_granted(hardened):
    measures, outcome = hardened
    if not any(measure.startswith("landlock") for measure in measures):
        pytest.skip("this kernel has no Landlock")
    assert {what for what in FILES if outcome[what] == "done"} == set()


def test_the_filter_is_made_of_whole_instructions_and_no_jump_leaves_it():
    for machine in ("x86_64", "aarch64"):
        program = seccomp.build(machine, 1234)
        assert len(program) % 8 == 0
        count = len(program) // 8
        for number in range(count):
            code, then, otherwise = program[number * 8], program[number * 8 + 2], program[number * 8 + 3]
            if code in (0x15, 0x45, 0x35):
                assert number + 1 + max(then, otherwise) < count


def test_a_machine_without_a_table_is_left_without_a_filter(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert seccomp.install() is False


def test_a_folder_that_is_not_there_is_left_out():
    """In a child: what Landlock takes can't be given back."""
    script = "from swiftd.sandbox.landlock import restrict; print(restrict(['/nowhere/at/all'], []))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip().isdecimal()


def test_the_rules_name_their_constants_for_every_version():
    assert sorted(landlock._ALL_BY_VERSION) == [1, 2, 3, 4, 5]
    assert all(rights & landlock._READ == landlock._READ for rights in landlock._ALL_BY_VERSION.values())


def test_a_worker_has_nothing_that_was_inherited(idle_daemon):
    """No descriptor of the daemon's or of whoever started it, an empty environment, a session of its own."""
    daemon = idle_daemon.start(under=in_view())
    client = daemon.client()
    assert client.names(">hi") == ["You typed: hi"]
    client.settled("calc")  # the processes that compile hold files of the cache
    assert "seccomp" in client.ask("stats")["hardening"]
    for worker in daemon.idle_workers():
        links = {os.readlink(f"/proc/{worker}/fd/{number}") for number in os.listdir(f"/proc/{worker}/fd")}
        own = ("/dev/null", f"/proc/{worker}/statm")
        inherited = {link for link in links if link.startswith("/") and link not in own and ".cwasm" not in link}
        assert inherited <= {str(daemon.log)}
        with open(f"/proc/{worker}/environ", "rb") as environ:
            assert b"HOME=" not in environ.read()
        assert os.getsid(worker) == worker
