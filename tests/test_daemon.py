"""How the daemon starts, where it refuses to, and how it ends: in time, and with nothing left behind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import (
    BUNDLED,
    GUESTS,
    PATIENCE,
    Daemon,
    WireClient,
    children,
    component,
    eventually,
    in_view,
    is_alive,
    wait_for_end,
)
from guests.cases import huge_function, with_module

STOP_LIMIT = 5.0
"""Seconds that a stop may take, whatever goes on, and however busy the machine is: it takes a tenth of one."""


@pytest.fixture
def short():
    """A folder with a path that leaves room for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="swiftd-test-"))
    yield folder
    shutil.rmtree(folder)


def refused(*options, env=None):
    """Start a daemon that can't run: its exit status and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "swiftd", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "error"} | (env or {}),
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


def second(daemon, *options):
    """Start another one like `daemon`."""
    return refused("--socket", daemon.socket, "--cache-dir", daemon.cache, "--plugins-dir", daemon.plugins, *options)


# ---- the socket -------------------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused_and_the_first_serves_on(daemon):
    status, said = second(daemon)
    assert status == 3
    assert f"another swiftd already serves {daemon.socket}" in said
    assert daemon.client().names(">x") == ["You typed: x"]
    assert daemon.process.poll() is None


def test_of_two_started_at_once_exactly_one_serves(tmp_path, cache, idle_daemon):
    other = Daemon(tmp_path, cache)
    try:
        shutil.rmtree(other._run)
        other._run, other.socket = idle_daemon._run, idle_daemon.socket
        for daemon in (idle_daemon, other):
            daemon.start(wait=False)
        eventually(lambda: [d for d in (idle_daemon, other) if d.process.poll() is not None])
        loser, winner = sorted((idle_daemon, other), key=lambda d: d.process.poll() is None)
        assert loser.process.poll() == 3
        loser.process = None
        winner.wait_for_socket()
        assert winner.client().names(">x") == ["You typed: x"]
    finally:
        other.stop()


def test_the_socket_of_a_daemon_that_was_killed_is_taken_over(idle_daemon):
    idle_daemon.start()
    idle_daemon.stop(signal.SIGKILL)
    assert idle_daemon.socket.exists()
    idle_daemon.start()
    assert idle_daemon.client().names(">x") == ["You typed: x"]


def test_a_socket_nobody_listens_on_is_removed(idle_daemon):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(idle_daemon.socket))
    idle_daemon.start()
    assert idle_daemon.client().ask("hello")["type"] == "hello"


def test_a_socket_of_another_program_is_left_to_it(idle_daemon):
    idle_daemon.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(idle_daemon.socket))
        other.listen()
        status, said = second(idle_daemon)
        assert status == 3
        assert str(idle_daemon.socket) in said
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(idle_daemon.socket))


@pytest.mark.parametrize("kind", ["a file", "a folder", "a FIFO", "a link to a file", "a dangling link"])
def test_something_else_in_the_socket_s_place_is_left_alone(idle_daemon, kind):
    path = idle_daemon.socket
    path.parent.mkdir(mode=0o700)
    match kind:
        case "a file":
            path.write_text("precious")
        case "a folder":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case "a link to a file":
            idle_daemon.config.write_text("")
            path.symlink_to(idle_daemon.config)
        case "a dangling link":
            path.symlink_to("nowhere")
    before = path.lstat()
    status, said = second(idle_daemon)
    assert status == 1
    assert f"{path} is in the way" in said
    assert path.lstat() == before


@pytest.mark.parametrize("place", ["a file/x.sock", "/proc/nowhere/x.sock", "long" * 30 + "/x.sock", "x" * 300])
def test_where_no_socket_can_be_made_it_says_so(short, cache, place):
    (short / "a file").write_text("")
    status, said = refused("--socket", short / place, "--cache-dir", cache)
    assert status == 1
    assert f"no socket can be made at {short / place}" in said


def test_the_socket_is_private(daemon):
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700


# ---- places -----------------------------------------------------------------------------------------------------


@pytest.fixture
def session(short):
    """Starts a daemon that has nothing but an environment to go by."""
    started = []

    def start(**environment):
        bare = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PYTHONWARNINGS": "error"}
        log = (short / "log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "swiftd"], stderr=log, stdin=subprocess.DEVNULL, env=bare | environment
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def listening(path):
    """A client, once somebody listens there."""

    def connected():
        with suppress(OSError):
            return WireClient(path)

    return eventually(connected)


@pytest.mark.skipif(Path("/run/user", str(os.getuid())).exists(), reason="here logind has made a runtime folder")
def test_without_a_runtime_folder_it_serves_in_the_temporary_one(session, short, cache):
    session(HOME=str(short), TMPDIR=str(short), XDG_CACHE_HOME=str(cache.parent))
    client = listening(short / f"swift-{os.getuid()}" / "swiftd.sock")
    assert client.ask("hello")["type"] == "hello"
    client.close()
    assert stat.S_IMODE((short / f"swift-{os.getuid()}").stat().st_mode) == 0o700


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null"])
def test_without_a_home_it_serves_from_a_cache_of_its_own(session, short, home):
    process = session(HOME=home, XDG_RUNTIME_DIR=str(short), TMPDIR=str(short))
    client = listening(short / "swift" / "swiftd.sock")
    assert client.names(">x", plugins=["echo"]) == ["You typed: x"]
    client.close()
    assert "the cache can't be used" in (short / "log").read_text()
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert {path.name for path in short.iterdir()} == {"log", "swift"}
    assert "Traceback" not in (short / "log").read_text()


@pytest.mark.parametrize("cache_dir", ["a file", "a file/below", "/proc/self/cache"])
def test_where_nothing_can_be_cached_it_serves_nevertheless(idle_daemon, cache_dir):
    (idle_daemon.home / "a file").write_text("")
    idle_daemon.cache = idle_daemon.home / cache_dir
    idle_daemon.start(env={"TMPDIR": str(idle_daemon._run)})
    assert idle_daemon.client().names(">x", plugins=["echo"]) == ["You typed: x"]
    assert "the cache can't be used" in idle_daemon.said()
    assert idle_daemon.stop() == 0
    assert list(idle_daemon._run.glob("swiftd-cache-*")) == []


@pytest.mark.parametrize("content", [b"workers = 1\n", b"no toml", b"\xff"])
def test_with_a_broken_configuration_the_defaults_are_in_force(idle_daemon, content):
    idle_daemon.config.write_bytes(content)
    idle_daemon.start()
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert str(idle_daemon.config) in idle_daemon.said()
    assert "in force" in idle_daemon.said()


def test_an_environment_that_is_no_text_is_no_obstacle(idle_daemon):
    idle_daemon.start(env={"LC_ODD": "\udcff"})
    assert idle_daemon.client().names(">x") == ["You typed: x"]


def test_a_cache_whose_name_is_no_text_is_no_obstacle(idle_daemon):
    idle_daemon.cache = idle_daemon.home / "\udcff"
    idle_daemon.start()
    assert idle_daemon.client().names(">x", plugins=["echo"]) == ["You typed: x"]


# ---- the end ----------------------------------------------------------------------------------------------------


def stop(daemon, number):
    """Stop it; its exit status, once it is certain that it took no longer than it may and left nothing."""
    everyone = daemon.family()
    started = time.monotonic()
    status = daemon.stop(number)
    assert time.monotonic() - started < STOP_LIMIT
    assert [pid for pid in everyone if is_alive(pid)] == []
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_time_and_leaves_nothing(daemon, number):
    client = daemon.client()
    assert client.names(">x") == ["You typed: x"]
    eventually(lambda: len(daemon.family()) == 4)  # itself, the zygote, two workers; the compiler has ended
    assert stop(daemon, number) == 0
    assert not daemon.socket.exists()
    assert "Traceback" not in daemon.said()
    assert f"{number.name}: stopping" in daemon.said()


def test_it_stops_in_time_in_the_middle_of_everything(idle_daemon):
    """Guests that spin, a client that does not read, one that has sent half a request, and a compilation."""
    idle_daemon.config.write_text("[plugins.spin]\ndeadline = '60s'\n")
    idle_daemon.install(GUESTS / "spin.wat")
    idle_daemon.install(component("x" * 4000, "big:", count=1000), "big")
    idle_daemon.start()
    client = idle_daemon.client()
    assert len(client.query("big:")["items"]) == 1000
    assert client.settled("spin")["state"] == "ready"
    for _ in range(10):
        client.send(op="query", input="spin:")
        idle_daemon.client().send(op="query", input="big:")
    half = idle_daemon.client()
    half.socket.sendall(b"\x83\xa2id")
    eventually(lambda: [pid for pid in idle_daemon.workers() if is_spinning(pid)])
    assert stop(idle_daemon, signal.SIGTERM) == 0
    assert not idle_daemon.socket.exists()
    assert "Traceback" not in idle_daemon.said()


def is_spinning(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False


def test_it_stops_in_time_while_it_compiles(idle_daemon):
    slow = with_module((BUNDLED / "echo.wasm").read_bytes(), huge_function(100_000))  # takes about a second
    idle_daemon.install(slow, "slow")
    idle_daemon.cache = idle_daemon.home / "cache"
    idle_daemon.start()
    client = idle_daemon.client()
    eventually(lambda: (client.plugin("slow") or {}).get("state") == "compiling" and len(idle_daemon.workers()) == 3)
    assert stop(idle_daemon, signal.SIGTERM) == 0
    assert "Traceback" not in idle_daemon.said()
    assert list(idle_daemon.cache.glob(".new-*")) == []
    idle_daemon.start()
    assert idle_daemon.client().settled("slow")["state"] == "ready"


def test_it_can_be_stopped_as_soon_as_it_answers(idle_daemon):
    for _ in range(2):
        idle_daemon.start()
        assert idle_daemon.client().ask("hello")["type"] == "hello"
        assert stop(idle_daemon, signal.SIGTERM) == 0
    assert "Traceback" not in idle_daemon.said()


def test_when_it_is_killed_its_processes_end_by_themselves(idle_daemon):
    idle_daemon.config.write_text("[plugins.spin]\ndeadline = '60s'\n")
    idle_daemon.install(GUESTS / "spin.wat")
    idle_daemon.start()
    client = idle_daemon.client()
    client.settled("spin")
    client.send(op="query", input="spin:")
    everyone = idle_daemon.family()
    assert len(everyone) >= 4
    idle_daemon.process.kill()
    idle_daemon.process.wait(PATIENCE)
    assert wait_for_end(everyone) == []
    idle_daemon.process = None


def test_a_socket_that_somebody_else_put_in_its_place_stays(daemon):
    daemon.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket))
        assert daemon.stop() == 0
        assert daemon.socket.exists()


# ---- its processes ----------------------------------------------------------------------------------------------


def test_the_daemon_itself_never_has_wasmtime(idle_daemon):
    daemon = idle_daemon.start(under=in_view())
    client = daemon.client()
    assert client.names("=2+2") == ["2+2 = 4"]
    assert "wasmtime" not in Path(f"/proc/{daemon.process.pid}/maps").read_text()
    for pid in [*children(daemon.process.pid), *daemon.idle_workers()]:
        assert "libwasmtime" in Path(f"/proc/{pid}/maps").read_text()


def test_nothing_the_daemon_imports_imports_wasmtime():
    code = "import sys, swiftd.__main__, swiftd.daemon; sys.exit(any('wasmtime' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE).returncode == 0


def test_its_processes_hold_no_descriptors_of_the_daemon_s(idle_daemon):
    daemon = idle_daemon.start(under=in_view())
    clients = [daemon.client() for _ in range(5)]
    assert clients[0].names(">x") == ["You typed: x"]
    for pid in daemon.idle_workers():
        numbers = {*os.listdir(f"/proc/{pid}/fd")} - {"2"}  # where its last words go
        held = [os.readlink(f"/proc/{pid}/fd/{number}") for number in numbers]
        assert len([target for target in held if target.startswith("socket:")]) == 1, held
        assert not [t for t in held if t.endswith((".lock", ".sock", ".wasm", ".toml"))], held


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_who_asks_for_help_need_not_read_it(option, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "swiftd", option],
            check=False, timeout=PATIENCE, stdout=nobody, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


# ---- readiness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_whoever_started_it_is_told_when_it_is_ready_and_when_it_stops(idle_daemon, abstract):
    name = f"\0swiftd-test-{os.getpid()}" if abstract else str(idle_daemon._run / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(PATIENCE)
        receiver.bind(name)
        idle_daemon.start(env={"NOTIFY_SOCKET": name.replace("\0", "@")}, wait=False)
        assert "READY=1" in receiver.recv(1000).decode().splitlines()
        assert idle_daemon.client().names(">x") == ["You typed: x"]
        idle_daemon.stop()
        seen = ""
        while "STOPPING=1" not in seen.splitlines():
            seen = receiver.recv(1000).decode()


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens", "relative"])
def test_where_nobody_wants_to_be_told_it_serves_all_the_same(idle_daemon, address):
    idle_daemon.start(env={"NOTIFY_SOCKET": address})
    assert idle_daemon.client().ask("hello")["type"] == "hello"


# ---- the command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--nonsense"], ["extra"], ["--log-level", "loud"], ["--socket"]])
def test_wrong_usage_is_status_2(options):
    status, said = refused(*options)
    assert status == 2
    assert "usage: swiftd" in said


def test_the_log_can_be_read_by_a_person(daemon):
    daemon.client().settled("echo")
    lines = daemon.said().splitlines()
    assert any("listening on" in line and str(daemon.socket) in line for line in lines)
    assert any("echo: ready" in line for line in lines)


# ---- when there is too little of something ----------------------------------------------------------------------


def test_without_descriptors_to_spare_it_lives_on(daemon):
    client = daemon.client()
    assert client.names("=1+1") == ["1+1 = 2"]
    victim = daemon.idle_workers()[0]
    most = 40
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (most, most))
    many = [socket.socket(socket.AF_UNIX) for _ in range(most)]
    try:
        for connection in many:
            connection.connect(str(daemon.socket))
        eventually(lambda: "EMFILE" in daemon.said())
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        for _ in range(20):
            assert client.ask("stats")["type"] == "stats"
            time.sleep(0.05)
    finally:
        for connection in many:
            connection.close()
    eventually(lambda: client.names(">x") == ["You typed: x"])


@pytest.mark.parametrize("which", ["the folder", "one above", "the file"])
def test_a_configuration_that_others_can_write_is_not_read(idle_daemon, which):
    """Who writes it grants folders."""
    folder = idle_daemon.home / "config" / "swift"
    folder.mkdir(parents=True)
    idle_daemon.config = folder / "config.toml"
    idle_daemon.config.write_text("[plugins.echo]\ntrigger = 'mine:'\n")
    exposed = {"the folder": folder, "one above": folder.parent, "the file": idle_daemon.config}[which]
    mode = exposed.stat().st_mode
    exposed.chmod(0o777)
    client = idle_daemon.start().client()
    answer = client.ask("plugins")
    assert f"config.toml: it is not read, as others can write to {exposed} (mode 0777)" in answer["problem"]
    assert client.names(">x") == ["You typed: x"]
    exposed.chmod(mode)
    client.ask("reload")
    assert client.ask("plugins")["problem"] is None
    assert client.names("mine:x") == ["You typed: x"]


@pytest.mark.parametrize("above", [True, False])
def test_plugins_that_others_could_have_put_there_are_not_run(idle_daemon, above):
    """Their rows would be run as the user's own."""
    idle_daemon.plugins = idle_daemon.home / "a" / "plugins"
    idle_daemon.plugins.mkdir(parents=True)
    idle_daemon.install(GUESTS / "ok.wat")
    exposed = idle_daemon.plugins.parent if above else idle_daemon.plugins
    exposed.chmod(0o777)
    client = idle_daemon.start().client()
    assert client.names(">x") == ["You typed: x"]
    assert client.plugin("ok") is None
    assert f"the plugins in {idle_daemon.plugins} are not read, as others can write to {exposed}" in idle_daemon.said()
