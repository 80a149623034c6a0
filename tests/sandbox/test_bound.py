"""What a worker is let into is what was there then, and is entered through no link, however short it is there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from swiftd.sandbox import bound
from swiftd.sandbox.bound import StaleError


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A folder in one that somebody else may write, and a private one."""
    monkeypatch.setattr(bound, "_bound", {})
    for folder in ("shared/work", "private"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "shared" / "work"


def inode(descriptor):
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def test_a_folder_is_entered(box):
    bound.bind([str(box)])
    assert inode(bound.enter(str(box))) == box.stat().st_ino
    assert inode(bound.opened("/")) == Path("/").stat().st_ino


def test_what_is_no_folder_or_not_there_is_not_entered(box):
    (box / "file").write_text("")
    bound.bind([str(box)])
    for path in (box / "file", box / "missing", box / "file" / "x"):
        assert bound.enter(str(path)) is None
    assert bound.identity("/dev/null") is None


def test_one_that_was_not_asked_for_or_is_another_is_stale(box):
    bound.bind([str(box)])
    with pytest.raises(StaleError):
        bound.enter(str(box.parent))
    box.rename(box.parent / "away")
    box.mkdir()
    with pytest.raises(StaleError):
        bound.enter(str(box))


@pytest.mark.parametrize("link", ["shared/work", "shared"])
def test_no_link_is_gone_through_neither_when_it_is_bound_nor_when_it_is_entered(box, tmp_path, link):
    (tmp_path / link).rename(tmp_path / "away")
    (tmp_path / link).symlink_to(tmp_path / "private")
    (tmp_path / "private" / "work").mkdir()
    bound.bind([str(box)])
    with pytest.raises(OSError, match=r"symbolic|directory"):
        bound.opened(str(box))
    assert bound.enter(str(box)) is None
    (tmp_path / link).unlink()
    (tmp_path / "away").rename(tmp_path / link)
    with pytest.raises(StaleError):  # what was there then was no folder
        bound.enter(str(box))


def test_a_folder_that_flips_to_a_link_and_back_is_never_what_the_link_leads_to(box, tmp_path):
    private = (tmp_path / "private").stat().st_ino
    bound.bind([str(box)])
    done = threading.Event()

    def flip():
        while not done.is_set():
            box.rename(box.parent / "away")
            box.symlink_to(tmp_path / "private")
            box.unlink()
            (box.parent / "away").rename(box)
            time.sleep(0)

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        entered = 0
        while entered < 100:
            if (descriptor := bound.enter(str(box))) is not None:
                assert inode(descriptor) != private
                entered += 1
    finally:
        done.set()
        flipper.join()
