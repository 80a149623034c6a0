"""What is found in the plugin folders: everything that could be there, and what is said of what can't be used."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swiftd import folders
from swiftd.folders import LARGEST_FILE, YOUNG, Folders, look

CONTENT = b"(component)"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "bundled").mkdir()
    return tmp_path


@pytest.fixture
def own(place):
    return place / "own"


@pytest.fixture
def scanner(place):
    return Folders([(place / "own", False), (place / "bundled", True)])


def put(folder, name, content=CONTENT):
    path = folder / name
    path.write_bytes(content)
    return path


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_is_known_by_its_content(scanner, own):
    path = put(own, "one.wasm")
    (found,) = scanner.scan().items()
    assert found == ("one", folders.Found(path, False, len(CONTENT), DIGEST))


@pytest.mark.parametrize("name", ["one.wat", "one", "one.wasm~", ".one.wasm", ".wasm", "one.wasm.part", ".one.WASM"])
def test_only_what_ends_in_wasm_and_is_not_hidden_is_a_plugin(scanner, own, name):
    put(own, name)
    assert scanner.scan() == {}


@pytest.mark.parametrize("name", ["one.WASM", "one.Wasm", "two words.wAsm"])
def test_an_ending_in_capitals_is_refused_with_what_to_do_and_hides_nothing(scanner, own, place, name):
    put(own, name)
    put(place / "bundled", "one.wasm")
    found = scanner.scan()
    assert found["one"].problem is None
    assert found[name].problem == f"expected a name that ends in .wasm: rename it to {name[:-5]}.wasm"
    assert found[name].source == ""


ODD_BUT_HARMLESS = ["a\u200cb", "a\u00a0b", "か\u3000な", "\uf002", "\U0001f468\u200d\U0001f4bb", "a\u00adb"]


@pytest.mark.parametrize("name", ["two words", "ünö", "a.b.c", "$(x)", "-f", "x" * 250, *ODD_BUT_HARMLESS])
def test_names_are_taken_as_they_are(scanner, own, name):
    put(own, f"{name}.wasm")
    assert scanner.scan()[name].problem is None


@pytest.mark.parametrize("name", [b"a\nb", b"\xff\xfe", b"a\x1b[31mb", b"\xed\xb2\x80", b"a\x7f", "a\u202eb".encode()])
def test_a_name_that_can_not_be_shown_is_refused_under_one_that_can(scanner, own, name):
    Path(os.fsdecode(os.fsencode(own) + b"/" + name + b".wasm")).write_bytes(CONTENT)
    put(own, "good.wasm")
    found = scanner.scan()
    assert found.pop("good").problem is None
    ((shown, odd),) = found.items()
    assert shown.isprintable()
    shown.encode()
    assert "rename the file" in odd.problem
    assert odd.source == ""


def test_two_odd_names_that_look_the_same_are_one(scanner, own):
    put(own, "a\nb.wasm")
    put(own, "a\tb.wasm")
    assert len(scanner.scan()) == 1


# ---- what is no file, or not to be read -------------------------------------------------------------------------


def test_folders_fifos_sockets_devices_and_dangling_links_are_refused(scanner, own):
    (own / "folder.wasm").mkdir()
    os.mkfifo(own / "fifo.wasm")
    here = Path.cwd()
    os.chdir(own)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.wasm")
    finally:
        os.chdir(here)
    (own / "device.wasm").symlink_to("/dev/zero")
    (own / "dangling.wasm").symlink_to("nowhere")
    (own / "loop.wasm").symlink_to("loop.wasm")
    (own / "round.wasm").symlink_to("about.wasm")
    (own / "about.wasm").symlink_to("round.wasm")
    (own / "empty.wasm").write_bytes(b"")
    before = descriptors()
    problems = {name: found.problem for name, found in scanner.scan().items()}
    assert problems == {
        "folder": "expected a file, found a folder",
        "fifo": "expected a file, found a FIFO",
        "socket": "expected a file, found a socket",
        "device": "expected a file, found a device",
        "dangling": "the file can't be read: no such file or directory",
        "loop": "the file can't be read: too many levels of symbolic links",
        "round": "the file can't be read: too many levels of symbolic links",
        "about": "the file can't be read: too many levels of symbolic links",
        "empty": "expected a WebAssembly component, found an empty file",
    }
    for _ in range(20):
        scanner.scan()
    assert descriptors() == before


def test_a_file_that_is_too_large_is_refused_unread(scanner, own):
    with (own / "large.wasm").open("wb") as file:
        file.truncate(200 * 1024**2)
    with (own / "largest.wasm").open("wb") as file:
        file.truncate(LARGEST_FILE)
    started = time.process_time()
    assert look(own / "large.wasm").problem == "200 MiB is too large: at most 100 MiB"
    assert time.process_time() - started < 0.05
    assert scanner.scan()["largest"].problem is None


def test_one_file_that_may_not_be_read_is_refused_and_the_others_are_found(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from swiftd.folders import Folders\n"
        "os.chdir('/'); folder = Path(sys.argv[1])\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"  # who may read everything
        "print({name: found.problem for name, found in Folders([(folder, False)]).scan().items()})\n"
        "folder.chmod(0o300)\n"
        "scanner = Folders([(folder, False)])\n"
        "print(scanner.scan(), scanner.scan())"
    )
    folder = Path("/tmp", f"swiftd-test-folder-{os.getpid()}")  # pytest's own are private
    folder.mkdir(mode=0o755)
    try:
        put(folder, "secret.wasm").chmod(0)
        put(folder, "open.wasm").chmod(0o644)
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        # What it imports may lie where only root can look: it is imported before it becomes somebody else.
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    finally:
        folder.chmod(0o700)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str({"open": None, "secret": "the file can't be read: permission denied"}),
        "{} {}",
    ]
    assert done.stderr.count("the plugin folder can't be read") == 1


@pytest.mark.parametrize("kind", ["missing", "a file", "a loop"])
def test_a_folder_that_is_none_has_no_plugins_and_that_is_said_once(place, caplog, kind):
    folder = place / "odd"
    match kind:
        case "a file":
            folder.write_text("")
        case "a loop":
            folder.symlink_to(folder)
    put(place / "bundled", "one.wasm")
    scanner = Folders([(folder, False), (place / "bundled", True)])
    for _ in range(3):
        assert list(scanner.scan()) == ["one"]
    assert len(caplog.records) == (0 if kind == "missing" else 1)


@pytest.mark.parametrize("kind", ["not to be read", "a loop", "a file", "in a file", "failing"])
def test_what_was_found_in_a_folder_that_can_not_be_read_any_more_still_counts(place, own, caplog, monkeypatch, kind):
    put(own, "one.wasm")
    put(own, "same.wasm", b"mine")
    (own / "two.wasm").write_bytes(b"")
    for name in ("other", "same"):
        put(place / "bundled", f"{name}.wasm")
    scanner = Folders([(place / "own", False), (place / "bundled", True)])
    before = scanner.scan()
    assert scanner.problems == []
    away = own.rename(place / "away")
    listdir = os.listdir
    match kind:
        case "a loop":
            own.symlink_to(own)
        case "a file":
            own.write_text("")
        case _:
            own.mkdir()
            code = {"not to be read": errno.EACCES, "in a file": errno.ENOTDIR, "failing": errno.EIO}[kind]

            def fail(path):
                if path == own:
                    raise OSError(code, os.strerror(code), str(path))
                return listdir(path)

            monkeypatch.setattr(os, "listdir", fail)  # root may read everything
    for _ in range(3):
        assert scanner.scan() == before
        (problem,) = scanner.problems
    assert problem.startswith(f"the plugin folder can't be read: {own}: ")
    assert len(caplog.records) == 1
    put(place / "bundled", "new.wasm")
    (place / "bundled" / "other.wasm").unlink()
    assert set(scanner.scan()) == {"one", "two", "same", "new"}
    monkeypatch.setattr(os, "listdir", listdir)
    own.rmdir() if own.is_dir() else own.unlink()
    away.rename(own)
    assert scanner.have_changed()
    (own / "one.wasm").unlink()
    assert set(scanner.scan()) == {"two", "same", "new"}
    assert scanner.problems == []


def test_a_folder_that_is_gone_has_no_plugins_any_more(scanner, own):
    path = put(own, "one.wasm")
    assert list(scanner.scan()) == ["one"]
    path.unlink()
    own.rmdir()
    assert scanner.scan() == {}
    assert scanner.problems == []


# ---- links ------------------------------------------------------------------------------------------------------


def test_links_are_followed(scanner, own, place):
    put(place, "built.bin")
    (own / "linked.wasm").symlink_to("../built.bin")
    found = scanner.scan()["linked"]
    assert (found.path, found.source) == (own / "linked.wasm", DIGEST)


def test_a_folder_that_is_a_link_is_followed_wherever_it_leads_now(place):
    for name in ("first", "second"):
        (place / name).mkdir()
        put(place / name, f"{name}.wasm")
    (place / "link").symlink_to("first")
    scanner = Folders([(place / "link", False)])
    assert list(scanner.scan()) == ["first"]
    (place / "link").unlink()
    assert scanner.scan() == {}
    (place / "link").symlink_to("second")
    assert list(scanner.scan()) == ["second"]


# ---- two folders ------------------------------------------------------------------------------------------------


def test_a_file_of_one_s_own_hides_the_bundled_one_of_its_name(scanner, own, place):
    put(place / "bundled", "same.wasm", b"bundled")
    put(place / "bundled", "other.wasm")
    mine = put(own, "same.wasm")
    found = scanner.scan()
    assert (found["same"].path, found["same"].bundled, found["same"].source) == (mine, False, DIGEST)
    assert found["other"].bundled
    mine.unlink()
    assert scanner.scan()["same"].path == place / "bundled" / "same.wasm"


def test_the_same_folder_twice_is_the_user_s(own):
    put(own, "one.wasm")
    assert not Folders([(own, False), (own, True)]).scan()["one"].bundled


# ---- what is looked at again ------------------------------------------------------------------------------------


@pytest.fixture
def hashed(monkeypatch):
    """The contents that were hashed."""
    seen = []
    digest = folders._digest

    def note(file):
        seen.append(digest(file))
        return seen[-1]

    monkeypatch.setattr(folders, "_digest", note)
    return seen


def age(monkeypatch, seconds=YOUNG + 1):
    """Let time pass."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_an_old_file_is_hashed_once(scanner, own, hashed, monkeypatch):
    put(own, "one.wasm")
    age(monkeypatch)
    for _ in range(3):
        scanner.scan()
    assert hashed == [DIGEST]


def test_a_young_file_is_hashed_at_every_look(scanner, own, hashed):
    path = put(own, "one.wasm")
    scanner.scan()
    status = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scanner.scan()["one"].source == hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert len(hashed) == 2


@pytest.mark.parametrize(
    "when",
    [0, 1, 2**31 - 1, 2**32, pytest.param(time.time() + 10 * 365 * 24 * 3600, id="in ten years")],
)
def test_a_file_from_another_time_is_found_changed_all_the_same(scanner, own, monkeypatch, when):
    path = put(own, "one.wasm")
    os.utime(path, (when, when))
    age(monkeypatch)
    assert scanner.scan()["one"].source == DIGEST
    path.write_bytes(CONTENT[::-1])
    os.utime(path, (when, when))
    assert scanner.scan()["one"].source == hashlib.sha256(CONTENT[::-1]).hexdigest()


@pytest.mark.parametrize("jump", [-(10**9), -3600, 3600, 10**9])
def test_a_clock_that_jumps_is_no_obstacle(scanner, own, monkeypatch, jump):
    path = put(own, "one.wasm")
    age(monkeypatch, jump)
    assert scanner.scan()["one"].source == DIGEST
    path.write_bytes(CONTENT[::-1])
    age(monkeypatch, -2 * jump)
    assert scanner.scan()["one"].source == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_what_changes_while_it_is_looked_at_is_looked_at_again(scanner, own, monkeypatch):
    """A swap of two names in the middle of a scan: it finds both before, or both after."""
    one, two = put(own, "one.wasm", b"1"), put(own, "two.wasm", b"2")
    looked = folders._look
    swapped = []

    def look_and_swap(path, *arguments):
        result = looked(path, *arguments)
        if path == one and not swapped:
            swapped.append(True)
            one.rename(own / "aside")
            two.rename(one)
            (own / "aside").rename(two)
        return result

    monkeypatch.setattr(folders, "_look", look_and_swap)
    found = scanner.scan()
    assert [found[name].source for name in ("one", "two")] == [hashlib.sha256(c).hexdigest() for c in (b"2", b"1")]


def test_what_never_stops_changing_does_not_hold_up_a_scan_for_ever(scanner, own, monkeypatch):
    path = put(own, "one.wasm")
    looked = folders._look

    def look_and_change(*arguments):
        with path.open("ab") as file:
            file.write(b"x")
        return looked(*arguments)

    monkeypatch.setattr(folders, "_look", look_and_change)
    assert list(scanner.scan()) == ["one"]


# ---- a glance ---------------------------------------------------------------------------------------------------


def test_a_glance_sees_files_that_come_go_and_change_names(scanner, own):
    assert scanner.have_changed()
    scanner.scan()
    assert not scanner.have_changed()
    for change in (
        lambda: put(own, "one.wasm"),
        lambda: (own / "one.wasm").rename(own / "two.wasm"),
        (own / "two.wasm").unlink,
        own.rmdir,
        own.mkdir,
    ):
        change()
        assert scanner.have_changed()
        scanner.scan()
        assert not scanner.have_changed()


def test_a_glance_sees_that_a_copy_went_on_after_the_last_scan(scanner, own):
    path = put(own, "one.wasm", b"")
    scanner.scan()
    with path.open("ab") as file:
        file.write(CONTENT)
    assert scanner.have_changed()
    scanner.scan()
    assert not scanner.have_changed()
