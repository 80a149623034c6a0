"""Where things live, by the environment, and what a private folder is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swiftd import paths
from swiftd.paths import UnsafeFolderError, default_socket, make_private


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("SWIFT_SOCKET", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- the socket -------------------------------------------------------------------------------------------------


def test_the_socket_lies_in_the_session_s_runtime_folder(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4711")
    assert default_socket() == Path("/run/user/4711/swift/swiftd.sock")


def test_swift_socket_is_stronger(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4711")
    monkeypatch.setenv("SWIFT_SOCKET", "/elsewhere/s")
    assert default_socket() == Path("/elsewhere/s")


def test_a_relative_swift_socket_is_taken_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWIFT_SOCKET", "x.sock")
    assert default_socket() == tmp_path / "x.sock"


def test_an_empty_swift_socket_counts_as_none(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4711")
    monkeypatch.setenv("SWIFT_SOCKET", "")
    assert default_socket() == Path("/run/user/4711/swift/swiftd.sock")


@pytest.mark.parametrize("runtime", [None, "", "relative/folder"])
def test_without_a_runtime_folder_it_is_logind_s_if_there(monkeypatch, runtime):
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) == "/run/user/4711")
    assert default_socket() == Path("/run/user/4711/swift/swiftd.sock")


@pytest.mark.parametrize(("temporary", "expected"), [(None, "/tmp"), ("", "/tmp"), ("/var/tmp", "/var/tmp")])
def test_without_either_it_is_a_folder_named_by_the_user_in_the_temporary_one(monkeypatch, temporary, expected):
    if temporary is not None:
        monkeypatch.setenv("TMPDIR", temporary)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert default_socket() == Path(expected, "swift-4711", "swiftd.sock")


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


def test_the_bundled_plugins_are_found():
    assert {path.stem for path in paths.defaults().bundled.glob("*.wasm")} >= {"echo", "calc"}


def test_the_socket_s_place_is_known_without_platformdirs():
    code = "import sys; from swiftd import paths; paths.default_socket(); sys.exit('platformdirs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UnsafeFolderError, match="belongs to user"):
        make_private(tmp_path / "a")


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
