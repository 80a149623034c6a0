"""One folder is one place, whatever it is called: by the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from swiftd.mounts import Mounts

LIST = b"""\
1 99 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:5 / /proc rw - proc proc rw
3 1 8:1 /srv/data /mnt/data rw shared:1 - ext4 /dev/sda1 rw
4 1 8:2 / /home rw - ext4 /dev/sda2 rw
5 4 0:9 / /home/u/.cache rw - tmpfs tmpfs rw
6 1 8:2 /u /mnt/a\\040b\\134c rw - ext4 /dev/sda2 rw
7 1 0:7 / /over rw - tmpfs tmpfs rw
8 7 8:2 /u /over rw - ext4 /dev/sda2 rw
9 1 0:8 / /over/hidden rw - tmpfs tmpfs rw
10 1 0:30 /@home /sub rw - btrfs /dev/sdb rw
rubbish
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", "/8:1"),
        ("/etc/x", "/8:1/etc/x"),
        ("/mnt/data/x", "/8:1/srv/data/x"),
        ("/mnt/database", "/8:1/mnt/database"),
        ("/home/u/docs", "/8:2/u/docs"),
        ("/home/u/.cache/swift", "/0:9/swift"),
        ("/mnt/a b\\c/docs", "/8:2/u/docs"),
        ("/over/docs", "/8:2/u/docs"),
        ("/over/hidden/x", "/8:2/u/hidden/x"),
        ("/sub/u", "/0:30/@home/u"),
    ],
)
def test_a_path_is_a_place_in_a_file_system(path, place):
    assert Mounts(LIST).place(Path(path)) == Path(place)


def test_what_is_mounted_below_can_be_reached_too():
    places = Mounts(LIST).places(Path("/home"))
    assert places == [Path("/8:2"), Path("/0:9")]
    assert Mounts(LIST).places(Path("/home/u/docs")) == [Path("/8:2/u/docs")]


@pytest.mark.parametrize("text", [b"", b"rubbish\n", b"3 1 8:1 /x /mnt rw - ext4 x rw\n"])
def test_without_a_list_names_must_do(text):
    assert Mounts(text).place(Path("/a/b")) == Path("/a/b")


def test_those_of_now_tell_places_apart():
    mounts = Mounts.now()
    assert mounts.place(Path("/proc/self")) != mounts.place(Path("/self"))
    assert mounts.place(Path("/")).parts[0] == "/"
