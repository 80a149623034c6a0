"""Another user who listens where ours should: he is sent nothing, started over by nothing, and not believed.

Each client, each command that connects, and each place in which a stranger could have been first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from daemons import PATIENCE
from swiftctl_answers import item, results
from users import SOMEBODY, STRANGER, Swiftctl, ids, python

from swiftctl import StrangerError, strangers
from swiftd import exposure

SCRIPTS = Path(__file__).parents[2] / "clients"

LISTENING = """
import json, os, socket, sys
path, heard, mark = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o666)
listener.listen()
item = {"key": "k", "plugin": "p", "name": "FOR YOU", "exec": f"id -un > {mark}", "keywords": []}
answer = {"id": 1, "done": True, "type": "results", "items": [item], "item": item, "errors": [], "pid": os.getpid(),
          "status": "complete", "plugins": [], "lines": [], "server": "swiftd", "version": "1"}
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        with open(heard, "ab") as log:
            log.write(data)
        connection.sendall(json.dumps(answer).encode() + b"\\n")
"""
"""What another user listens with: he writes down what he hears, and has a row run a command."""

needs_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


class Stranger:
    """Another user's listener."""

    def __init__(self, folder, path, user=STRANGER):
        self.user, self.folder, self.path = user, folder, path
        self.mark, self.heard = folder / "mark", folder / "heard"
        interpreter, _ = python(user) or ("/usr/bin/python3", "")
        self.process = subprocess.Popen(
            [interpreter, "-c", LISTENING, path, self.heard, self.mark],
            stdout=subprocess.PIPE, cwd="/", **ids(user),
        )  # fmt: skip
        assert self.process.stdout.readline() == b"listening\n"

    def assert_has_nothing(self):
        """He has heard nothing, nothing of his was run, and nobody has ended him."""
        assert self.process.poll() is None
        assert os.listdir(self.folder) == []

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def place():
    """A folder as /tmp is, with a short path, and in it the home of an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="swift-strangers-"))
    folder.chmod(0o1777)
    owned(folder / "home", SOMEBODY)
    owned(folder / "his", STRANGER)
    (folder / "marks").mkdir(mode=0o777)
    (folder / "marks").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def owned(folder, user, mode=0o700):
    folder.mkdir(mode=0o700)
    folder.chmod(mode)
    os.chown(folder, user, user)
    return folder


@pytest.fixture
def listens(place):
    """Has a user listen at a path."""
    there = []

    def listen(path, user=STRANGER):
        there.append(Stranger(place / "marks", path, user))
        return there[-1]

    yield listen
    for stranger in there:
        stranger.close()


@pytest.fixture
def swiftctl(place):
    return Swiftctl(HOME=str(place / "home"), XDG_RUNTIME_DIR=str(place / "home"))


def commands():
    """All that connects, with what else each needs."""
    rofi = {"ROFI_RETV": "2"}
    return [
        (["query", "secret"], {}), (["query", "--json", "secret"], {}), (["query", "--tsv", "secret"], {}),
        (["query", "--fzf", "secret"], {}), (["query", "--stdin"], {}), (["query", "--stdin", "--supersede"], {}),
        (["query", "--timeout", "2", "secret"], {}), (["rofi"], {"ROFI_RETV": "0"}), (["rofi", "secret"], rofi),
        (["rofi", "--live", "secret"], rofi), (["rofi", "FOR YOU"], {"ROFI_RETV": "1", "ROFI_INFO": "k"}),
        (["menu", "--query", "secret"], {"DISPLAY": ":9"}), (["run", "k"], {}), (["item", "k"], {}),
        (["logs"], {}), (["logs", "--follow"], {}), (["plugins"], {}), (["plugins", "--watch"], {}), (["stats"], {}),
        (["ping"], {}), (["doctor"], {}), (["check", "/dev/null"], {}), (["reload"], {}), (["enable", "p"], {}),
        (["disable", "p"], {}), (["stop"], {}),
    ]  # fmt: skip


@needs_users
@pytest.mark.slow
@pytest.mark.parametrize("start", [True, False])
def test_no_command_sends_a_byte_to_another_user_or_starts_anything_over_him(place, listens, swiftctl, start):
    """The folder is the user's own, and was open to all for a while."""
    folder = owned(place / "home" / "swift", SOMEBODY, 0o777)
    (place / "home").chmod(0o755)
    stranger = listens(folder / "swiftd.sock")
    tool = place / "dmenu"
    tool.write_text("#!/bin/sh\ncat >/dev/null; echo secret\n")
    tool.chmod(0o755)
    swiftctl.environment["PATH"] += f":{place}"
    statuses = {}
    for words, more in commands():
        done = swiftctl(SOMEBODY, *([] if start else ["--no-start"]), *words, **more)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        stranger.assert_has_nothing()
        assert f"user {STRANGER} listens at {stranger.path}, and you are user {SOMEBODY} (nobody)" in said, (
            words,
            said,
        )
        statuses[" ".join(words)] = done.returncode
    assert {status for words, status in statuses.items() if not words.startswith(("rofi", "doctor"))} == {3}
    assert statuses["doctor"] == 1
    assert len(statuses) >= 20
    assert os.listdir(folder) == ["swiftd.sock"]
    assert folder.stat().st_mode & 0o777 == 0o700
    stranger.path.unlink()
    if start:
        assert swiftctl(SOMEBODY, "query", "=1+2").stdout == "1+2 = 3\n"
        assert swiftctl(SOMEBODY, "stop").returncode == 0


@needs_users
@pytest.mark.parametrize(("victim", "user"), [(SOMEBODY, STRANGER), (0, SOMEBODY), (SOMEBODY, 0)])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_nor_to_root_or_as_root_where_the_socket_was_chosen(place, listens, swiftctl, victim, user, way):
    stranger = listens(place / "s", user)
    for words in (["query", "secret"], ["run", "k"], ["stop"]):
        if way == "option":
            done = swiftctl(victim, "--socket", str(stranger.path), *words)
        else:
            done = swiftctl(victim, *words, SWIFT_SOCKET=str(stranger.path))
        assert done.returncode == 3
        assert f"user {user}" in done.stderr
        assert f"listens at {stranger.path}, and you are user {victim}" in done.stderr
        stranger.assert_has_nothing()


def planted(kind, folder, aside):
    """Plant something where the folder of the socket would be; the path at which to listen, if there is one."""
    match kind:
        case "his folder, closed" | "his folder" | "his folder for all":
            owned(folder, STRANGER, {"his folder, closed": 0o700, "his folder": 0o755}.get(kind, 0o777))
            return folder / "swiftd.sock"
        case "a link to his":
            folder.symlink_to(aside)
            os.chown(folder, STRANGER, STRANGER, follow_symlinks=False)
            return aside / "swiftd.sock"
        case "a dangling link":
            folder.symlink_to(aside / "nowhere")
        case "a link to ours":
            folder.symlink_to(owned(aside.parent / "home" / "other", SOMEBODY))
        case "a file":
            folder.touch()
        case "a fifo":
            os.mkfifo(folder)
    os.chown(folder, STRANGER, STRANGER, follow_symlinks=False)
    return None


KINDS = ["his folder, closed", "his folder", "his folder for all", "a link to his", "a dangling link"]
KINDS += ["a link to ours", "a file", "a fifo"]


@needs_users
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_planted_in_tmp_is_gone_round(place, listens, kind):
    """Without a session's folder, in the name that all know; the next place serves."""
    swiftctl = Swiftctl(HOME=str(place / "home"), TMPDIR=str(place))
    aside = place / "his"
    aside.chmod(0o755)
    path = planted(kind, place / f"swift-{SOMEBODY}", aside)
    stranger = path and listens(path)
    before = Path(f"/tmp/swift-{SOMEBODY}").exists()
    if before:
        pytest.skip("there is a folder of that user in /tmp")
    try:
        done = swiftctl(SOMEBODY, "query", "=1+2")
        assert (done.returncode, done.stdout) == (0, "1+2 = 3\n")
        assert f"TMPDIR is not used: {place}/swift-{SOMEBODY}" in done.stderr
        if stranger:
            stranger.assert_has_nothing()
    finally:
        assert swiftctl(SOMEBODY, "stop").returncode == 0
        shutil.rmtree(f"/tmp/swift-{SOMEBODY}")
    assert list((place / "home").glob("other/*")) == []


# ---- the other clients ------------------------------------------------------------------------------------------


@pytest.fixture
def clients():
    """The scripts that are to be copied, with how each is called."""
    interpreter, where = python(SOMEBODY) or pytest.skip(f"user {SOMEBODY} may start no Python that has what it needs")
    shell = [str(SCRIPTS / "shell" / "swift-query")]
    calls = {"python": [interpreter, str(SCRIPTS / "python" / "query.py")], "sh": shell}
    calls |= {tool: [tool, *shell] for tool in ("bash", "zsh", "busybox") if shutil.which(tool)}
    if "busybox" in calls:
        calls["busybox"].insert(1, "sh")

    def run(client, *, user=SOMEBODY, **environment):
        return subprocess.run(
            [*calls[client], "secret"], check=False, capture_output=True, text=True, timeout=PATIENCE, cwd="/",
            env={"PATH": os.defpath, "PYTHONPATH": where} | environment, **ids(user),
        )  # fmt: skip

    return {name: functools.partial(run, name) for name in calls}


@needs_users
@pytest.mark.parametrize("where", ["in a session's folder", "in tmp by name", "in his folder", "by a link"])
def test_the_other_clients_send_another_user_nothing_either(place, listens, clients, where):
    named = {}
    match where:
        case "in a session's folder":
            (place / "home").chmod(0o755)
            path = owned(place / "home" / "swift", SOMEBODY, 0o777) / "swiftd.sock"
            named = {"XDG_RUNTIME_DIR": str(place / "home")}
        case "in tmp by name":
            path = place / "s"
        case "in his folder" | "by a link":
            (place / "his").chmod(0o755)
            path = place / "his" / "s"
    stranger = listens(path)
    if where == "by a link":
        path = place / "link"
        path.symlink_to(stranger.path)
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    named = named or {"SWIFT_SOCKET": str(path)}
    for name, client in clients.items():
        done = client(**named)
        assert (done.returncode, done.stdout) == (3, ""), (name, done)
        assert "nothing was sent" in done.stderr
        stranger.assert_has_nothing()


@needs_users
@pytest.mark.parametrize("mode", [0o755, 0o1777, 0o1770, 0o775, 0o777, 0o773])
@pytest.mark.parametrize("owner", [SOMEBODY, STRANGER, 0])
def test_the_shell_client_looks_at_the_folder_and_the_socket(place, clients, mode, owner):
    """It can't ask who listens. Here it is root, with a socket file that is the user's own."""
    folder = place / "folder"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        os.chown(folder / "s", SOMEBODY, SOMEBODY)
        os.chown(folder, owner, SOMEBODY if mode & 0o070 == 0o070 else 0)
        folder.chmod(mode)
        is_good = owner != STRANGER and (mode in (0o755, 0o1777, 0o1770))
        for name in set(clients) - {"python"}:
            listener.settimeout(0 if not is_good else PATIENCE)
            asked = functools.partial(clients[name], SWIFT_SOCKET=str(folder / "s"))
            if is_good:
                with accepting(listener):
                    assert asked().returncode == 0, name
            else:
                done = asked()
                assert (done.returncode, done.stdout) == (3, ""), name
                assert f"{folder}/s: others may write to its folder" in done.stderr
                with pytest.raises(BlockingIOError):
                    listener.accept()


@contextlib.contextmanager
def accepting(listener):
    """Answers one connection meanwhile."""

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(results(item("a")))

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()


# ---- who can't be told ------------------------------------------------------------------------------------------


def test_who_can_t_be_told_from_others_is_nobody_to_trust(monkeypatch):
    """In a user namespace that knows nobody, all have one number: our own, too."""
    monkeypatch.setattr(os, "geteuid", lambda: exposure.UNKNOWN)
    strangers.check("/s", exposure.UNKNOWN)
    monkeypatch.setattr(exposure, "knows_all_users", lambda: False)
    with pytest.raises(StrangerError, match="a user whom this user namespace does not know"):
        strangers.check("/s", exposure.UNKNOWN)


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
@pytest.mark.parametrize("mapped", [True, False])
def test_a_client_in_a_container_trusts_its_own_user_outside_if_it_is_mapped(daemon, mapped):
    daemon.says(results(item("a")))
    words = ["unshare", "--user", *(["--map-root-user"] if mapped else [])]
    program = "import sys; from swiftctl.__main__ import main; sys.exit(main())"
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace can be made here")
    done = subprocess.run(
        [*words, sys.executable, "-c", program, "--socket", daemon.path, "query", ">a"],
        check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    if mapped:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 3, done
        assert daemon.requests == []
