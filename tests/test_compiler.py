"""The compile cache: what is in it is used, what is wrong in it is made anew, and nobody is let down by it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import stat
import tempfile
import time

import pytest
import trio
from daemons import BUNDLED, GUESTS, Daemon, children, component, eventually, wait_for_end
from guests.cases import huge_function, with_module

from swiftd import paths
from swiftd.children import Child, Zygote
from swiftd.compiler import ChangedError, Compiler, TroubleError, sweep_unfinished
from swiftd.sandbox.engine import runtime_id

PLUGIN = GUESTS / "echo.wat"


def source_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def own_cache(tmp_path):
    cache = tmp_path / "cache"
    paths.make_private(cache)
    return cache


@pytest.fixture
async def zygote():
    zygote = Zygote()
    await zygote.start()
    pid = zygote._process.pid
    try:
        yield zygote
    finally:
        everyone = [pid, *children(pid)]
        zygote.close()
        assert wait_for_end(everyone) == []


@pytest.fixture
def compiler(own_cache, zygote):
    return Compiler(own_cache, zygote)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- in this process --------------------------------------------------------------------------------------------


async def test_a_plugin_is_compiled_once(compiler, own_cache):
    source = source_of(PLUGIN)
    assert compiler.cached(source) is None
    entry = await compiler.compile(PLUGIN, source)
    assert entry.refused is None
    assert (entry.contract.runner, entry.contract.form) == ("swift:launcher/runner", "record")
    assert compiler.cached(source) == entry
    artefact = compiler.artefact(entry)
    assert artefact.stat().st_size == entry.size
    assert hashlib.sha256(artefact.read_bytes()).hexdigest() == entry.digest
    before = {path: path.stat().st_mtime_ns for path in own_cache.iterdir()}
    assert await compiler.compile(PLUGIN, source) == entry
    assert {path: path.stat().st_mtime_ns for path in own_cache.iterdir()} == before


async def test_what_it_writes_is_private_and_nothing_else_is_left(compiler, own_cache):
    before = os.umask(0)
    try:
        await compiler.compile(PLUGIN, source_of(PLUGIN))
    finally:
        os.umask(before)
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".cwasm", ".json"]
    assert {mode(path) for path in own_cache.iterdir()} == {0o600}
    assert mode(own_cache) == 0o700


async def test_a_refusal_is_remembered_with_its_reason(compiler):
    path = GUESTS / "no-handle.wat"
    entry = await compiler.compile(path, source_of(path))
    assert "expected" in entry.refused
    assert compiler.cached(source_of(path)) == entry


async def test_a_file_that_changed_meanwhile_is_not_taken_for_what_it_was(compiler, tmp_path):
    path = tmp_path / "x.wasm"
    path.write_text(component("new", "x"))
    with pytest.raises(ChangedError):
        await compiler.compile(path, source_of(PLUGIN))
    assert compiler.cached(source_of(PLUGIN)) is None
    assert compiler.cached(source_of(path)) is None


@pytest.mark.parametrize("what", ["missing", "a folder"])
async def test_a_file_that_can_t_be_read_is_trouble_and_no_refusal(compiler, own_cache, tmp_path, what):
    path = tmp_path / "x.wasm"
    if what == "a folder":
        path.mkdir()
    with pytest.raises(TroubleError, match=r"no such file|found a folder"):
        await compiler.compile(path, "0" * 64)
    assert list(own_cache.iterdir()) == []


async def test_a_cancelled_compilation_ends_its_child_and_leaves_nothing(compiler, own_cache, zygote, tmp_path):
    path = tmp_path / "slow.wasm"
    path.write_bytes(slow())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(compiler.compile, path, source_of(path))
        with trio.fail_after(20):
            while not children(zygote._process.pid):  # noqa: ASYNC110 - of what the kernel does there is no event
                await trio.sleep(0.005)
        (child,) = children(zygote._process.pid)
        nursery.cancel_scope.cancel()
    assert wait_for_end([child]) == []
    assert list(own_cache.iterdir()) == []


def slow(size=100_000):
    """A plugin that takes about a second to compile."""
    return with_module((BUNDLED / "echo.wasm").read_bytes(), huge_function(size))


@pytest.mark.parametrize("victim", ["child", "zygote"])
async def test_a_compilation_that_was_killed_is_no_refusal_to_remember(
    compiler, own_cache, zygote, tmp_path, monkeypatch, victim
):
    path = tmp_path / "slow.wasm"
    path.write_bytes(slow())
    forked, fork = trio.Event(), zygote.fork

    async def noticed(*arguments):
        child = await fork(*arguments)
        forked.set()
        return child

    async def run():
        with pytest.raises(TroubleError, match="killed from outside") as caught:
            await compiler.compile(path, source_of(path))
        assert caught.value.again

    monkeypatch.setattr(zygote, "fork", noticed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(20):
            await forked.wait()
        (child,) = children(zygote._process.pid)
        os.kill(child if victim == "child" else zygote._process.pid, signal.SIGKILL)
    assert compiler.cached(source_of(path)) is None
    assert list(own_cache.iterdir()) == []
    assert (await compiler.compile(PLUGIN, source_of(PLUGIN))).refused is None


LIMITS = [
    (resource.RLIMIT_AS, 300_000_000, "more than .* MiB of memory, which `ulimit -v` allows here"),
    (resource.RLIMIT_DATA, 40_000_000, "more than 38.1 MiB of memory, which `ulimit -d` allows here"),
    (resource.RLIMIT_CPU, 1, "more than 1 s of processor time, which `ulimit -t` allows here"),
    (resource.RLIMIT_FSIZE, 50_000, "larger than 49 KiB, which `ulimit -f` allows here"),
]


@pytest.mark.parametrize(("limit", "value", "message"), LIMITS)
async def test_a_limit_that_was_set_before_is_kept_and_named(
    compiler, own_cache, zygote, tmp_path, limit, value, message
):
    path = tmp_path / "slow.wasm"
    path.write_bytes(slow(500_000) if limit != resource.RLIMIT_FSIZE else (BUNDLED / "calc.wasm").read_bytes())
    before = resource.prlimit(zygote._process.pid, limit)
    resource.prlimit(zygote._process.pid, limit, (value, before[1]))
    monkey = resource.getrlimit
    with pytest.MonkeyPatch.context() as patch:  # the daemon has the same limits as its children
        patch.setattr(resource, "getrlimit", lambda kind: (value, before[1]) if kind == limit else monkey(kind))
        with pytest.raises(TroubleError, match=message) as caught:
            await compiler.compile(path, source_of(path))
    assert not caught.value.again
    assert list(own_cache.iterdir()) == []  # nothing of it is remembered
    resource.prlimit(zygote._process.pid, limit, before)
    assert (await compiler.compile(PLUGIN, source_of(PLUGIN))).refused is None


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "no space is left"), (errno.EDQUOT, "quota"), (errno.EIO, "input/output error")],
)
async def test_trouble_with_the_disk_is_trouble_and_no_refusal(compiler, own_cache, monkeypatch, number, message):
    def full(*arguments, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "NamedTemporaryFile", full)
        with pytest.raises(TroubleError, match=message) as caught:
            await compiler.compile(PLUGIN, source_of(PLUGIN))
    assert caught.value.again
    assert (await compiler.compile(PLUGIN, source_of(PLUGIN))).refused is None


async def test_what_can_t_be_remembered_serves_all_the_same(compiler, own_cache, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        entry = await compiler.compile(PLUGIN, source_of(PLUGIN))
    assert entry.refused is None
    assert compiler.artefact(entry).stat().st_size == entry.size
    assert compiler.cached(source_of(PLUGIN)) is None


@pytest.mark.parametrize(
    ("words", "message", "again"),
    [
        ("memory allocation of 33554432 bytes failed\nFatal Python error: Aborted\n", "4 GiB of memory", False),
        ('Current thread 0x00007 (most recent call first):\n  File "x"\n', "60 s of processor time", False),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):", "crash", False),
        ("thread panicked: Os { code: 11, kind: WouldBlock }\nFatal Python error: Aborted", "ulimit -u", True),
        ("", "killed from outside", True),
        ("\x1b]0;title\x07 and more", "crash: \ufffd]0;title\ufffd and more", False),
    ],
)
async def test_a_crash_is_told_by_its_last_words_and_not_remembered(
    compiler, own_cache, zygote, monkeypatch, words, message, again
):
    """A child that says so and ends, in the place of one that would have to be driven to it."""
    process = await trio.lowlevel.open_process(["sleep", "60"])
    ours, theirs = socket.socketpair()
    theirs.sendall(words.encode())
    theirs.close()

    async def fork(*arguments):
        return Child(process.pid, os.pidfd_open(process.pid), ours)

    monkeypatch.setattr(zygote, "fork", fork)
    with pytest.raises(TroubleError) as caught:
        await compiler.compile(PLUGIN, source_of(PLUGIN))
    await process.wait()
    assert message in str(caught.value)
    assert caught.value.again == again
    assert list(own_cache.iterdir()) == []


async def test_another_runtime_s_entries_are_not_seen(compiler, own_cache, zygote):
    source = source_of(PLUGIN)
    entry = await compiler.compile(PLUGIN, source)
    zygote.runtime_id = "wasmtime 1.0; other settings"
    assert compiler.cached(source) is None
    again = await compiler.compile(PLUGIN, source)
    assert (again.contract, again.refused) == (entry.contract, None)
    assert len(list(own_cache.glob("*.json"))) == 2


async def test_what_many_want_at_once_is_compiled_once(compiler, zygote, monkeypatch):
    forks, fork = [], zygote.fork

    async def counted(*arguments):
        forks.append(arguments)
        return await fork(*arguments)

    monkeypatch.setattr(zygote, "fork", counted)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(compiler.compile, PLUGIN, source_of(PLUGIN))
    assert len(forks) == 1


def test_what_killed_writers_left_behind_is_swept_when_it_is_old(own_cache):
    old, new, entry = (own_cache / name for name in (".new-old", ".new-new", "entry.json"))
    for path in (old, new, entry):
        path.write_text("")
    for path in (old, entry):
        os.utime(path, (0, time.time() - 7200))
    sweep_unfinished(own_cache)
    assert sorted(own_cache.iterdir()) == sorted([new, entry])


async def test_a_fifo_in_an_entry_s_place_is_no_entry(compiler):
    source = source_of(PLUGIN)
    fifo = compiler._path(source)
    os.mkfifo(fifo)
    with trio.move_on_after(0.5) as scope:
        assert await trio.to_thread.run_sync(compiler.cached, source, abandon_on_cancel=True) is None
    if scope.cancelled_caught:
        os.close(os.open(fifo, os.O_WRONLY))  # the thread that waits must end
    assert not scope.cancelled_caught


def test_a_sweep_that_can_t_look_into_the_cache_does_without(own_cache, monkeypatch):
    def scandir(path):
        raise OSError(errno.EMFILE, "Too many open files", path)

    monkeypatch.setattr(os, "scandir", scandir)
    Compiler(own_cache, None).sweep([])


# ---- what a daemon makes of a cache that was tampered with ------------------------------------------------------


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 0x10
    path.write_bytes(data)


def grow(path):
    with path.open("ab") as file:
        file.write(b"\0")


def put_a_folder(path):
    path.unlink()
    path.mkdir()


def put_a_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def put_a_fifo(path):
    path.unlink()
    os.mkfifo(path)


def swap(path):
    """Put another one's content there: it is whole, but not the one that belongs there."""
    others = [other for other in path.parent.glob(f"*{path.suffix}") if other != path and other.is_file()]
    shutil.copyfile(max(others, key=lambda other: other.stat().st_size), path)


def forge_the_digest(path):
    """An entry that is whole, but names an artefact outside of the cache."""
    body = json.loads(path.read_bytes().partition(b"\n")[2])
    body["digest"] = "../" + "0" * 61
    text = json.dumps(body).encode()
    path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def forged(**changes):
    """An entry whose checksum is right, and which says something else."""

    def forge(path):
        body = json.dumps(json.loads(path.read_bytes().partition(b"\n")[2]) | changes).encode()
        put_in_order(path, body)

    forge.__name__ = "forge_" + "_".join(f"{name}_{type(value).__name__}" for name, value in changes.items())
    return forge


def put_in_order(path, body):
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def nest(path):
    """An entry whose checksum is right, and which is nested deeper than anybody can read."""
    put_in_order(path, path.read_bytes().partition(b"\n")[2][:-1] + b',"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def nest_where_it_matters(path):
    put_in_order(path, b'{"contract":' + b"[" * 100_000)


def make_huge(path):
    with path.open("r+b") as file:
        file.truncate(100 * 1024**3)


def make_endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def make_a_link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def move_behind_a_link(path):
    """Nothing of ours is a link."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


FORGED = [
    forged(contract=None),
    forged(contract=5),
    forged(contract={}),
    forged(contract={"runner": None, "form": "record"}),
    forged(contract={"runner": "x" * 1000, "form": "record"}),
    forged(digest=""),
    forged(digest="\0" * 64),
    forged(digest="a/" * 32),
    forged(digest=["a"]),
    forged(digest="f" * 100_000),
    forged(size="7"),
    forged(size=-1),
    forged(size=10**30),
    forged(imports={}),
    forged(refused=[], key=None),
    nest,
    nest_where_it_matters,
    put_a_fifo,
    make_huge,
    make_endless,
    make_a_link_to_itself,
]

HARMS = [
    *((suffix, harm) for suffix in (".json", ".cwasm") for harm in (swap, truncate, empty, flip, grow, os.unlink)),
    *((suffix, harm) for suffix in (".json", ".cwasm") for harm in (put_a_folder, put_a_dangling_link)),
    (".cwasm", put_a_fifo),
    (".json", forge_the_digest),
    *((".json", harm) for harm in FORGED),
    *((".cwasm", harm) for harm in (make_huge, make_endless, make_a_link_to_itself, move_behind_a_link)),
]


def entry_of(cache, plugin):
    """The files that the cache has for a plugin's file."""
    key = hashlib.sha256(f"{source_of(plugin)}\n{runtime_id()}".encode()).hexdigest()
    entry = cache / f"{key}.json"
    digest = json.loads(entry.read_bytes().partition(b"\n")[2])["digest"]
    return {".json": entry, ".cwasm": cache / f"{digest}.cwasm"}


@pytest.fixture(scope="module")
def tampered(tmp_path_factory):
    """A daemon on a cache in which each plugin's entry was harmed in another way."""
    daemon = Daemon(tmp_path_factory.mktemp("tampered"), tmp_path_factory.mktemp("cache"))
    names = [f"harmed-{number}" for number in range(len(HARMS))]
    try:
        for name in names:
            daemon.install(component(name, f"{name}:"), name)
        client = daemon.start().client()
        assert {client.settled(name)["state"] for name in [*names, "calc"]} == {"ready"}
        daemon.stop()
        files = [entry_of(daemon.cache, daemon.plugins / f"{name}.wasm") for name in names]
        for entry, (suffix, harm) in zip(files, HARMS, strict=True):
            harm(entry[suffix])
        yield daemon.start()
    finally:
        daemon.close()


@pytest.mark.parametrize(
    "number",
    range(len(HARMS)),
    ids=[f"{number}-{harm.__name__}{suffix}" for number, (suffix, harm) in enumerate(HARMS)],
)
def test_an_entry_that_was_harmed_is_made_anew(tampered, number):
    client = tampered.client()
    name = f"harmed-{number}"
    assert client.names(f"{name}:", plugins=[name]) == [name]
    plugin = client.plugin(name)
    assert (plugin["state"], plugin["error"]) == ("ready", None)
    assert "Traceback" not in tampered.said()


def test_after_a_repair_the_cache_is_whole_again(idle_daemon, own_cache):
    idle_daemon.cache = own_cache
    path = idle_daemon.install(PLUGIN, "said")
    idle_daemon.start().client().settled("said")
    idle_daemon.stop()
    flip(entry_of(own_cache, path)[".cwasm"])
    client = idle_daemon.start().client()
    assert client.names("echo:x", plugins=["said"]) == ["echo:x"]
    idle_daemon.stop()
    client = idle_daemon.start().client()
    assert client.settled("said")["times"]["compile_ms"] is None


def test_a_cache_that_is_emptied_while_it_is_in_use_is_filled_again(idle_daemon, own_cache):
    idle_daemon.cache = own_cache
    idle_daemon.install(PLUGIN, "said")
    client = idle_daemon.start().client()
    assert client.query("echo:x", plugins=["said"])["items"]
    for path in own_cache.iterdir():
        path.unlink()
    workers = idle_daemon.workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(workers) & set(idle_daemon.workers()) and len(idle_daemon.workers()) == 2)
    eventually(lambda: client.query("echo:x", plugins=["said"])["items"])


def test_a_refusal_is_remembered_and_not_compiled_again(idle_daemon, own_cache):
    idle_daemon.cache = own_cache
    idle_daemon.install(GUESTS / "no-handle.wat")
    first = idle_daemon.start().client().settled("no-handle")
    assert first["times"]["compile_ms"] is not None
    idle_daemon.stop()
    again = idle_daemon.start().client().settled("no-handle")
    assert (again["state"], again["error"]) == ("refused", first["error"])
    assert again["times"]["compile_ms"] is None
    assert idle_daemon.said().count("no-handle: compiling") == 1


def test_two_daemons_can_fill_one_cache_at_once(tmp_path_factory, own_cache):
    daemons = [Daemon(tmp_path_factory.mktemp("twin"), own_cache) for _ in range(2)]
    try:
        for daemon in daemons:
            for number in range(5):
                daemon.install(component(f"name {number}", f"{number}:"), f"plugin-{number}")
            daemon.start(wait=False)
        for daemon in daemons:
            daemon.wait_for_socket()
            client = daemon.client()
            for number in range(5):
                assert client.names(f"{number}:", plugins=[f"plugin-{number}"]) == [f"name {number}"]
            client.settled("calc")
            assert "Traceback" not in daemon.said()
    finally:
        for daemon in daemons:
            daemon.close()
    assert list(own_cache.glob(".new-*")) == []
    for artefact in own_cache.glob("*.cwasm"):
        assert hashlib.sha256(artefact.read_bytes()).hexdigest() == artefact.stem


def test_a_cache_that_others_could_enter_is_made_private(idle_daemon, own_cache):
    own_cache.chmod(0o755)
    idle_daemon.cache = own_cache
    idle_daemon.start()
    assert mode(own_cache) == 0o700


def test_what_an_old_writer_left_is_swept_at_the_start(idle_daemon, own_cache):
    left = own_cache / ".new-left"
    left.write_text("")
    os.utime(left, (0, 0))
    idle_daemon.cache = own_cache
    idle_daemon.start()
    eventually(lambda: not left.exists())  # the socket is there before the cache is looked at


def test_the_same_content_can_be_there_twice(idle_daemon, own_cache):
    idle_daemon.cache = own_cache
    idle_daemon.install(PLUGIN, "a")
    idle_daemon.install(PLUGIN, "b")
    client = idle_daemon.start().client()
    assert {client.settled(name)["state"] for name in "ab"} == {"ready"}
    for name in "ab":
        assert client.names("echo:x", plugins=[name]) == ["echo:x"]
