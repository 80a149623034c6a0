"""What of the grants in config.toml is given, what is not, and that a granted folder stays the one that was granted."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemons import GUESTS, eventually

from swiftd.config import GrantSettings
from swiftd.grants import expand, lacking


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("documents", ".config/swift/plugins", ".cache/swift"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def given(home, **settings):
    """What is read and written, and the problems."""
    own = [home / ".config" / "swift", home / ".cache" / "swift"]
    grants, problems = expand(GrantSettings(**settings), own)
    return [guest for guest, _ in grants.read], [guest for guest, _ in grants.write], problems


def test_nothing_is_given_by_default(home):
    assert given(home) == ([], [], [])


def test_paths_are_expanded(home, monkeypatch):
    monkeypatch.setenv("XDG_DOCUMENTS_DIR", str(home / "documents"))
    read, write, problems = given(home, read=["~/documents"], write=["$XDG_DOCUMENTS_DIR"])
    assert (read, write) == ([], [str(home / "documents")])
    assert "part of what is granted for writing" in problems[0]
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert given(home, read=["$XDG_CONFIG_HOME"])[0] == [str(home / ".config")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("documents", "from the root"),
        ("$XDG_NO_SUCH_DIR/x", "is not set"),
        ("/" + "x" * 300, "not given"),
        ("~/.config/swift", "hand over"),
        ("~/.config/swift/plugins", "hand over"),
        ("~/.cache/swift", "hand over"),
        ("~/link", "hand over"),
    ],
)
def test_what_cannot_be_given_is_reported_and_the_rest_is_given(home, text, reason):
    (home / "file").write_text("")
    (home / "link").symlink_to(".config/swift")
    read, _, problems = given(home, read=[text, "~/documents"])
    assert read == [str(home / "documents")]
    assert len(problems) == 1
    assert "grants.read" in problems[0]
    assert reason in problems[0]


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere", "there is no"), ("file", "not a folder"), ("file/x", "not a directory")]
)
def test_a_folder_that_is_not_there_is_given_and_reported_until_it_is(home, name, reason):
    (home / "file").write_text("")
    folder = home / name
    grants, problems = expand(GrantSettings(read=[f"~/{name}"]), [])
    assert (grants.read, problems) == (((str(folder), str(folder)),), [])
    (problem,) = lacking(grants)
    assert problem.startswith("grants.read: ")
    assert str(folder) in problem
    assert reason in problem
    (home / "file").unlink()
    folder.mkdir(parents=True)
    assert lacking(grants) == []
    folder.rmdir()
    folder.symlink_to(home)
    assert lacking(grants) == [f"grants.read: {folder} leads elsewhere than when it was granted"]


def test_what_is_not_there_can_t_be_swiftd_s_own_either(home):
    own = home / "later" / "swift"
    assert expand(GrantSettings(write=["~/later"], read=["~/later/swift"]), [own])[0].write == ()
    assert expand(GrantSettings(read=["~/later/swift/plugins"]), [own])[0].read == ()


def test_writing_is_not_given_to_what_holds_swiftd_s_own_folders_but_reading_is_with_a_warning(home):
    read, write, problems = given(home, read=["~"], write=["~/.config"])
    assert (read, write) == ([str(home)], [])
    assert sum("hand over" in problem for problem in problems) == 1
    assert sum("includes swiftd's own" in problem for problem in problems) == 2


def test_a_granted_folder_that_becomes_a_link_is_not_what_was_granted(idle_daemon):
    """A plugin that may write beside it could have made that link."""
    box, secret = idle_daemon.home / "box", idle_daemon.home / "secret"
    for folder, text in ((box, "text"), (secret, "secret")):
        folder.mkdir()
        (folder / "file").write_text(text)
    idle_daemon.install(GUESTS / "files-read.wat")
    idle_daemon.config.write_text(f'[plugins.files-read]\ngrants = {{ read = ["{box}"] }}\n')
    client = idle_daemon.start().client()
    assert client.settled("files-read")["state"] == "ready"
    assert client.names("files-read:") == ["text"]
    box.rename(idle_daemon.home / "old")
    Path(box).symlink_to(secret)
    assert client.names("files-read:") == ["none"]
    warnings = [line["text"] for line in client.ask("logs", plugin="files-read")["lines"]]
    assert any("not what it was" in warning for warning in warnings)
    client.ask("reload")
    eventually(lambda: client.names("files-read:") == ["none"])
