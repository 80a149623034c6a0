"""A file whose name is known may be anything by now: it costs an error that says what it is, and nothing else."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from swiftd import files

KINDS = [
    "folder",
    "FIFO",
    "socket",
    "device",
    "endless",
    "dangling",
    "loop",
    "round",
    "too large",
    "in a file",
    "memory",
]
SAID = {
    "folder": "found a folder",
    "FIFO": "found a FIFO",
    "socket": "found a socket",
    "device": "found a device",
    "endless": "found a device",
    "dangling": "no such file",
    "loop": "too many levels",
    "round": "too many levels",
    "too large": "larger than 64 KiB",
    "in a file": "not a directory",
    "memory": "input/output error",
}


def make(kind, path):
    """Put something into a file's place; where the file is then to be looked for."""
    links = {
        "device": "/dev/null",
        "endless": "/dev/zero",
        "dangling": "nowhere",
        "loop": path.name,
        "round": "about",
        "memory": "/proc/self/mem",  # calls itself a file, of no bytes
    }
    match kind:
        case "folder":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            bind(path)
        case "too large":
            with path.open("wb") as file:
                file.truncate(100 * 1024**3)
        case "in a file":
            path.write_text("")
            return path / "file"
        case _:
            path.symlink_to(links[kind])
            if kind == "round":
                (path.parent / "about").symlink_to(path.name)
    return path


def bind(path):
    """Make a socket there. Its path must be short."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_its_size_is_an_error_and_leaves_nothing_open(tmp_path, kind):
    path = make(kind, tmp_path / "file")
    before = descriptors()
    said = set()
    for _ in range(50):
        with pytest.raises(OSError, match=r".") as caught:
            files.read(path, 64 * 1024)
        said.add(files.reason(caught.value))
    assert descriptors() == before
    (reason,) = said
    assert SAID[kind] in reason


def test_a_file_is_read_whole_through_links_too(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 64 * 1024)
    (tmp_path / "link").symlink_to(path)
    assert files.read(path, 64 * 1024) == files.read(tmp_path / "link", 64 * 1024) == b"x" * 64 * 1024
    with pytest.raises(OSError, match="found a link"):
        files.read(tmp_path / "link", 64 * 1024, links=False)


def test_what_grows_while_it_is_read_is_read_no_further_than_it_may_be(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with files.opened(path) as (file, status):
        with path.open("ab") as more:
            more.write(b"x" * 10)
        assert status.st_size == 10
        with pytest.raises(OSError, match="larger"):
            list(files.chunks(file, 15))


@pytest.mark.parametrize("kind", ["folder", "FIFO", "device", "endless", "memory"])
def test_what_takes_a_file_s_place_between_two_looks_is_none_either(tmp_path, monkeypatch, kind):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = descriptors()
    stat = os.stat

    def stat_and_swap(name, **options):
        status = stat(name, **options)
        monkeypatch.undo()
        path.unlink()
        make(kind, path)
        return status

    monkeypatch.setattr(os, "stat", stat_and_swap)
    with pytest.raises(OSError, match=r"."):
        files.read(path, 64 * 1024)
    assert descriptors() == before


def test_nobody_who_waits_at_a_fifo_or_terminal_notices_a_look(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    opened = threading.Event()

    def write():
        os.close(os.open(tmp_path / "fifo", os.O_WRONLY))
        opened.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            with pytest.raises(files.NoFileError):
                files.read(tmp_path / "fifo", 10)
        assert not opened.is_set()
    finally:
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)
