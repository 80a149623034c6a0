"""Who else could change what lies at a path: by owners, modes, links, groups and namespaces."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import struct
import subprocess
import sys

import pytest

from swiftd import exposure
from swiftd.exposure import exposed

SOMEBODY = 65534
UNKNOWN_INSIDE = 54321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have folders of another user")


@pytest.fixture
def below(tmp_path):
    """Three folders, one in the other."""
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    return folder


def test_what_only_we_and_root_may_change_is_not_exposed(below):
    assert exposed(str(below)) is None
    assert exposed(str(below / "missing" / "too")) is None
    assert exposed("/usr/bin") is None
    assert exposed("/tmp/missing") is None


@pytest.mark.parametrize("above", range(3))
@pytest.mark.parametrize("mode", [0o777, 0o703, 0o772])
def test_a_folder_on_the_way_that_all_may_write_is_told(below, above, mode):
    folder = [below, *below.parents][above]
    folder.chmod(mode)
    assert exposed(str(below)) == f"others can write to {folder} (mode {mode:04o})"
    folder.chmod(mode | 0o1000)
    assert exposed(str(below)) is None


def test_dots_are_followed_as_the_kernel_does(below):
    (below / "open").mkdir()
    (below / "open").chmod(0o777)
    assert exposed(f"{below}/open/../../c/./") == f"others can write to {below}/open (mode 0777)"
    assert exposed(f"{below}/../c") is None


@needs_root
@pytest.mark.parametrize("above", range(3))
def test_a_folder_on_the_way_of_another_user_is_told(below, above):
    folder = [below, *below.parents][above]
    os.chown(folder, SOMEBODY, SOMEBODY)
    folder.chmod(0o1777)
    assert exposed(str(below)) == f"{folder} belongs to user {SOMEBODY}, not to 0"


@needs_root
def test_so_is_a_link_of_another_user_where_all_may_add(below):
    below.parent.chmod(0o1777)
    (below.parent / "link").symlink_to("c")
    assert exposed(f"{below.parent}/link/x") is None
    os.chown(below.parent / "link", SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert exposed(f"{below.parent}/link/x") == f"{below.parent}/link belongs to user {SOMEBODY}, not to 0"


@pytest.mark.parametrize("absolute", [True, False])
def test_where_a_link_leads_through_a_link_is_looked_at(tmp_path, below, absolute):
    """The second link lies where others may put another in its place."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "second").symlink_to(below)
    (tmp_path / "first").symlink_to(f"{tmp_path if absolute else '.'}/open/second")
    assert exposed(f"{tmp_path}/first") is None
    (tmp_path / "open").chmod(0o777)
    assert exposed(f"{tmp_path}/first") == f"others can write to {tmp_path}/open (mode 0777)"
    assert exposed(str(below)) is None


def test_links_that_lead_nowhere_or_round_end(tmp_path):
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "nowhere").symlink_to("missing/../other")
    assert exposed(f"{tmp_path}/round/x") is None
    assert exposed(f"{tmp_path}/nowhere") is None


def test_a_file_is_judged_like_a_folder_and_a_device_is_not(tmp_path):
    (tmp_path / "file").touch()
    assert exposed(f"{tmp_path}/file") is None
    (tmp_path / "file").chmod(0o1666)
    assert exposed(f"{tmp_path}/file") == f"others can write to {tmp_path}/file (mode 1666)"
    assert exposed("/dev/null") is None


@pytest.mark.parametrize(
    ("name", "members", "is_exposed"),
    [("me", [], False), ("me", ["me"], False), ("me", ["me", "you"], True), ("users", [], True), (None, [], True)],
)
def test_a_group_of_one_s_own_is_nobody_else(below, monkeypatch, name, members, is_exposed):
    """As where the umask is 002: the group has the user's name, and him alone."""
    group = below.stat().st_gid or 4711
    if os.geteuid() == 0:
        os.chown(below, -1, group)
    below.chmod(0o770)

    def by_number(number):
        if name is None:
            raise KeyError(number)
        return grp.struct_group((name, "x", number, members))

    monkeypatch.setattr(pwd, "getpwuid", lambda user: pwd.struct_passwd(("me", "x", user, group, "", "/", "sh")))
    monkeypatch.setattr(grp, "getgrgid", by_number)
    assert (exposed(str(below)) is not None) == is_exposed


def test_an_access_list_may_name_others(below, monkeypatch):
    user = pwd.getpwuid(os.geteuid())
    own = grp.struct_group((user.pw_name, "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda number: own)
    os.chown(below, -1, user.pw_gid)
    below.chmod(0o770)
    assert exposed(str(below)) is None
    everybody = 2**32 - 1
    entries = [(1, 7, everybody), (2, 7, SOMEBODY), (4, 7, everybody), (0x10, 7, everybody), (0x20, 0, everybody)]
    try:
        packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(below, exposure.ACCESS_LIST, packed)  # as `setfacl -m u:65534:rwx` does
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error}")
    assert exposed(str(below)) == f"others can write to {below} (mode 0770)"


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_in_a_user_namespace_the_unknown_are_taken_for_root(below):
    """Root's / and /tmp have the number there that stands for all who are unknown."""
    program = (
        "import sys; from swiftd.exposure import *; print(knows_all_users(), exposed(sys.argv[1]), os.stat('/').st_uid)"
    )
    words = ["unshare", "--user", "--map-user=4711"]
    if os.geteuid() == 0:
        os.chown(below, UNKNOWN_INSIDE, UNKNOWN_INSIDE)
        assert "belongs to user" in exposed(str(below))
    done = subprocess.run(
        [*words, sys.executable, "-c", program, below],
        check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    if not done.stdout:
        pytest.skip(f"no user namespace can be made here: {done.stderr}")
    assert done.stdout.split() == ["False", "None", "4711" if os.geteuid() == 0 else str(SOMEBODY)]
    assert exposure.knows_all_users()
