"""Where things live, by the environment, and what a private folder is."""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
from pathlib import Path

import pytest

from swiftd import paths
from swiftd.paths import UnsafeFolderError, default_socket, make_private

SOMEBODY = 65534
NOBODY_KNOWN = 54321
"""The number of a user who is in no list."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have folders of another user")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("SWIFT_SOCKET", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- the socket -------------------------------------------------------------------------------------------------


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A session's runtime folder, named by the environment; logind has made none."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(paths, "LOGIND", str(tmp_path / "logind"))
    return folder


@pytest.fixture
def logind(tmp_path, monkeypatch):
    """The runtime folder that logind has made."""
    folder = tmp_path / "logind" / str(os.geteuid())
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(paths, "LOGIND", str(folder.parent))
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder, and the one in it that a socket may lie in."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder / f"swift-{os.geteuid()}"


def test_the_socket_lies_in_the_session_s_runtime_folder(runtime):
    assert default_socket() == runtime / "swift" / "swiftd.sock"
    assert paths.socket_notes() == []


def test_swift_socket_is_stronger(runtime, monkeypatch):
    monkeypatch.setenv("SWIFT_SOCKET", "/elsewhere/s")
    assert default_socket() == Path("/elsewhere/s")
    assert paths.socket_notes() == []


def test_a_relative_swift_socket_is_taken_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWIFT_SOCKET", "x.sock")
    assert default_socket() == tmp_path / "x.sock"


def test_an_empty_swift_socket_counts_as_none(runtime, monkeypatch):
    monkeypatch.setenv("SWIFT_SOCKET", "")
    assert default_socket() == runtime / "swift" / "swiftd.sock"


@pytest.mark.parametrize("chosen", [None, "", "relative/folder"])
def test_without_a_runtime_folder_it_is_logind_s_if_there(monkeypatch, logind, chosen):
    if chosen is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", chosen)
    assert default_socket() == logind / "swift" / "swiftd.sock"
    assert len(paths.socket_notes()) == bool(chosen)


@pytest.mark.parametrize(("temporary", "expected"), [(None, "/tmp"), ("", "/tmp"), ("/var/tmp", "/var/tmp")])
def test_without_either_it_is_a_folder_named_by_the_user_in_the_temporary_one(
    monkeypatch, tmp_path, temporary, expected
):
    if temporary is not None:
        monkeypatch.setenv("TMPDIR", temporary)
    monkeypatch.setattr(paths, "LOGIND", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert default_socket() == Path(expected, "swift-4711", "swiftd.sock")


def test_a_runtime_folder_of_ours_that_is_not_made_yet_will_be(runtime):
    runtime.rmdir()
    assert default_socket() == runtime / "swift" / "swiftd.sock"


def test_one_that_logind_has_not_made_is_not_made_by_us(monkeypatch, logind, temporary):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(logind.with_name("4711")))
    assert default_socket() == logind / "swift" / "swiftd.sock"
    logind.rmdir()
    assert default_socket() == temporary / "swiftd.sock"
    assert "not ours to make" in paths.socket_notes()[0]


@pytest.mark.parametrize("kind", ["a file", "a loop", "below a file", "below nowhere of ours"])
def test_what_is_no_folder_is_not_used(runtime, temporary, monkeypatch, kind):
    runtime.rmdir()
    match kind:
        case "a file":
            runtime.touch()
        case "a loop":
            runtime.symlink_to(runtime)
        case "below a file":
            runtime.touch()
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "x"))
        case _:
            monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/1/nowhere/x")
            monkeypatch.setattr(os, "geteuid", lambda: 4711)
            temporary.parent.chmod(0o1777)
            temporary = temporary.with_name("swift-4711")
    assert default_socket() == temporary / "swiftd.sock"
    assert paths.socket_notes()[0].startswith("XDG_RUNTIME_DIR is not used: ")


@pytest.mark.parametrize("kind", ["a file", "a link"])
def test_what_is_planted_in_its_place_is_not_used(runtime, temporary, kind):
    (runtime / "elsewhere").mkdir()
    if kind == "a link":
        (runtime / "swift").symlink_to("elsewhere")
    else:
        (runtime / "swift").touch()
    assert default_socket() == temporary / "swiftd.sock"


@needs_root
@pytest.mark.parametrize("whose", ["the runtime folder", "the folder in it"])
def test_a_runtime_folder_of_another_user_is_not_used(runtime, logind, whose):
    (runtime / "swift").mkdir()
    os.chown(runtime if whose == "the runtime folder" else runtime / "swift", SOMEBODY, SOMEBODY)
    assert default_socket() == logind / "swift" / "swiftd.sock"
    [note] = paths.socket_notes()
    assert re.search(rf"XDG_RUNTIME_DIR is not used: {runtime}(/swift)? belongs to user {SOMEBODY}, not to 0", note)


@needs_root
def test_nor_is_a_temporary_one(runtime, temporary):
    os.chown(runtime, SOMEBODY, SOMEBODY)
    os.chown(temporary.parent, SOMEBODY, SOMEBODY)
    assert default_socket() == Path("/tmp/swift-0/swiftd.sock")
    assert paths.temporary() == Path("/tmp")
    assert len(paths.socket_notes()) == 2
    temporary.parent.chmod(0o1777)
    assert default_socket() == temporary / "swiftd.sock"
    assert paths.temporary() == temporary.parent
    temporary.mkdir()
    os.chown(temporary, SOMEBODY, SOMEBODY)
    assert default_socket() == Path("/tmp/swift-0/swiftd.sock")


@pytest.mark.parametrize("chosen", ["", "relative", "/nowhere", "/dev/null"])
def test_a_temporary_folder_that_is_none_is_not_used(monkeypatch, chosen):
    monkeypatch.setenv("TMPDIR", chosen)
    assert paths.temporary() == Path("/tmp")


# ---- the rest ---------------------------------------------------------------------------------------------------


def test_every_place_follows_the_session_s_folders(monkeypatch, tmp_path):
    for name in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    found = paths.defaults()
    assert found.config == tmp_path / "config" / "swift" / "config.toml"
    assert found.plugins == tmp_path / "config" / "swift" / "plugins"
    assert found.cache == tmp_path / "cache" / "swift"
    assert found.state == tmp_path / "state" / "swift"
    assert not list(tmp_path.iterdir())


def test_without_those_they_lie_below_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = paths.defaults()
    assert found.config == tmp_path / ".config" / "swift" / "config.toml"
    assert found.cache == tmp_path / ".cache" / "swift"


def test_relative_ones_do_not_count(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", f"relative/{name}")
    found = paths.defaults()
    assert (found.config.parent, found.state) == (tmp_path / ".config" / "swift", tmp_path / ".local/state/swift")
    assert found.cache == tmp_path / ".cache" / "swift"


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_home_they_lie_where_the_list_of_users_says_and_else_at_the_root(monkeypatch, home):
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    assert paths.home() == Path(pwd.getpwuid(os.geteuid()).pw_dir)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY_KNOWN)
    assert paths.home() == Path("/")
    assert paths.defaults().cache == Path("/.cache/swift")


def test_why_nothing_is_cached_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.cache_note() is None
    (tmp_path / ".cache").touch()
    assert paths.cache_note().endswith(f"{tmp_path}/.cache is not a folder")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY_KNOWN)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "HOME is not set, and user 54321 is not in the list of users" in paths.cache_note()


def test_the_bundled_plugins_are_found():
    assert {path.stem for path in paths.defaults().bundled.glob("*.wasm")} >= {"echo", "calc"}


# ---- private folders --------------------------------------------------------------------------------------------


def test_a_private_folder_is_made_with_its_parents(tmp_path):
    make_private(tmp_path / "a" / "b" / "c")
    assert mode(tmp_path / "a" / "b" / "c") == 0o700


def test_it_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        make_private(tmp_path / "a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o700


def test_one_that_is_there_stays(tmp_path):
    make_private(tmp_path / "a")
    (tmp_path / "a" / "file").write_text("")
    make_private(tmp_path / "a")
    assert (tmp_path / "a" / "file").exists()


def test_one_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UnsafeFolderError, match="belongs to user"):
        make_private(tmp_path / "a")


@needs_root
@pytest.mark.parametrize("there", ["", "a", "a/b"])
def test_none_is_made_or_used_in_a_folder_of_another_user(tmp_path, there):
    """The one of root's in it is what an earlier `sudo` has left."""
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    if there == "a/b":
        os.chown(tmp_path / "a", SOMEBODY, SOMEBODY)
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / ("a" if there == "a" else "a/b")
    assert f"belongs to user {SOMEBODY}" in paths.refusal(target)
    with pytest.raises(UnsafeFolderError, match=f"belongs to user {SOMEBODY}"):
        make_private(target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("owner", [0, pytest.param(SOMEBODY, marks=needs_root)])
def test_one_is_made_in_a_folder_for_all_unless_it_is_another_user_s(tmp_path, owner):
    """Who owns a sticky folder may rename what others have in it."""
    if os.geteuid() == 0:
        os.chown(tmp_path, owner, owner)
    tmp_path.chmod(0o1777)
    if owner:
        with pytest.raises(UnsafeFolderError, match=f"{tmp_path} belongs to user {owner}"):
            make_private(tmp_path / "a")
        assert not (tmp_path / "a").exists()
    else:
        make_private(tmp_path / "a")
        assert mode(tmp_path / "a") == 0o700


@pytest.mark.parametrize("there", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("open_to", [0o777, 0o775, 0o757])
def test_none_is_made_or_used_where_others_could_swap_it(tmp_path, there, open_to):
    """One that is there before and is ours is closed instead: the folder itself is not judged by what was."""
    (tmp_path / there).mkdir(parents=True)
    (tmp_path / "a").chmod(open_to)
    if os.geteuid() == 0:
        os.chown(tmp_path / "a", -1, SOMEBODY)
    elif open_to == 0o775:
        pytest.skip("a user's own group has no other member, and only root may give a folder another group")
    assert f"others can write to {tmp_path}/a (mode {open_to:04o})" in paths.refusal(tmp_path / "a" / "b" / "c")
    with pytest.raises(UnsafeFolderError, match="others can write to"):
        make_private(tmp_path / "a" / "b" / "c")
    make_private(tmp_path / "a")
    make_private(tmp_path / "a" / "b" / "c")


def test_that_none_can_be_made_now_is_not_the_same(tmp_path, monkeypatch):
    """Who waits for better times must not take it for somebody else's folder."""

    def full(*words, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "access", lambda *_: False)
    assert paths.refusal(tmp_path / "a") == f"{tmp_path} can't be written"
    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OSError, match="No space") as raised:
        make_private(tmp_path / "a")
    assert not isinstance(raised.value, UnsafeFolderError)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "a").symlink_to("target")
    with pytest.raises(UnsafeFolderError, match="is a link"):
        make_private(tmp_path / "a")
    assert mode(tmp_path / "target") == 0o755


def test_a_link_on_the_way_is_one_s_own_affair(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / ".cache").symlink_to("disk")
    make_private(tmp_path / ".cache" / "swift")
    assert mode(tmp_path / "disk" / "swift") == 0o700


@pytest.mark.parametrize("kind", ["file", "fifo", "dangling"])
def test_something_else_in_its_place_is_refused(tmp_path, kind):
    path = tmp_path / "a"
    match kind:
        case "file":
            path.write_text("")
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
    with pytest.raises((UnsafeFolderError, OSError), match=str(path)):
        make_private(path)


def test_one_that_others_can_enter_is_not_left_so(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    make_private(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


def test_a_folder_that_is_meant_for_all_is_left_alone(tmp_path):
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(UnsafeFolderError):
        make_private(shared)
    assert mode(shared) == 0o1777
