"""Where the socket comes from when somebody else listens, and what becomes of one that is taken away.

Somebody else is systemd's systemd-socket-activate, or a process that passes odd descriptors.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio
from daemons import PATIENCE, Daemon, WireClient, children, eventually, in_view, wait_for_end

from swiftd.errors import AlreadyRunningError, DaemonError
from swiftd.listening import Endpoint

ACTIVATE = shutil.which("systemd-socket-activate")

LAUNCH = """
import os, sys
here, pid, count, *command = sys.argv[1:]
if here == "closed":
    os.closerange(3, 10)
elif here != "3":
    os.dup2(int(here), 3)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=count)
os.execv(command[0], command)
"""
"""What a service manager does last, for descriptors that none would pass."""


class Activated(Daemon):
    """A daemon that systemd-socket-activate starts for the first connection."""

    def start(self, *options, listen=(), under=()):
        self.socket.parent.mkdir(mode=0o700)
        environment = {"PYTHONWARNINGS": "error", "HOME": str(self.home)}
        command = [
            *under, ACTIVATE, *options, *(f"--setenv={name}={value}" for name, value in environment.items()),
            *(f"--listen={path}" for path in (self.socket, *listen)),
            sys.executable, "-m", "swiftd", "--plugins-dir", str(self.plugins), "--config", str(self.config),
            "--cache-dir", str(self.cache), "--log-level", "debug",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        eventually(lambda: "Listening on" in self.said())
        return self

    def is_started(self):
        """Whether it has become swiftd: systemd-socket-activate replaces itself."""
        return not Path(f"/proc/{self.process.pid}/exe").samefile(ACTIVATE)


@pytest.fixture
def activated(tmp_path, cache):
    if not ACTIVATE:
        pytest.skip("systemd-socket-activate is not installed")
    daemon = Activated(tmp_path, cache)
    yield daemon
    daemon.close()


def passed(daemon, descriptor, pid="", count="1"):
    """Start a daemon with that descriptor as number 3: its exit status and what it says."""
    inherited = () if descriptor == "closed" else (int(descriptor),)
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, str(descriptor), pid, count, sys.executable, "-m", "swiftd",
         "--socket", str(daemon.socket), "--cache-dir", str(daemon.cache)],
        capture_output=True, text=True, timeout=PATIENCE, check=False, pass_fds=inherited,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


# ---- a socket that was passed -----------------------------------------------------------------------------------


@pytest.mark.systemd
def test_the_first_connection_starts_it_and_is_answered(activated):
    activated.start()
    assert not activated.is_started()
    assert activated.client().names(">hello") == ["You typed: hello"]
    assert activated.is_started()
    assert f"a service manager listens on {activated.socket}" in activated.said()


@pytest.mark.systemd
def test_all_who_come_while_it_starts_are_answered(activated):
    activated.start()
    clients = [activated.client() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(op="query", input=f">{number}", wait_ms=20_000)
    for number, client in enumerate(clients):
        assert [item["name"] for item in client.last(1)["items"]] == [f"You typed: {number}"]


@pytest.mark.systemd
def test_what_was_passed_is_not_its_own_to_lock_or_remove(activated):
    activated.start()
    assert activated.client().names(">x") == ["You typed: x"]
    before = activated.socket.stat()
    assert os.listdir(activated.socket.parent) == ["swiftd.sock"]
    assert activated.stop() == 0
    after = activated.socket.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert "Traceback" not in activated.said()


@pytest.mark.systemd
def test_its_processes_do_not_hold_the_passed_socket(activated):
    activated.start(under=in_view())
    client = activated.client()
    assert client.names(">x") == ["You typed: x"]
    listening = os.readlink(f"/proc/{activated.process.pid}/fd/3")
    assert listening.startswith("socket:")
    others = [*children(activated.process.pid), *activated.idle_workers()]
    assert len(others) >= 3
    for pid in others:
        held = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        assert listening not in held


@pytest.mark.systemd
def test_of_two_sockets_it_serves_none(activated):
    activated.start(listen=[activated.socket.with_name("second.sock")])
    client = activated.client()
    assert activated.process.wait(PATIENCE) == 1
    activated.process = None
    assert "2 sockets were passed, where one is expected: see swiftd.socket" in activated.said()
    with pytest.raises(ConnectionError):
        client.ask("hello")


@pytest.mark.systemd
def test_a_socket_that_keeps_messages_apart_is_refused(activated):
    activated.start("--seqpacket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(activated.socket))
        assert activated.process.wait(PATIENCE) == 1
    activated.process = None
    assert "no Unix stream socket" in activated.said()
    assert "Traceback" not in activated.said()


@pytest.mark.parametrize("kind", ["closed", "a file", "a pipe", "not listening", "connected", "datagrams", "TCP"])
def test_what_is_not_fit_to_be_served_is_refused(idle_daemon, kind):
    opened = []
    match kind:
        case "a file":
            opened.append(idle_daemon.log.open("wb"))
        case "a pipe":
            opened += map(os.fdopen, os.pipe(), "rw")
        case "not listening":
            opened.append(socket.socket(socket.AF_UNIX))
        case "connected":
            opened += socket.socketpair()
        case "datagrams":
            opened += socket.socketpair(type=socket.SOCK_DGRAM)
        case "TCP":
            opened.append(socket.create_server(("127.0.0.1", 0)))
    try:
        status, said = passed(idle_daemon, opened[0].fileno() if opened else "closed")
    finally:
        for file in opened:
            file.close()
    assert status == 1
    assert "what was passed is no " in said
    assert "see swiftd.socket" in said
    assert not idle_daemon.socket.exists()


def test_an_abstract_socket_is_as_good(idle_daemon):
    name = f"swiftd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        command = [sys.executable, "-c", LAUNCH, str(listener.fileno()), "", "1", sys.executable, "-m", "swiftd"]
        with idle_daemon.log.open("wb") as log:
            idle_daemon.process = subprocess.Popen(
                [*command, "--cache-dir", str(idle_daemon.cache)], pass_fds=[listener.fileno()], stderr=log
            )
    client = WireClient(f"\0{name}")
    assert client.names(">x") == ["You typed: x"]
    client.close()
    assert f"a service manager listens on @{name}" in idle_daemon.said()


# ---- a socket that was meant for somebody else ------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "nonsense", "LISTEN_FDS": "2"},
        {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "swiftd.socket"},
    ],
)
def test_what_was_passed_to_another_process_is_ignored(idle_daemon, variables):
    idle_daemon.start(env=variables)
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert "service manager" not in idle_daemon.said()
    assert idle_daemon.stop() == 0
    assert not idle_daemon.socket.exists()


@pytest.mark.parametrize("count", ["0", "", "-1", "one", "1.0"])
def test_without_a_count_nothing_was_passed(idle_daemon, count):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    command = [sys.executable, "-c", LAUNCH, "closed", "", count, sys.executable, "-m", "swiftd"]
    with idle_daemon.log.open("wb") as log:
        idle_daemon.process = subprocess.Popen(
            [*command, "--socket", str(idle_daemon.socket), "--cache-dir", str(idle_daemon.cache)], stderr=log
        )
    idle_daemon.wait_for_socket()
    assert idle_daemon.client().ask("hello")["type"] == "hello"


# ---- a socket that is taken away --------------------------------------------------------------------------------


def answers(daemon):
    """Whether a new connection is answered by this very daemon."""
    with suppress(OSError):
        client = daemon.client()
        with suppress(OSError, StopIteration):
            return client.ask("stats")["pid"] == daemon.process.pid
    return False


def ended(daemon):
    """The status of a daemon that ends by itself, its sandbox processes with it."""
    everyone = daemon.everyone
    status = daemon.process.wait(PATIENCE)
    daemon.process = None
    assert wait_for_end(everyone) == []
    assert "Traceback" not in daemon.said()
    return status


def remove(path):
    path.unlink()


def leave_a_dead_socket(path):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def remove_with_its_lock(path):
    path.unlink()
    Path(f"{path}.lock").unlink()


def remove_the_folder(path):
    shutil.rmtree(path.parent)


def rename_the_folder(path):
    path.parent.rename(path.parent.with_name("old"))


def replace_the_folder(path):
    shutil.rmtree(path.parent)
    path.parent.mkdir(mode=0o755)


def rename(path):
    path.rename(path.with_name("old"))


def put_a_file(path):
    path.unlink()
    path.write_text("")


def put_a_folder(path):
    path.unlink()
    path.mkdir()


def put_a_fifo(path):
    path.unlink()
    os.mkfifo(path)


def put_a_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def remove_all(path):
    shutil.rmtree(path.parents[1])
    path.parents[1].mkdir(mode=0o700)


TAKEN = [remove, rename, leave_a_dead_socket, remove_with_its_lock]
TAKEN += [remove_the_folder, rename_the_folder, replace_the_folder, remove_all]


@pytest.fixture
def running(daemon):
    """A daemon with a connection that was open before."""
    daemon.before = daemon.client()
    daemon.before.settled("echo")
    eventually(lambda: len(daemon.workers()) == 2)
    daemon.everyone = daemon.family()
    return daemon


@pytest.mark.parametrize("take", TAKEN)
def test_a_socket_that_is_taken_away_is_made_again(running, take):
    take(running.socket)
    eventually(lambda: answers(running))
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(running.socket.parent.stat().st_mode) == 0o700
    assert running.before.names(">x") == ["You typed: x"]
    assert running.said().count("the socket was gone; listening on") == 1
    assert running.stop() == 0
    assert not running.socket.exists()


def test_a_socket_at_which_too_many_wait_is_served_by_somebody(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as waiting:
        server.bind(str(path))
        server.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(AlreadyRunningError):
            Endpoint(path).make()
    assert path.exists()


def test_it_is_made_again_each_time(running):
    for count in (1, 2, 3):
        running.socket.unlink()
        eventually(lambda: answers(running))
        eventually(lambda count=count: running.said().count("the socket was gone") == count)


@pytest.mark.parametrize("put", [put_a_file, put_a_folder, put_a_fifo, put_a_dangling_link])
def test_what_is_in_its_place_is_not_removed_but_the_daemon_ends_and_says_so(running, put):
    put(running.socket)
    before = running.socket.lstat()
    assert ended(running) == 1
    assert f"{running.socket} is in the way and no socket: remove it" in running.said()
    assert running.socket.lstat().st_ino == before.st_ino


def test_without_its_session_s_folder_it_ends_with_all_its_processes(running):
    shutil.rmtree(running.socket.parents[1])
    assert ended(running) == 0
    assert "stopping, as nobody can reach this daemon any more" in running.said()
    assert not running.socket.parents[1].exists()
    running.socket.parents[1].mkdir()  # for the fixture's end


def test_a_link_that_still_leads_to_it_is_left(running):
    running.socket.rename(running.socket.with_name("other"))
    running.socket.symlink_to("other")
    eventually(lambda: answers(running))
    assert running.socket.is_symlink()
    assert "the socket was gone" not in running.said()


def test_another_program_that_serves_in_its_place_is_left_alone(running):
    aside = running.socket.with_name("aside")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(aside))
        other.listen()
        aside.rename(running.socket)
        assert ended(running) == 0
        assert "another program already serves" in running.said()
        assert running.socket.exists()


@pytest.mark.parametrize("take", [remove_with_its_lock, remove_the_folder])
def test_of_two_daemons_one_is_left_whoever_comes_first(running, tmp_path_factory, cache, take):
    """One that is held up while another takes the place gives way; the path always leads to one that serves."""
    other = Daemon(tmp_path_factory.mktemp("other"), cache)
    shutil.rmtree(other.socket.parents[1])
    other.socket = running.socket
    other._run = tmp_path_factory.mktemp("unused")
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        take(running.socket)
        other.start()
        eventually(lambda: answers(other))
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    try:
        assert ended(running) == 0
        assert "another swiftd already serves" in running.said()
        assert answers(other)
        assert "the socket was gone" not in other.said()
    finally:
        other.close()


def test_a_lock_that_is_removed_alone_is_made_again_and_holds(running):
    Path(f"{running.socket}.lock").unlink()
    eventually(Path(f"{running.socket}.lock").exists)
    command = [sys.executable, "-m", "swiftd", "--socket", running.socket, "--cache-dir", running.cache]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 3
    assert answers(running)


@pytest.mark.systemd
@pytest.mark.parametrize("take", [remove, remove_the_folder, leave_a_dead_socket])
def test_a_passed_socket_that_is_taken_away_is_replaced_by_one_of_its_own(activated, take):
    activated.start()
    before = activated.client()
    assert before.names(">x") == ["You typed: x"]
    take(activated.socket)
    eventually(lambda: answers(activated))
    assert before.names(">y") == ["You typed: y"]
    assert activated.stop() == 0
    assert not activated.socket.exists()


def test_a_passed_socket_without_a_path_from_the_start_is_replaced_at_once(idle_daemon):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(idle_daemon.socket))
        listener.listen()
        idle_daemon.socket.unlink()
        command = [sys.executable, "-c", LAUNCH, str(listener.fileno()), "", "1", sys.executable, "-m", "swiftd"]
        with idle_daemon.log.open("wb") as log:
            idle_daemon.process = subprocess.Popen(
                [*command, "--cache-dir", str(idle_daemon.cache)], pass_fds=[listener.fileno()], stderr=log
            )
    eventually(lambda: answers(idle_daemon))


# ---- nobody else can take its place -----------------------------------------------------------------------------

SOMEBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have folders of another user")


def refused(path):
    """Why a daemon can't be made at the path; it leaves nothing there."""
    endpoint = Endpoint(path)
    before = sorted(path.parents[1].rglob("*"))
    with pytest.raises(DaemonError) as raised:
        endpoint.make()
    endpoint.close()
    assert sorted(path.parents[1].rglob("*")) in (before, sorted([*before, Path(f"{path}.lock")]))
    assert not isinstance(raised.value, AlreadyRunningError)
    return str(raised.value)


@pytest.mark.parametrize("above", [0, 1, 2])
async def test_where_others_could_put_another_it_does_not_listen(tmp_path, above):
    """Not in the folder that was chosen, and in none above it; in one like /tmp it does."""
    path = tmp_path / "a" / "b" / "s"
    path.parent.mkdir(parents=True)
    path.parents[above].chmod(0o777)
    assert f"others can write to {path.parents[above]} (mode 0777): mend that, or choose another place" in refused(path)
    path.parents[above].chmod(0o1777)
    endpoint = Endpoint(path)
    endpoint.make()
    endpoint.close()


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
@pytest.mark.parametrize("name", ["swift", "swift-0", "chosen"])
def test_nor_does_it_in_another_user_s_folder(tmp_path, name, mode):
    path = tmp_path / "a" / name / "s"
    path.parent.mkdir(parents=True)
    path.parent.chmod(mode)
    os.chown(path.parent, SOMEBODY, SOMEBODY)
    assert f"{path.parent} belongs to user {SOMEBODY}, not to 0" in refused(path)


@pytest.mark.parametrize("name", ["swift", f"swift-{os.geteuid()}"])
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
async def test_a_folder_of_its_own_that_was_open_is_closed_before_it_listens(tmp_path, name, mode):
    path = tmp_path / name / "s"
    path.parent.mkdir()
    path.parent.chmod(mode)
    endpoint = Endpoint(path)
    endpoint.make()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    endpoint.close()


@pytest.mark.parametrize("name", ["swift", f"swift-{os.geteuid()}"])
def test_a_link_in_its_place_is_not_followed_also_to_a_folder_of_ours(tmp_path, name):
    path = tmp_path / "a" / name / "s"
    (tmp_path / "a").mkdir()
    (tmp_path / "ours").mkdir()
    path.parent.symlink_to(tmp_path / "ours")
    assert f"{path.parent} is a link" in refused(path)
    assert list((tmp_path / "ours").iterdir()) == []


@needs_root
def test_another_user_who_listens_in_its_place_is_neither_waited_for_nor_removed(tmp_path):
    """He did so while the folder was open."""
    path = tmp_path / "a" / "swift" / "s"
    path.parent.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        os.seteuid(SOMEBODY)
        try:
            stranger.listen()
        finally:
            os.seteuid(0)
        assert f"{path} is served by user {SOMEBODY}, not by you: remove it" in refused(path)
        assert path.is_socket()


@needs_root
@pytest.mark.parametrize("kind", ["a file", "a link to a file"])
def test_a_lock_that_another_user_has_made_in_advance_is_not_taken(tmp_path, kind):
    """Where all may add, and where the kernel does not see to it itself (fs.protected_regular)."""
    path = tmp_path / "a" / "s"
    path.parent.mkdir()
    path.parent.chmod(0o1777)
    lock = Path(f"{path}.lock")
    if kind == "a file":
        lock.touch()
        lock.chmod(0o666)
        os.chown(lock, SOMEBODY, SOMEBODY)
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            said = refused(path)
        assert "belongs to user" in said or "Permission denied" in said
    else:
        (tmp_path / "target").touch()
        lock.symlink_to(tmp_path / "target")
        assert "Too many levels" in refused(path)


async def test_a_folder_that_can_t_be_made_for_a_moment_is_waited_for(tmp_path, monkeypatch, autojump_clock):
    """As on a disk that is full, or read-only for now: it is nobody else's."""
    path = tmp_path / "swift" / "s"
    endpoint = Endpoint(path)
    endpoint.make()
    shutil.rmtree(path.parent)
    tries = []

    def full(*words, **more):
        tries.append(words)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", full)
        patched.setattr(os, "access", lambda *_: False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endpoint.keep)
            endpoint.look()
            await trio.sleep(10)
            assert len(tries) > 3
            patched.undo()
            await trio.sleep(10)
            assert path.is_socket()
            nursery.cancel_scope.cancel()
    endpoint.close()


def test_a_folder_that_was_opened_to_all_around_a_passed_socket_is_closed(idle_daemon):
    idle_daemon.socket.parent.mkdir()
    idle_daemon.socket.parent.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(idle_daemon.socket))
        listener.listen()
        command = [sys.executable, "-c", LAUNCH, str(listener.fileno()), "", "1", sys.executable, "-m", "swiftd"]
        with idle_daemon.log.open("wb") as log:
            idle_daemon.process = subprocess.Popen(
                [*command, "--cache-dir", str(idle_daemon.cache)], pass_fds=[listener.fileno()], stderr=log
            )
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert stat.S_IMODE(idle_daemon.socket.parent.stat().st_mode) == 0o700


@needs_root
def test_a_socket_that_another_user_listens_on_is_served_and_warned_of(idle_daemon):
    """As a unit of the system's manager: its clients would have to trust somebody else."""
    idle_daemon.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(idle_daemon.socket))
        os.seteuid(SOMEBODY)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        command = [sys.executable, "-c", LAUNCH, str(listener.fileno()), "", "1", sys.executable, "-m", "swiftd"]
        with idle_daemon.log.open("wb") as log:
            idle_daemon.process = subprocess.Popen(
                [*command, "--cache-dir", str(idle_daemon.cache)], pass_fds=[listener.fileno()], stderr=log
            )
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert f"user {SOMEBODY} listens for us, and you are 0: no client of yours will trust it" in idle_daemon.said()
