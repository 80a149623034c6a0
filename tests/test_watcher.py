"""What the watcher notices, of real files: whatever happened to a folder, the next change in it is seen."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from daemons import PATIENCE
from watchfiles import Change

from swiftd import watcher
from swiftd.watcher import to_watch, watch


class Watching:
    """Counts what is noticed."""

    def __init__(self):
        self.calls = 0
        self._called = trio.Event()

    def changed(self):
        self.calls += 1
        self._called.set()
        self._called = trio.Event()

    async def called(self):
        """Wait for the next call."""
        await self._called.wait()

    async def notices(self, what, *arguments):
        """Do something and wait until a change is noticed that nothing before can have caused."""
        await self.rest()
        before = self.calls
        what(*arguments)
        with trio.fail_after(PATIENCE):
            while self.calls == before:
                await self.called()

    async def rest(self):
        """Wait until nothing is noticed any more."""
        with trio.fail_after(PATIENCE):
            before = -1
            while self.calls != before or not self.calls:
                before = self.calls
                await trio.sleep(0.2)

    async def ignores(self, what, *arguments):
        """Do something that must not be noticed."""
        await self.rest()
        before = self.calls
        what(*arguments)
        await trio.sleep(0.4)
        assert self.calls == before


@asynccontextmanager
async def watching(*places):
    seen = Watching()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, places, seen.changed)
        yield seen
        nursery.cancel_scope.cancel()


async def refused(error):
    """What `awatch` is where the kernel gives nothing."""
    raise error
    yield


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(watcher, "STEP", 50)
    monkeypatch.setattr(watcher, "BURST", 200)
    monkeypatch.setattr(watcher, "POLL", 0.02)
    monkeypatch.setattr(watcher, "LOOKS", 5)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "swift" / "plugins").mkdir(parents=True)
    return tmp_path / "swift" / "plugins"


def write(path, content="x"):
    path.write_text(content)


def replace(path, content="y"):
    aside = path.with_name("aside")
    aside.write_text(content)
    aside.rename(path)


def anew(folder):
    """Remove a folder and make it again, so fast that nobody can see it missing."""
    shutil.rmtree(folder)
    folder.mkdir()


async def test_what_happens_to_a_file_is_noticed(folder):
    path = folder / "a.wasm"
    async with watching(folder) as seen:
        await seen.notices(write, path)
        await seen.notices(write, path, "longer")
        await seen.notices(replace, path)
        await seen.notices(os.utime, path, (1, 1))
        await seen.notices(path.rename, folder / "b.wasm")
        await seen.notices((folder / "b.wasm").unlink)


async def test_a_folder_that_is_removed_and_made_again_at_once_is_still_watched(folder):
    async with watching(folder) as seen:
        for number in range(3):
            await seen.notices(anew, folder)
            await seen.notices(write, folder / f"{number}.wasm")
        await seen.notices(anew, folder.parent)
        await seen.notices(folder.mkdir)
        await seen.notices(write, folder / "a.wasm")


async def test_a_folder_that_is_not_there_is_waited_for(folder):
    shutil.rmtree(folder.parent)
    async with watching(folder, folder.parent / "config.toml") as seen:
        await seen.notices(folder.parent.mkdir)
        await seen.notices(write, folder.parent / "config.toml")
        await seen.notices(folder.mkdir)
        await seen.notices(write, folder / "a.wasm")
        await seen.notices(shutil.rmtree, folder)
        await seen.notices(folder.mkdir)
        await seen.notices(write, folder / "a.wasm")


async def test_a_folder_that_is_replaced_by_another_is_watched(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()

    def swap():
        folder.rename(tmp_path / "old")
        other.rename(folder)

    async with watching(folder) as seen:
        await seen.notices(swap)
        await seen.notices(write, folder / "a.wasm")
        await seen.ignores(write, tmp_path / "old" / "b.wasm")


async def test_a_folder_that_becomes_a_link_is_followed_and_so_is_the_link_when_it_leads_elsewhere(folder, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()

    def link(name):
        (tmp_path / "aside").symlink_to(name)
        (tmp_path / "aside").rename(folder)

    async with watching(folder) as seen:
        folder.rmdir()
        await seen.notices(link, tmp_path / "first")
        await seen.notices(write, tmp_path / "first" / "a.wasm")
        await seen.notices(link, "../second")
        await seen.notices(write, tmp_path / "second" / "a.wasm")
        await seen.ignores(write, tmp_path / "first" / "b.wasm")


async def test_a_parent_that_is_a_link_is_followed_wherever_it_leads(tmp_path):
    for name in ("first", "second"):
        (tmp_path / "dotfiles" / name / "plugins").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    link = tmp_path / "home" / "swift"
    link.symlink_to("../dotfiles/first")

    def retarget():
        link.unlink()
        link.symlink_to("../dotfiles/second")

    async with watching(link / "plugins", link / "config.toml") as seen:
        await seen.notices(write, link / "plugins" / "a.wasm")
        await seen.notices(retarget)
        await seen.notices(write, link / "plugins" / "a.wasm")
        await seen.notices(write, link / "config.toml")


async def test_a_plugin_that_is_a_link_is_followed(folder, tmp_path):
    built = tmp_path / "target"
    built.mkdir()
    write(built / "out.wasm")
    async with watching(folder) as seen:
        await seen.notices((folder / "a.wasm").symlink_to, built / "out.wasm")
        await seen.notices(write, built / "out.wasm", "anew")
        await seen.notices(replace, built / "out.wasm")
        await seen.notices((built / "out.wasm").unlink)
        await seen.notices(write, built / "out.wasm")
        await seen.ignores(write, built / "other.o")


async def test_a_configuration_that_is_a_link_is_followed(folder, tmp_path):
    config = folder.parent / "config.toml"
    (tmp_path / "dotfiles").mkdir()
    config.symlink_to(tmp_path / "dotfiles" / "swift.toml")
    async with watching(folder, config) as seen:
        await seen.notices(write, tmp_path / "dotfiles" / "swift.toml")
        await seen.notices(replace, tmp_path / "dotfiles" / "swift.toml")
        await seen.notices(config.unlink)
        await seen.notices(write, config)


async def test_what_does_not_matter_is_not_noticed(folder):
    config = folder.parent / "config.toml"
    write(config)
    async with watching(folder, config) as seen:
        await seen.ignores(write, folder.parent / "log")
        await seen.ignores(config.read_text)
        await seen.ignores(os.listdir, folder)
        (folder.parent / "log").unlink()
        await seen.ignores((folder.parent / "other").mkdir)
        await seen.notices(config.unlink)


async def test_loops_and_what_leads_nowhere_do_no_harm(folder):
    async with watching(folder) as seen:
        await seen.notices((folder / "loop.wasm").symlink_to, "loop.wasm")
        await seen.notices((folder / "up.wasm").symlink_to, "../" * 50)
        await seen.notices((folder / "dangling.wasm").symlink_to, "a/b/c")
        await seen.notices((folder / "file.wasm").symlink_to, "/etc/passwd/x")
        await seen.notices(write, folder / "a.wasm")
        (folder / "a.wasm").unlink()


async def test_a_file_in_the_folder_s_place_is_no_folder(folder):
    async with watching(folder) as seen:
        folder.rmdir()
        await seen.notices(write, folder)
        await seen.notices(folder.unlink)
        await seen.notices(folder.mkdir)
        await seen.notices(write, folder / "a.wasm")


async def test_a_burst_that_does_not_end_is_reported_before_its_end(tmp_path):
    async with watching(tmp_path) as seen:
        await seen.rest()
        before = seen.calls
        with trio.fail_after(PATIENCE), (tmp_path / "a.wasm").open("ab", buffering=0) as file:
            while seen.calls < before + 2:
                file.write(b"x")
                await trio.sleep(0.01)


async def test_it_can_be_ended_at_any_moment(tmp_path):
    for pause in (0, 0.001, 0.01, 0.05):
        with trio.move_on_after(pause):
            async with watching(tmp_path / "plugins"):
                await trio.sleep_forever()


# ---- when the kernel gives nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [*(OSError(n, os.strerror(n)) for n in (errno.ENOSPC, errno.EMFILE, errno.EPERM)), RuntimeError("odd")]
)
async def test_without_watches_it_says_so_once_looks_by_itself_and_asks_again(tmp_path, monkeypatch, caplog, error):
    awatch = watcher.awatch
    tries = []

    def refusing(*paths, **options):
        tries.append(paths)
        return refused(error) if len(tries) < 4 else awatch(*paths, **options)

    monkeypatch.setattr(watcher, "awatch", refusing)
    with caplog.at_level(logging.WARNING):
        async with watching(tmp_path / "plugins") as seen:
            with trio.fail_after(PATIENCE):
                while len(tries) < 4:
                    await seen.called()
            assert seen.calls >= 3 * watcher.LOOKS
            await seen.notices((tmp_path / "plugins").mkdir)
            await seen.notices(write, tmp_path / "plugins" / "a.wasm")
    said = [record.message for record in caplog.records if record.name.startswith("swiftd")]
    assert said == [f"the kernel gives no watch ({error}): looking every 0 s instead"]


async def test_where_no_thread_is_to_be_had_it_looks_by_itself_instead_of_aborting(tmp_path, monkeypatch, caplog):
    """The watches' own threads are native ones: where they can't be started the whole process would abort."""
    monkeypatch.setattr(watcher, "can_start", lambda count: False)
    async with watching(tmp_path / "plugins") as seen:
        with trio.fail_after(PATIENCE):
            while seen.calls < 2 * watcher.LOOKS:
                await seen.called()
    assert caplog.text.count("the kernel gives no watch (no thread is to be had)") == 1


async def test_a_folder_that_is_another_one_without_a_word_from_the_kernel_is_noticed(tmp_path, monkeypatch):
    """As when it is mounted over: see test_mounts.py for real ones."""
    monkeypatch.setattr(watcher, "LOOK", 0.05)
    identity, mounted = watcher._identity, []
    monkeypatch.setattr(watcher, "_identity", lambda folder: (0, 0) if mounted else identity(folder))
    async with watching(tmp_path) as seen:
        await seen.notices(mounted.append, tmp_path)
        await seen.notices(mounted.clear)


async def test_a_folder_that_goes_just_when_it_is_to_be_watched_is_no_failure(tmp_path, monkeypatch):
    awatch = watcher.awatch
    tries = []

    def vanishing(*paths, **options):
        tries.append(paths)
        return refused(FileNotFoundError(paths[0])) if len(tries) == 1 else awatch(*paths, **options)

    monkeypatch.setattr(watcher, "awatch", vanishing)
    async with watching(tmp_path) as seen:
        await seen.notices(write, tmp_path / "a.wasm")
    assert len(tries) >= 2


# ---- what decides -----------------------------------------------------------------------------------------------


def test_of_a_plain_folder_itself_and_its_parent_are_watched(tmp_path):
    (tmp_path / "plugins").mkdir()
    found = to_watch([tmp_path / "plugins", tmp_path / "config.toml"])
    assert found.folders == {tmp_path, tmp_path / "plugins"}
    assert found.concerns(Change.added, str(tmp_path / "plugins" / "a.wasm"))
    assert found.concerns(Change.modified, str(tmp_path / "config.toml"))
    assert found.concerns(Change.deleted, str(tmp_path))
    assert not found.concerns(Change.added, str(tmp_path / "other"))
    assert not found.concerns(Change.added, str(tmp_path / "plugins" / "a" / "b"))


def test_of_what_is_missing_the_nearest_parent_is_watched(tmp_path):
    found = to_watch([tmp_path / "a" / "b" / "c"])
    assert found.folders == {tmp_path}
    assert found.concerns(Change.added, str(tmp_path / "a"))


def test_every_link_on_the_way_is_watched(tmp_path):
    (tmp_path / "real" / "plugins").mkdir(parents=True)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "link").symlink_to("../two/link")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "link").symlink_to(tmp_path / "real")
    found = to_watch([tmp_path / "one" / "link" / "plugins"])
    assert found.folders == {tmp_path / name for name in ("one", "two", "real", "real/plugins")}


@pytest.mark.parametrize("target", ["loop", "/", "..", ".", "../../../../../../../..", "loop/x", "/proc/self/fd"])
def test_wherever_a_link_leads_it_comes_to_an_end(tmp_path, target):
    (tmp_path / "loop").symlink_to(target)
    found = to_watch([tmp_path / "loop"])
    assert tmp_path in found.folders
    assert all(folder.is_dir() and folder.resolve() == folder for folder in found.folders)


def test_the_root_itself_can_be_the_folder():
    assert Path("/") in to_watch([Path("/")]).folders
