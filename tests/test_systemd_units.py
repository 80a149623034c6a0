"""The units, judged by systemd's own tools, and in a real user manager where one can be started.

The manager runs as another user, in namespaces and a control group of its own: that takes root and a control group
hierarchy that can be written to. Its swiftd is this checkout's, in a home of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from daemons import BUNDLED, GUESTS, PATIENCE, children, eventually

ROOT = Path(__file__).parents[1]
ANALYZE = shutil.which("systemd-analyze")
SYSTEMD = Path("/usr/lib/systemd/systemd")
OK = 4.9
"""The highest exposure that `systemd-analyze security` calls OK."""

USER = 60321
"""A user that nobody is."""

SWIFTCTL = """
import sys
from swiftctl.__main__ import main
sys.argv = sys.argv[1:]
sys.exit(main())
"""
"""swiftctl, as if its script were the first argument."""

MANAGER = """
set -e
{expose}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/systemd/unit-root  # as the system's own manager would
mkdir -p -m 700 {runtime}
chown {user}:{user} {runtime}
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cd /
setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs env -i {environment} \\
    {systemd} --user --unit=basic.target &
wait
"""

pytestmark = pytest.mark.systemd


def install(home, runtime, script, *options):
    """Have `swiftctl`, of the folder of `script`, place the units: the paths of the units."""
    subprocess.run(
        [sys.executable, "-c", SWIFTCTL, str(script), "service", "install", *options],
        check=True,
        capture_output=True,
        env={"PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)},
    )
    return [home / ".config/systemd/user" / name for name in ("swiftd.socket", "swiftd.service")]


def verified(units, runtime, *options, **environment):
    """What systemd says of the units; nothing if it takes them as they are."""
    if not ANALYZE:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [ANALYZE, "--user", "verify", *options, *units],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=os.environ | {"XDG_RUNTIME_DIR": str(runtime)} | environment,
    )
    assert (done.returncode == 0) == (done.stdout + done.stderr == ""), done
    return done.stderr


def exposure(unit):
    """The rating, from 0 (safe) to 10, and its name."""
    if not ANALYZE:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    rated = re.search(r"Overall exposure level for swiftd\.service: ([\d.]+) (\w+)", done.stdout)
    return float(rated[1]), rated[2]


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="swiftd-test-"))
    (folder / "run").mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


# ---- systemd's own judgement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--plain"]])
@pytest.mark.parametrize("folder", ["bin", "a b", "100%n", "a$HOME ${b}", "für;#"])
def test_systemd_takes_the_units_as_they_are_installed(place, options, folder):
    (place / folder).mkdir()
    script = place / folder / "swiftd"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    units = install(place, place / "run", script.with_name("swiftctl"), *options)
    # Whether the man pages can be found is not the units' business: a wheel puts them where few look.
    assert verified(units, place / "run", "--man=no") == ""


def test_systemd_would_say_so_if_it_did_not_find_swiftd(place):
    script = place / "swiftd"
    script.touch(0o755)
    units = install(place, place / "run", place / "swiftctl")
    script.unlink()
    assert "is not executable" in verified(units, place / "run", "--man=no")


def test_the_man_pages_that_the_units_name_are_there(place):
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    (place / "swiftd").touch(0o755)
    for page in (ROOT / "man").iterdir():
        section = place / f"man/man{page.suffix[1:]}"
        section.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, section)
    units = install(place, place / "run", place / "swiftctl")
    assert verified(units, place / "run", MANPATH=str(place / "man")) == ""


def test_the_service_is_rated_ok_or_better():
    rating, name = exposure(ROOT / "systemd" / "swiftd.service")
    assert rating <= OK
    assert name in ("OK", "SAFE")


def test_without_namespaces_it_is_still_not_called_exposed(place):
    (place / "swiftd").touch(0o755)
    _, unit = install(place, place / "run", place / "swiftctl", "--plain")
    assert exposure(unit)[1] in ("MEDIUM", "OK", "SAFE")


# ---- a real user manager ----------------------------------------------------------------------------------------


class Manager:
    """A user manager, and commands in its session."""

    def __init__(self, home, group):
        self.home = home
        self.group = group
        self.units = home / ".config/systemd/user"
        self.runtime = Path(f"/run/user/{USER}")
        self.log = home.parent / "manager.log"
        self._environment = [
            f"HOME={home}", f"XDG_RUNTIME_DIR={self.runtime}", f"PATH={os.defpath}", "LANG=C.UTF-8",
            "SYSTEMD_LOG_TARGET=console",
        ]  # fmt: skip
        self._process = None

    def start(self):
        """Start it. Says why not, if it can't be."""
        script = MANAGER.format(
            expose=expose([Path(sys.base_prefix), Path(sys.prefix), ROOT, self.home]),
            runtime=self.runtime,
            user=USER,
            environment=shlex.join(self._environment),
            systemd=SYSTEMD,
        )
        enter = 'echo $$ > "$1/cgroup.procs" && exec unshare -m -p -f -C --mount-proc --kill-child sh -c "$2"'
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", enter, "sh", str(self.group), script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up = time.monotonic() + PATIENCE
        while not (self._init() and self.run("systemctl", "--user", "is-active", "basic.target")[0] == 0):
            if self._process.poll() is not None or time.monotonic() > give_up:
                return self.log.read_text("utf-8", "replace").strip() or "it does not start"
            time.sleep(0.05)
        return None

    def _init(self):
        return next(iter(children(self._process.pid)), 0)

    def run(self, *command):
        """Run a command as the user: its status, output and errors."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._init()), "-m", "-p", "-C", "setpriv", f"--reuid={USER}", f"--regid={USER}",
             "--clear-groups", "env", "-i", *self._environment, *map(str, command)],
            capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def swiftctl(self, *arguments):
        return self.run(sys.executable, "-m", "swiftctl", *arguments)

    def systemctl(self, *arguments):
        status, out, err = self.run("systemctl", "--user", *arguments)
        assert status == 0, err
        return out

    def shows(self, name, unit="swiftd.service"):
        return self.systemctl("show", "--value", "-p", name, unit).strip()

    def edit(self, old, new):
        """Change the service as it is installed."""
        path = self.units / "swiftd.service"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.systemctl("daemon-reload")

    def as_root(self, *command):
        subprocess.run(["nsenter", "-t", str(self._init()), "-m", "-p", "--", *map(str, command)], check=True)

    def close(self):
        if self._process and self._process.poll() is None:
            self._process.kill()
        if self._process:
            self._process.wait()
        for folder in sorted([self.group, *self.group.rglob("*/")], key=lambda path: -len(path.parts)):
            eventually(lambda folder=folder: removed(folder))


def removed(group):
    """Remove a control group, once its last process is gone."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def expose(paths):
    """Commands of the shell by which every user reaches the paths, also below folders that others may not enter."""
    hidden = {path: top for path in paths if (top := next(filter(is_closed, reversed(path.parents)), None))}
    lines = ["mount --make-rprivate /", "mount -t tmpfs tmpfs /mnt"]
    for number, path in enumerate(hidden):
        lines += [f"mkdir /mnt/{number}", f"mount --rbind {shlex.quote(str(path))} /mnt/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}" for top in set(hidden.values())]
    for number, path in enumerate(map(shlex.quote, map(str, hidden))):
        lines += [f"mkdir -p {path}", f"mount --rbind /mnt/{number} {path}"]
    return "\n".join(lines if hidden else lines[:1])


def is_closed(folder):
    """Whether others may not enter it."""
    return not folder.stat().st_mode & stat.S_IXOTH


def writable_group():
    """A control group of our own, made where this process's is; None where that can't be."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    where = next((fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"), None)
    ours = re.search(r"^0::(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    if not where or not ours:
        return None
    group = Path(where, ours[1].lstrip("/"), f"swiftd-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(group / name, USER, USER)
    except OSError:
        group.rmdir()
        return None
    return group


@pytest.fixture(scope="module")
def started():
    """A user manager with swiftd's units installed by swiftctl."""
    if os.getuid() != 0:
        pytest.skip("to start a user manager takes root")
    if not SYSTEMD.exists() or not all(map(shutil.which, ("unshare", "nsenter", "setpriv", "systemctl"))):
        pytest.skip("systemd or util-linux is not installed")
    if not (Path(sys.executable).parent / "swiftd").exists():
        pytest.skip("swiftd is not installed beside this Python")
    if (group := writable_group()) is None:
        pytest.skip("no control group can be made here")
    folder = Path(tempfile.mkdtemp(prefix="swiftd-test-"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    manager = Manager(home, group)
    try:
        if problem := manager.start():
            pytest.skip(f"no user manager can be started here: {problem}")
        yield manager
    finally:
        manager.close()
        shutil.rmtree(folder)


@pytest.fixture
def manager(started):
    """The same, with the units as they come from the repository, and swiftd not started."""
    started.run("systemctl", "--user", "stop", "swiftd.socket", "swiftd.service")
    status, out, err = started.swiftctl("service", "install")
    assert (status, err) == (0, ""), err
    assert "swiftd is running" in out
    return started


def processes(manager):
    """The daemon's process number as seen from here, and those of its sandbox processes."""
    group = manager.group / manager.shows("ControlGroup").lstrip("/")
    pids = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return min(pids), sorted(pids)[1:]


def status_of(pid, field):
    return re.search(rf"^{field}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]


def test_with_all_that_the_service_gives_up_every_bundled_plugin_serves(manager):
    assert manager.swiftctl("query", "=2+2*3") == (0, "2+2*3 = 8\n", "")
    plugins = json.loads(manager.swiftctl("plugins", "--json")[1])["plugins"]
    assert {plugin["name"] for plugin in plugins} >= {path.stem for path in BUNDLED.glob("*.wasm")}
    assert {plugin["state"] for plugin in plugins} == {"ready"}
    stats = json.loads(manager.swiftctl("stats", "--json")[1])
    assert {"no-new-privileges", "seccomp"} <= set(stats["hardening"])


def test_what_it_gives_up_is_in_force(manager):
    assert manager.swiftctl("query", ">x")[0] == 0
    daemon, others = processes(manager)
    for pid in (daemon, *others):
        assert status_of(pid, "NoNewPrivs") == "1"
        assert status_of(pid, "Seccomp") == "2"
        assert int(status_of(pid, "CapBnd"), 16) == 0
        for namespace in ("user", "net", "mnt", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}")


def test_its_cache_and_its_state_outlive_it(manager):
    assert manager.swiftctl("disable", "echo") == (0, "", "")
    assert manager.swiftctl("query", ">x")[0] != 0
    manager.systemctl("restart", "swiftd.service")
    assert manager.swiftctl("query", ">x")[0] != 0
    assert manager.swiftctl("enable", "echo") == (0, "", "")
    assert manager.swiftctl("query", ">x") == (0, "You typed: x\n", "")
    assert list((manager.home / ".cache/swift").glob("*.cwasm"))
    assert (manager.home / ".local/state/swift/disabled.json").exists()


def test_a_folder_outside_home_can_be_granted(manager):
    box = manager.home.parent / "box"
    config = manager.home / ".config" / "swift"
    box.mkdir()
    (config / "plugins").mkdir(parents=True)
    (config / "config.toml").write_text(f"[plugins.guest]\ntrigger = 'guest:'\ngrants = {{ write = ['{box}'] }}\n")
    shutil.copy(GUESTS / "files-create.wat", config / "plugins" / "guest.wasm")
    for path in (box, *config.parent.rglob("*")):
        os.chown(path, USER, USER)
    manager.systemctl("restart", "swiftd.service")
    assert manager.swiftctl("query", "guest:") == (0, "opened\n", "")
    assert [(path.name, path.stat().st_uid) for path in box.iterdir()] == [("new", USER)]


def test_the_first_connection_starts_it(manager):
    manager.systemctl("stop", "swiftd.service")
    assert manager.shows("ActiveState") == "inactive"
    assert manager.swiftctl("--no-start", "query", ">x") == (0, "You typed: x\n", "")
    assert manager.shows("ActiveState") == "active"
    assert manager.swiftctl("stop")[0] == 0
    eventually(lambda: manager.shows("ActiveState") == "inactive")
    assert manager.shows("Result") == "success"
    assert manager.shows("ActiveState", "swiftd.socket") == "active"


def test_a_socket_that_is_removed_is_there_again_also_after_a_restart(manager):
    """Systemd goes on to listen where nobody can connect: the daemon has to replace what it is passed each time."""
    assert manager.swiftctl("query", ">x") == (0, "You typed: x\n", "")
    daemon, _ = processes(manager)
    path = manager.runtime / "swift/swiftd.sock"
    manager.as_root("rm", path)
    assert manager.swiftctl("query", ">y") == (0, "You typed: y\n", "")
    assert processes(manager)[0] == daemon
    manager.systemctl("restart", "swiftd.service")
    assert manager.swiftctl("--no-start", "query", ">z") == (0, "You typed: z\n", "")
    manager.systemctl("stop", "swiftd.service")
    assert manager.swiftctl("query", ">a") == (0, "You typed: a\n", "")
    manager.as_root("rm", "-r", path.parent)
    assert manager.swiftctl("query", ">b") == (0, "You typed: b\n", "")
    manager.systemctl("restart", "swiftd.socket")
    assert manager.swiftctl("query", ">c") == (0, "You typed: c\n", "")
    assert manager.shows("NRestarts") == "0"
    # A daemon that finds a lock asks whether the path leads to it: nothing of that may start the next one.
    manager.systemctl("restart", "swiftd.service")
    manager.systemctl("stop", "swiftd.service")
    time.sleep(0.5)
    assert manager.shows("ActiveState") == "inactive"


def test_swiftctl_has_systemd_listen_again(manager):
    manager.systemctl("stop", "swiftd.socket", "swiftd.service")
    assert manager.swiftctl("query", ">x") == (0, "You typed: x\n", "")
    assert manager.shows("ActiveState") == "active"


def test_it_tells_its_status_and_reloads(manager):
    eventually(lambda: re.fullmatch(r"Plugins: \d+ ready", manager.shows("StatusText")))
    manager.systemctl("reload", "swiftd.service")
    eventually(lambda: manager.shows("ActiveState") == "active")
    assert manager.shows("NRestarts") == "0"


@pytest.mark.slow
def test_when_it_hangs_it_is_started_anew(manager):
    manager.edit("WatchdogSec=30", "WatchdogSec=2")
    manager.systemctl("restart", "swiftd.service")
    time.sleep(3)
    assert manager.shows("NRestarts") == "0"
    os.kill(processes(manager)[0], signal.SIGSTOP)
    eventually(lambda: manager.shows("NRestarts") == "1")
    assert manager.swiftctl("query", ">x") == (0, "You typed: x\n", "")


def test_it_stops_with_all_its_processes(manager):
    assert manager.swiftctl("query", ">x")[0] == 0
    daemon, others = processes(manager)
    assert others
    begin = time.monotonic()
    manager.systemctl("stop", "swiftd.service")
    assert time.monotonic() - begin < 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in (daemon, *others))
    assert manager.shows("Result") == "success"


def test_plugins_keep_the_kernel_s_help_in_their_folders(manager):
    """RestrictSUIDSGID and its like would make openat2 fail."""
    program = "import ctypes,sys; n = (ctypes.c_uint64 * 3)(0, 0, 8); libc = ctypes.CDLL(None);"
    program += " sys.exit(libc.syscall(437, -100, b'usr', n, 24) < 0)"
    text = (manager.units / "swiftd.service").read_text()
    text = re.sub("(?m)^ExecStart=.*", f'ExecStart={sys.executable} -c "{program}"', text)
    text = text.replace("Type=notify", "Type=oneshot\nWorkingDirectory=/").replace("Restart=on-failure\n", "")
    (manager.units / "try.service").write_text(text.replace("Requires=swiftd.socket\n", ""))
    manager.systemctl("daemon-reload")
    manager.systemctl("start", "try.service")
    assert manager.shows("ExecMainStatus", "try.service") == "0"


def test_where_namespaces_fail_it_is_installed_without(manager):
    manager.as_root("rmdir", "/run/systemd/unit-root")  # without it systemd can make no mount namespace
    try:
        status, _, err = manager.swiftctl("service", "install")
        assert status == 0, err
        assert "installed without what takes a user namespace" in err
        assert "PrivateUsers" not in (manager.units / "swiftd.service").read_text()
        assert manager.swiftctl("query", ">x") == (0, "You typed: x\n", "")
        assert manager.shows("ActiveState") == "active"
    finally:
        manager.as_root("mkdir", "-m", "755", "/run/systemd/unit-root")


@pytest.mark.slow
def test_when_it_cannot_start_any_more_swiftctl_starts_it_directly(manager):
    manager.systemctl("stop", "swiftd.service")
    manager.edit("PrivateUsers=yes", "PrivateUsers=yes\nRootDirectory=/nowhere")
    # The connection that systemd took is lost, and after some tries systemd listens no more.
    assert manager.swiftctl("query", ">x")[0] != 0
    status, out, err = manager.swiftctl("query", ">x")
    assert (status, out) == (0, "You typed: x\n")
    assert "starting swiftd without systemd" in err
    assert manager.swiftctl("query", ">y") == (0, "You typed: y\n", "")
    assert manager.swiftctl("service", "install")[0] == 0
    assert manager.shows("ActiveState") == "active"
    assert manager.swiftctl("query", ">z") == (0, "You typed: z\n", "")


def test_the_status_and_the_removal(manager):
    status, out, _ = manager.swiftctl("service", "status")
    assert status == 0
    assert "swiftd.socket - Socket of the launcher back end" in out
    assert manager.swiftctl("service", "uninstall")[0] == 0
    assert manager.swiftctl("service", "status")[0] == 1
    assert [path.name for path in manager.units.rglob("swiftd.*")] == []
    assert manager.run("systemctl", "--user", "is-active", "swiftd.socket")[0] != 0
