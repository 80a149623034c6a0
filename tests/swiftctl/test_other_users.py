"""One user's program with another's surroundings, as `sudo -E` and `su` leave them; and users whom nobody knows."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from users import SOMEBODY, STRANGER, Swiftctl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users"),
]


@pytest.fixture
def place():
    """A folder that all may pass through, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="swift-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def session(place):
    """The surroundings of an ordinary user, everything named and nothing made but home and the runtime folder."""
    home = place / "home"
    for folder in (home, home / "run", home / "tmp"):
        folder.mkdir(mode=0o700)
        os.chown(folder, SOMEBODY, SOMEBODY)
    names = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "TMPDIR": home / "tmp"}
    return Swiftctl(**{name: str(path) for name, path in names.items()})


@pytest.fixture
def as_root(session, tmp_path, monkeypatch):
    """Root's calls; root's daemon, which is not found by what the user's environment says, ends with the test."""
    left = set(Path("/tmp").glob("swift-0")) | set(Path("/run/user").glob("0/swift"))
    if left:
        pytest.skip(f"root has a daemon of his own here: {left}")
    yield functools.partial(session, 0)
    session(0, "--no-start", "stop")
    for folder in set(Path("/tmp").glob("swift-0")) | set(Path("/run/user").glob("0/swift")):
        shutil.rmtree(folder)


def owners(folder):
    return {path.lstat().st_uid for path in folder.rglob("*")}


def calls():
    """What makes or keeps something, one way or another."""
    return [["query", "=1+1"], ["query", "--json", "=1+1"], ["disable", "echo"], ["enable", "echo"], ["plugins"],
            ["reload"], ["doctor"], ["service", "install"], ["service", "uninstall"], ["logs"], ["stop"]]  # fmt: skip


@pytest.mark.parametrize("named", ["by default", "by name"])
def test_root_in_a_user_s_surroundings_leaves_nothing_in_them_and_the_user_goes_on(session, as_root, place, named):
    if named == "by name":
        folders = {f"XDG_{kind}_HOME": str(place / "home" / kind) for kind in ("CACHE", "STATE", "CONFIG")}
        session.environment |= folders
    first = as_root("query", "=1+1")
    assert (first.returncode, first.stdout) == (0, "1+1 = 2\n")
    assert f"XDG_RUNTIME_DIR is not used: {place}/home/run belongs to user {SOMEBODY}, not to 0" in first.stderr
    assert f"each start compiles every plugin anew: {place}/home belongs to user {SOMEBODY}" in first.stderr
    for words in calls():
        done = as_root(*words)
        assert "Traceback" not in done.stderr
    assert owners(place / "home") == {SOMEBODY}

    users = session(SOMEBODY, "query", "=1+2")
    assert (users.returncode, users.stdout, users.stderr) == (0, "1+2 = 3\n", "")
    again = as_root("query", "=1+3")  # while the user's own daemon runs
    assert (again.returncode, again.stdout) == (0, "1+3 = 4\n")
    assert session(SOMEBODY, "stop").returncode == 0
    assert owners(place / "home") == {SOMEBODY}
    assert (place / "home" / "run" / "swift" / "swiftd.sock.lock").exists()


def test_a_user_whose_folders_hold_root_s_leavings_goes_on_and_is_told(session, place):
    """What an earlier version, or another program under sudo, has left."""
    left = [place / "home" / "run" / "swift", place / "home" / ".cache" / "swift", place / "home" / ".local" / "state"]
    for folder in left:
        folder.mkdir(parents=True, mode=0o700)
    done = session(SOMEBODY, "query", "=1+2")
    try:
        assert (done.returncode, done.stdout) == (0, "1+2 = 3\n")
        assert f"XDG_RUNTIME_DIR is not used: {left[0]} belongs to user 0, not to {SOMEBODY}" in done.stderr
        assert f"{place}/home/.cache/swift belongs to user 0" in done.stderr
        assert session(SOMEBODY, "query", "=1+2").stderr == ""
    finally:
        assert session(SOMEBODY, "stop").returncode == 0
    assert [list(folder.iterdir()) for folder in left] == [[], [], []]


def test_a_user_in_another_user_s_surroundings_goes_on(session, place):
    """As after `su` without a dash: of nothing that is named there, anything is his."""
    (place / "home").chmod(0o777)
    (place / "home" / "run").chmod(0o777)
    before = sorted(place.rglob("*"))
    temporary = place / "all"
    temporary.mkdir()
    temporary.chmod(0o1777)
    session.environment["TMPDIR"] = str(temporary)
    done = session(STRANGER, "query", "=1+2")
    try:
        assert (done.returncode, done.stdout) == (0, "1+2 = 3\n")
        assert (temporary / f"swift-{STRANGER}" / "swiftd.log").exists()
    finally:
        assert session(STRANGER, "stop").returncode == 0
    assert owners(place / "home") == {SOMEBODY}
    assert [path for path in sorted(place.rglob("*")) if temporary not in (path, *path.parents)] == before


@pytest.fixture
def stranger(place):
    """Calls of a user with nothing: no home, no name, no runtime folder; only a temporary folder of his own."""
    os.chown(place, STRANGER, STRANGER)
    place.chmod(0o700)
    swiftctl = functools.partial(Swiftctl(TMPDIR=str(place)), STRANGER)
    yield swiftctl
    swiftctl("--no-start", "stop")


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/"}, {"HOME": "relative"}, {"HOME": "/nonexistent"}])
def test_a_user_without_a_home_is_served_and_told_what_is_missing(stranger, place, home):
    done = stranger("query", "=1+2", **home)
    assert (done.returncode, done.stdout) == (0, "1+2 = 3\n")
    assert "no cache" in done.stderr
    if home.get("HOME", "") in ("", "relative"):
        assert f"HOME is not set, and user {STRANGER} is not in the list of users" in done.stderr
    assert (place / f"swift-{STRANGER}" / "swiftd.log").stat().st_uid == STRANGER


def test_every_command_of_such_a_user_works_or_says_what_is_missing(stranger):
    said = {}
    for words in [
        *calls()[:-1], ["ping"], ["stats"], ["service", "status"], ["fzf"], ["menu"], ["rofi"], ["copy", "x"],
        ["open", "/etc/passwd"], ["check", "/dev/null"], ["completion", "bash"], ["run", "nokey"], ["item", "nokey"],
        ["--help"], ["--version"], ["--socket", "~/x", "--no-start", "ping"], ["stop"],
    ]:  # fmt: skip
        said[" ".join(words)] = done = stranger(*words)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1) or done.stderr or done.stdout, words
        assert done.returncode in range(6), words
    assert said["query =1+1"].stdout == "1+1 = 2\n"
    assert "can't be remembered" in said["disable echo"].stderr
    assert "HOME is not set" in said["doctor"].stdout
