"""What a daemon makes of folders that are not what they were: mounted over, unmounted, removed, made again, made late.

The mounts are real ones, in a mount namespace that the daemon starts in: that takes root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from daemons import BUNDLED, GUESTS, PATIENCE, Daemon, component, eventually

NAMESPACE = ("unshare", "--mount", "--propagation", "private")


def may_mount():
    """Whether this user can have mounts of his own here."""
    if os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    done = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="to mount takes root, and a kernel that lets it")


class Mounting(Daemon):
    """A daemon in a mount namespace of its own, in which things can be mounted while it runs."""

    def start(self, *options, under=NAMESPACE, **others):
        return super().start(*options, under=under, **others)

    def run(self, *command):
        assert self.tried(*command), command

    def tried(self, *command):
        """Whether a command had success."""
        inside = ["nsenter", "-t", str(self.process.pid), "-m", "--", *map(str, command)]
        return subprocess.run(inside, check=False, timeout=PATIENCE).returncode == 0

    def mount(self, place, *options):
        self.run("mount", "-t", "tmpfs", *options, "none", place)

    def unmount(self, place):
        eventually(lambda: self.tried("umount", place))  # a sandbox process closes its folders behind its answer

    def put(self, path, text):
        """Write a file where the daemon sees it."""
        self.run("sh", "-c", 'printf %s "$2" > "$1"', "sh", path, text)

    def copy(self, source, path):
        self.run("cp", source, path)


@pytest.fixture
def own_cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def mounting(tmp_path, cache):
    daemon = Mounting(tmp_path, cache)
    yield daemon
    daemon.close()


@pytest.fixture
def box(idle_daemon):
    return box_of(idle_daemon)


def box_of(daemon, kind="read"):
    """A folder that `files-read` is granted, which answers with the content of its `file`."""
    box = daemon.home / "box"
    box.mkdir()
    (box / "file").write_text("first")
    daemon.install(GUESTS / "files-read.wat")
    daemon.config.write_text(f'[plugins.files-read]\ngrants = {{ {kind} = ["{box}"] }}\n')
    return box


def read(client):
    """What the plugin finds in its folder now."""
    return client.names("files-read:")


def log(client, plugin="files-read"):
    return [line["text"] for line in client.ask("logs", plugin=plugin)["lines"]]


def problems(client, plugin="files-read"):
    return client.plugin(plugin)["problems"]


# ---- granted folders --------------------------------------------------------------------------------------------


def test_a_granted_folder_that_is_moved_and_made_again_is_the_new_one(idle_daemon, box):
    client = idle_daemon.start().client()
    assert read(client) == ["first"]
    for text in ("second", "third"):
        box.rename(idle_daemon.home / text)
        box.mkdir()
        (box / "file").write_text(text)
        assert read(client) == [text]
    assert log(client) == []
    assert client.ask("stats")["workers_killed"] == 0  # none in the middle of a call


def test_its_worker_is_another_then_and_those_of_other_plugins_stay(idle_daemon, box):
    client = idle_daemon.start().client()
    assert read(client) == ["first"]
    before = set(idle_daemon.idle_workers(3))
    shutil.rmtree(box)
    box.mkdir()
    (box / "file").write_text("second")
    assert read(client) == ["second"]
    assert len(before & set(idle_daemon.idle_workers(3))) == 2
    assert read(client) == ["second"]


def test_a_granted_folder_that_is_made_only_later_is_given(idle_daemon, box):
    shutil.rmtree(box)
    client = idle_daemon.start().client()
    assert client.settled("files-read")["state"] == "ready"
    assert problems(client) == [f"grants.read: there is no {box}"]
    assert read(client) == read(client) == ["none"]
    box.mkdir()
    (box / "file").write_text("late")
    assert read(client) == ["late"]
    assert problems(client) == []
    said = [f"the granted folder {box} is not there", "all granted folders are there again"]
    assert [line for line in log(client) if "granted" in line] == said


def test_a_granted_folder_that_goes_is_said_once_a_change(idle_daemon, box):
    client = idle_daemon.start().client()
    assert read(client) == ["first"]
    gone = f"the granted folder {box} is not there"
    for count in (1, 2):
        box.rename(idle_daemon.home / "away")
        assert [read(client) for _ in range(3)] == [["none"]] * 3
        assert log(client).count(gone) == count
        assert problems(client) == [f"grants.read: there is no {box}"]
        (idle_daemon.home / "away").rename(box)
        assert read(client) == ["first"]
        assert problems(client) == []


def test_a_file_where_the_folder_was_is_no_folder(idle_daemon, box):
    client = idle_daemon.start().client()
    assert read(client) == ["first"]
    shutil.rmtree(box)
    box.write_text("a file")
    assert read(client) == ["none"]
    assert problems(client) == [f"grants.read: {box} is not a folder"]


def test_a_missing_folder_that_comes_as_a_link_is_not_given(idle_daemon, box):
    secret = idle_daemon.home / "secret"
    box.rename(secret)
    client = idle_daemon.start().client()
    assert read(client) == ["none"]
    box.symlink_to(secret)
    assert read(client) == ["none"]
    assert any("leads elsewhere" in line for line in log(client))
    assert "leads elsewhere" in problems(client)[0]


def test_what_is_written_lands_in_the_folder_of_now(idle_daemon):
    box = idle_daemon.home / "box"
    idle_daemon.install(GUESTS / "files-create.wat")
    idle_daemon.config.write_text(f'[plugins.files-create]\ngrants = {{ write = ["{box}"] }}\n')
    client = idle_daemon.start().client()
    client.settled("files-create")
    for _ in range(3):
        box.mkdir()
        assert client.names("files-create:") == ["opened"]
        assert [path.name for path in box.iterdir()] == ["new"]
        shutil.rmtree(box)


@needs_mounts
def test_a_granted_folder_that_is_mounted_over_and_unmounted_is_what_it_is_now(mounting):
    box = box_of(mounting)
    client = mounting.start().client()
    assert read(client) == ["first"]
    for text in ("second", "third"):
        mounting.mount(box)
        assert read(client) == ["no-entry"]
        mounting.put(box / "file", text)
        assert read(client) == [text]
        mounting.unmount(box)
        assert read(client) == ["first"]
    assert log(client) == []


@needs_mounts
def test_a_mount_over_what_a_granted_folder_is_in_counts_too(mounting):
    box = box_of(mounting)
    deep = box / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    mounting.config.write_text(f'[plugins.files-read]\ngrants = {{ read = ["{deep}"] }}\n')
    client = mounting.start().client()
    assert read(client) == ["deep"]
    mounting.mount(box)
    assert read(client) == ["none"]
    assert log(client) == [f"the granted folder {deep} is not there"]
    mounting.run("mkdir", "-p", deep)
    mounting.put(deep / "file", "new")
    assert read(client) == ["new"]


# ---- one folder under several names -----------------------------------------------------------------------------


@needs_mounts
@pytest.mark.parametrize("alias", ["of it", "of what it is in", "of what is in it", "of all"])
def test_a_link_in_what_a_plugin_may_write_is_one_under_any_name_of_that_folder(mounting, alias):
    home = mounting.home
    for folder in ("docs/in/deep", "private", "alias"):
        (home / folder).mkdir(parents=True)
    (home / "private" / "file").write_text("secret")
    (home / "docs" / "in" / "deep" / "link").symlink_to(home / "private")
    source, rest = {
        "of it": (home / "docs", "in/deep/link"),
        "of what it is in": (home, "docs/in/deep/link"),
        "of what is in it": (home / "docs" / "in", "deep/link"),
        "of all": ("/", str(home / "docs" / "in" / "deep" / "link").lstrip("/")),
    }[alias]
    for name in ("files-read", "files-create"):
        mounting.install(GUESTS / f"{name}.wat")
    section = f'[plugins.files-read]\ngrants = {{ read = ["{home / "alias" / rest}"] }}\n'
    mounting.config.write_text(section)
    client = mounting.start(
        under=(*NAMESPACE, "sh", "-c", f'mount --bind "{source}" "{home}/alias" && exec "$@"', "sh")
    ).client()
    client.settled("files-read")
    assert client.names("files-read:") == ["secret"]
    mounting.config.write_text(f'{section}[plugins.files-create]\ngrants = {{ write = ["{home}/docs"] }}\n')
    assert client.ask("reload")["type"] == "ok"
    assert client.names("files-read:") == ["none"]
    assert "which files-create could have made" in problems(client)[0]


@needs_mounts
@pytest.mark.parametrize("at", ["start", "later"])
@pytest.mark.parametrize("what", ["it", "above", "recursive"])
def test_swiftd_s_own_folders_are_not_to_be_written_under_any_name(mounting, at, what):
    home = mounting.home
    (home / "box").mkdir()
    (home / "box" / "in").mkdir()
    mounting.install(GUESTS / "files-create.wat")
    mounting.config.write_text(f'[plugins.files-create]\ngrants = {{ write = ["{home}/box"] }}\n')
    source = mounting.plugins if what == "it" else mounting.plugins.parent
    target = home / "box" / "in" if what == "recursive" else home / "box"
    command = ["mount", "--bind", str(source), str(target)]
    if at == "start":
        mounting.start(under=(*NAMESPACE, "sh", "-c", f'{" ".join(command)} && exec "$@"', "sh"))
    else:
        mounting.start().client().settled("files-create")
        mounting.run(*command)
        assert mounting.client().ask("reload")["type"] == "ok"
    client = mounting.client()
    assert "hand over swiftd's own" in " ".join(client.settled("files-create")["problems"])
    assert client.names("files-create:") == ["none"]


# ---- the plugin folder and config.toml --------------------------------------------------------------------------


@needs_mounts
def test_a_plugin_folder_that_is_mounted_over_is_noticed(mounting):
    mounting.install(component("below", "below:"), "below")
    client = mounting.start().client()
    assert client.names("below:") == ["below"]
    for name in ("one", "two"):
        mounting.mount(mounting.plugins)
        eventually(lambda: client.plugin("below") is None)
        source = mounting.home / f"{name}.wat"
        source.write_text(component(name, f"{name}:"))
        mounting.copy(source, mounting.plugins / f"{name}.wasm")
        eventually(lambda name=name: client.plugin(name) is not None)  # by the watches of now, too
        assert client.names(f"{name}:") == [name]
        mounting.unmount(mounting.plugins)
        eventually(lambda name=name: client.plugin(name) is None and client.plugin("below") is not None)


@needs_mounts
def test_a_configuration_whose_folder_is_mounted_over_is_noticed(mounting):
    folder = mounting.home / "config"
    folder.mkdir()
    mounting.config = folder / "config.toml"
    client = mounting.start().client()
    assert client.settled("echo")["trigger"] == ">"
    mounting.mount(folder)
    mounting.put(mounting.config, "[plugins.echo]\ntrigger = 'other:'\n")
    eventually(lambda: client.plugin("echo")["trigger"] == "other:")
    mounting.unmount(folder)
    eventually(lambda: client.plugin("echo")["trigger"] == ">")


@needs_mounts
def test_a_socket_s_folder_that_is_mounted_over_gets_another_socket(mounting):
    mounting.start().client().settled("echo")
    mounting.mount(mounting.socket.parent, "-o", "mode=700")
    # From outside the old one is seen; under, the new one.
    ask = ["nsenter", "-t", str(mounting.process.pid), "-m", "test", "-S", str(mounting.socket)]
    eventually(lambda: subprocess.run(ask, check=False).returncode == 0)


# ---- the cache --------------------------------------------------------------------------------------------------


def replaced_workers(daemon):
    """Kill the workers and wait for others, which have to load everything."""
    before = set(daemon.workers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(now := set(daemon.workers())) == 2 and not now & before)


@pytest.fixture
def serving(idle_daemon, own_cache):
    """A daemon with a cache of its own that serves."""
    idle_daemon.cache = own_cache
    idle_daemon.install(component("old", "old:"), "old")
    client = idle_daemon.connection = idle_daemon.start().client()
    assert {client.settled(name)["state"] for name in ("old", "calc", "echo")} == {"ready"}
    return idle_daemon


def remove(cache):
    shutil.rmtree(cache)


def remove_and_make_again(cache):
    shutil.rmtree(cache)
    cache.mkdir(mode=0o755)


def rename(cache):
    cache.rename(cache.with_name("away"))


def put_a_file(cache):
    shutil.rmtree(cache)
    cache.write_text("")


def put_a_link(cache):
    cache.rename(cache.with_name("away"))
    cache.symlink_to("away")


def put_a_link_to_nothing(cache):
    shutil.rmtree(cache)
    cache.symlink_to("nowhere")


@pytest.mark.parametrize("take", [remove, remove_and_make_again, rename, put_a_file, put_a_link, put_a_link_to_nothing])
def test_a_cache_that_is_taken_away_costs_nothing_but_a_compilation(serving, take):
    client = serving.connection
    take(serving.cache)
    assert client.names("old:") == ["old"]  # what is loaded goes on
    serving.install(component("new", "new:"), "new")
    eventually(lambda: client.plugin("new") is not None)
    assert client.names("new:") == ["new"]
    replaced_workers(serving)
    for name in ("old", "new", "old", "new"):
        assert client.names(f"{name}:") == [name]  # what was lost is waited for
    assert client.ask("reload")["type"] == "ok"
    assert {plugin["state"] for plugin in client.ask("plugins")["plugins"]} == {"ready"}
    assert {plugin["error"] for plugin in client.ask("plugins")["plugins"]} == {None}
    if serving.cache.is_dir():
        assert serving.cache.stat().st_mode & 0o077 == 0
        assert list(serving.cache.glob("*.cwasm"))
    assert serving.stop() == 0
    assert list(serving.socket.parent.glob("swiftd-cache-*")) == []


def test_a_cache_that_can_be_used_again_is_used_again(serving):
    client = serving.connection
    put_a_file(serving.cache)
    serving.install(component("one", "one:"), "one")
    eventually(lambda: client.plugin("one") is not None)
    assert client.names("one:") == ["one"]
    assert "the cache can't be used" in serving.said()
    serving.cache.unlink()
    serving.install(component("two", "two:"), "two")
    eventually(lambda: client.plugin("two") is not None)
    assert client.names("two:") == ["two"]
    assert list(serving.cache.glob("*.cwasm"))
    replaced_workers(serving)
    for name in ("old", "one", "two"):
        eventually(lambda name=name: client.names(f"{name}:") == [name])


@needs_mounts
@pytest.mark.parametrize("options", [[], ["-o", "noexec"], ["-o", "ro"]])
def test_a_cache_that_is_mounted_over_costs_nothing_but_a_compilation(mounting, own_cache, options):
    mounting.cache = own_cache
    mounting.install(component("old", "old:"), "old")
    client = mounting.start().client()
    assert client.names("old:") == ["old"]
    mounting.mount(own_cache, *options)
    mounting.install(component("new", "new:"), "new")
    eventually(lambda: client.plugin("new") is not None)
    assert client.names("new:") == ["new"]
    replaced_workers(mounting)
    for name in ("old", "new"):
        eventually(lambda name=name: client.names(f"{name}:") == [name])


@needs_mounts
def test_from_a_cache_without_exec_plugins_are_served_and_the_price_is_said_once(mounting, own_cache):
    own_cache.mkdir()
    mounting.cache = own_cache
    under = (*NAMESPACE, "sh", "-c", f'mount -t tmpfs -o noexec,mode=700 none "{own_cache}" && exec "$@"', "sh")
    client = mounting.start(under=under).client()
    assert {client.settled(path.stem)["state"] for path in BUNDLED.glob("*.wasm")} == {"ready"}
    assert client.names("=1+2") == ["1+2 = 3"]
    assert mounting.said().count("mounted noexec") == 1
    replaced_workers(mounting)
    assert client.names("=1+2") == ["1+2 = 3"]


@needs_mounts
def test_with_a_full_disk_it_says_so_and_tries_again_until_there_is_room(mounting, own_cache):
    own_cache.mkdir()
    mounting.cache = own_cache
    under = (*NAMESPACE, "sh", "-c", f'mount -t tmpfs -o size=200k,mode=700 none "{own_cache}" && exec "$@"', "sh")
    client = mounting.start(under=under).client()
    calc = client.settled("calc")
    assert calc["state"] == "refused"
    assert calc["error"] == "no space is left where the cache is: it is tried again by itself"
    mounting.run("mount", "-o", "remount,size=100m", own_cache)
    eventually(lambda: client.plugin("calc")["state"] == "ready")
    assert client.names("=1+2") == ["1+2 = 3"]
    assert "Traceback" not in mounting.said()
