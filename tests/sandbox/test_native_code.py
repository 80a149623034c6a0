"""What native code can still do in a sandbox process: the day when wasmtime has a hole.

A process forked by the real zygote, hardened as ever, runs native_code.py's operations with its own means: as whoever
runs the tests, and, as root, also as an ordinary user; for each kind of process.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import native_code
import pytest
from daemons import PATIENCE

from swiftd.sandbox.messages import (
    HEADER,
    Compiled,
    Contract,
    Failed,
    Harden,
    Hardened,
    Load,
    decode_reply,
    decode_report,
    pack,
)

ORDINARY = 65534
USERS = [0] if os.geteuid() else [0, ORDINARY]
"""0 is whoever runs the tests."""
KINDS = ("compiles", "reads", "writes", "compiles without Landlock", "reads without Landlock")

libc = ctypes.CDLL(None, use_errno=True)


def prepared(user, stack):
    """The user's files, another process of his, and his System V shared memory, semaphores and queue."""
    place = Path(tempfile.mkdtemp(prefix="swiftd-native-"))
    stack.callback(shutil.rmtree, place)
    for name in ("inside", "writable", "outside"):
        (place / name).mkdir()
        (place / name / ("key" if name == "outside" else "file")).write_text("x")
    key = place / "outside" / "key"
    (place / "outside" / "link").symlink_to("key")
    key.chmod(0o600)
    (place / "inside" / "closed").touch(mode=0)
    with suppress(OSError):
        os.setxattr(key, "user.mark", b"mark")
    os.utime(key, (1_000_000_000, 1_000_000_000))
    if user:
        for path in (place, *place.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
    options = {"user": user, "group": user, "extra_groups": []} if user else {}
    victim = subprocess.Popen(["sleep", "600"], start_new_session=True, **options)
    stack.callback(victim.wait)
    stack.callback(victim.kill)
    made = {"shared": libc.shmget(0, 4096, 0o1600), "semaphores": libc.semget(0, 1, 0o1600)}
    made["queue"] = libc.msgget(0, 0o1600)
    stack.callback(libc.shmctl, made["shared"], 0, None)
    stack.callback(libc.semctl, made["semaphores"], 0, 0)
    stack.callback(libc.msgctl, made["queue"], 0, None)
    folders = {name: str(place / name) for name in ("inside", "writable", "outside")}
    return {**folders, **made, "victim": victim.pid}, key, victim


class Zygote:
    """The process that the operations' processes come from."""

    def __init__(self, user, stack, *, has_landlock=True):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, native_code.__file__, str(theirs.fileno()), str(user), str(has_landlock)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        stack.callback(self.control.close)
        assert self.control.recv(4096)

    def fork(self, request, descriptors=()):
        """A child's connection."""
        socket.send_fds(self.control, [request], list(descriptors))
        _, (connection, *others), _, _ = socket.recv_fds(self.control, 64, 3)
        for number in others:
            os.close(number)
        child = socket.socket(fileno=connection)
        child.settimeout(2 * PATIENCE)
        return child


def answer(connection, decode):
    data = b""
    while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[0]:
        more = connection.recv(1 << 16)
        assert more, "it has ended"
        data += more
    return decode(data[HEADER.size :])


def tried_in_a_worker(zygote, places, kind):
    """What is in force in it, and the outcome of each operation."""
    with zygote.fork(b"w") as worker:
        worker.sendall(pack(Harden([places["inside"]], [places["writable"]] if kind == "writes" else [])))
        hardened = answer(worker, decode_reply)
        assert isinstance(hardened, Hardened), hardened
        worker.sendall(pack(Load(1, "native", "", "", Contract("", "record"), settings=json.dumps(places))))
        reply = answer(worker, decode_reply)
        assert isinstance(reply, Failed), reply
        return hardened.measures, json.loads(reply.message)


def tried_in_a_compile_child(zygote, places):
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as artefact:
        source.write(json.dumps(places).encode())
        source.flush()
        source.seek(0)
        with zygote.fork(b"c", [source.fileno(), artefact.fileno()]) as child:
            report = answer(child, decode_report)
        assert isinstance(report, Compiled), report
        artefact.seek(0)
        return json.load(artefact)


@pytest.fixture(scope="module", params=[(user, kind) for user in USERS for kind in KINDS], ids=str)
def trial(request):
    """The kind of process, what is in force, the outcomes, and what became of the user's things."""
    user, kind = request.param
    kind, _, without = kind.partition(" without ")
    with ExitStack() as stack:
        places, key, victim = prepared(user, stack)
        native_code.P.update(places, connection=3)
        zygote = Zygote(user, stack, has_landlock=not without)
        measures, outcomes = tried_in_a_worker(zygote, places, "reads" if kind == "compiles" else kind)
        if kind == "compiles":
            outcomes = tried_in_a_compile_child(zygote, places)
        found = key.lstat()
        after = {
            "key": (key.read_text(), oct(found.st_mode), found.st_uid, found.st_mtime),
            "folder": (sorted(os.listdir(key.parent)), oct(key.parent.stat().st_mode)),
            "victim": victim.poll(),
        }
        yield user, kind, measures, outcomes, after


def expected(operation, kind, has_landlock):
    """The outcomes that are right for an operation in one kind of process."""
    match operation.expected:
        case "granted":
            return ("works",) if kind == "writes" else ("refused",)
        case "works" if kind == "compiles" and operation.what.endswith("where it may"):
            return ("refused",) if has_landlock else ("works",)  # it has no folders
        case "landlock" if not has_landlock and "openat2" not in operation.what:
            return ("refused", "works", "ENXIO", "EIO")  # EIO: opened, and there is nothing at 0
        case "works":
            return ("works",)
    return ("refused", "absent")


def test_each_operation_gets_its_answer(trial):
    _, kind, measures, outcomes, _ = trial
    has_landlock = any(measure.startswith("landlock") for measure in measures)
    wrong = {
        operation.what: outcomes[operation.what]
        for operation in native_code.operations()
        if outcomes[operation.what] not in expected(operation, kind, has_landlock)
    }
    assert wrong == {}


def test_everything_that_this_kernel_has_is_in_force(trial):
    _, _, measures, _, _ = trial
    assert {"no-new-privileges", "not-dumpable", "resource-limits", "no-capabilities", "seccomp"} <= set(measures)


def test_the_users_things_are_what_they_were(trial):
    user, _, _, _, after = trial
    assert after["key"] == ("x", "0o100600", user or os.geteuid(), 1_000_000_000)
    assert after["folder"] == (["key", "link"], "0o40755")
    assert after["victim"] is None


def test_no_operation_stands_for_another(trial):
    *_, outcomes, _ = trial
    assert len(outcomes) == len(native_code.operations()) > 110


def test_a_crash_is_one_as_ever():
    """What abort() needs is let through, and a fault needs nothing: each ends its process, and the zygote lives on."""
    with ExitStack() as stack:
        zygote = Zygote(0, stack)
        for crash in ("abort", "fault"):
            with zygote.fork(b"w") as worker:
                worker.sendall(pack(Harden([], [])))
                assert isinstance(answer(worker, decode_reply), Hardened)
                worker.sendall(pack(Load(1, crash, "", "", Contract("", "record"))))
                assert worker.recv(1) == b""
