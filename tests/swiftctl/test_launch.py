"""Starting the daemon, with a small program in its place; test_end_to_end.py starts the real one."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
import time

import pytest
from swiftctl_answers import item, results

from swiftctl import launch
from swiftctl.__main__ import main

SERVING = f"""
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
path = os.environ["XDG_RUNTIME_DIR"] + "/swift/swiftd.sock"
os.makedirs(os.path.dirname(path), exist_ok=True)
listener.bind(path)
time.sleep(0.1)
listener.listen()
print("serving", os.getcwd(), os.getsid(0) == os.getpid(), sys.argv[1:], flush=True)
name = os.environ["NOTIFY_SOCKET"].replace("@", "\\0")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"STATUS=nearly", name)
notify.sendto(b"STATUS=here\\nREADY=1\\n", name)
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall({results(item("started"))!r})
time.sleep(0.2)
"""

FAILING = """
import sys
sys.stderr.write("first\\n" * 50 + "config.toml: \\x1b[31mline 3\\n")
sys.exit(1)
"""


@pytest.fixture
def swiftd(session, monkeypatch):
    """Puts a program in the place of swiftd."""
    script = session / "swiftd"

    def install(program):
        script.write_text(f"#!{sys.executable}\n{program}")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "argv", [str(session / "swiftctl")])
        return script

    return install


def log(session):
    return (session / "state" / "swift" / "swiftd.log").read_text()


def test_the_daemon_is_started_and_asked(swiftd, session, capsys, monkeypatch):
    monkeypatch.setenv("LISTEN_FDS", "1")
    swiftd(SERVING)
    assert main(["query", ">a"]) == 0
    assert capsys.readouterr() == ("started\n", "")
    assert log(session) == "serving / True []\n"
    assert stat.S_IMODE((session / "state" / "swift" / "swiftd.log").stat().st_mode) == 0o600


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_chosen_socket_is_passed_on_whole(swiftd, session, capsys, monkeypatch, way):
    monkeypatch.chdir(session)
    chosen = "swift/swiftd.sock"
    swiftd(SERVING)
    if way == "variable":
        monkeypatch.setenv("SWIFT_SOCKET", chosen)
    assert main([*(["--socket", chosen] if way == "option" else []), "query", ">a"]) == 0
    assert log(session) == f"serving / True ['--socket', '{session}/{chosen}']\n"


def test_a_daemon_that_fails_is_told_with_the_end_of_its_log(swiftd, session, capsys):
    (session / "state" / "swift").mkdir(parents=True)
    (session / "state" / "swift" / "swiftd.log").write_text("of an earlier start\n")
    swiftd(FAILING)
    assert main(["query", ">a"]) == 3
    err = capsys.readouterr().err
    assert f"ended with status 1. The end of its log, {session}/state/swift/swiftd.log:\n" in err
    assert err.endswith("  config.toml: \ufffd[31mline 3\n")
    assert err.count("first") == launch.LAST_LINES - 1
    assert "earlier" not in err


def test_of_two_starts_at_once_the_slower_one_joins_the_faster(swiftd, session, capsys):
    swiftd("import sys; sys.exit(3)")
    (session / "swift").mkdir()

    def other():
        with socket.socket(socket.AF_UNIX) as listener:
            time.sleep(0.3)
            listener.bind(str(session / "swift" / "swiftd.sock"))
            listener.listen()
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(results(item("other")))

    thread = threading.Thread(target=other)
    thread.start()
    status = main(["query", ">a"])
    thread.join()
    assert (status, capsys.readouterr()) == (0, ("other\n", ""))


def test_a_daemon_that_is_never_ready_is_not_waited_for_longer_than_asked(swiftd, session, capsys):
    swiftd(f"import os, time; open({str(session / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    assert main(["query", ">a", "--timeout", "0.5"]) == 3
    assert "not ready yet" in capsys.readouterr().err
    os.kill(int((session / "pid").read_text()), signal.SIGKILL)


def test_a_swiftd_that_cannot_be_run_is_told(swiftd, capsys):
    script = swiftd("")
    script.write_text("#!/nonexistent\n")
    assert main(["query", ">a"]) == 3
    assert "cannot start" in capsys.readouterr().err


def test_where_no_state_can_be_kept_the_log_lies_beside_the_socket(swiftd, session, monkeypatch):
    (session / "state").touch()
    swiftd(FAILING)
    assert main(["query", ">a"]) == 3
    assert "line 3" in (session / "swift" / "swiftd.log").read_text()


def test_where_no_log_can_be_kept_it_says_so(swiftd, session, capsys, monkeypatch):
    (session / "state").touch()
    (session / "swift").touch()
    swiftd(FAILING)
    assert main(["--socket", str(session / "swift" / "x"), "query", ">a"]) == 3
    (session / "swift").unlink()
    (session / "swift" / "swiftd.log").mkdir(parents=True)
    assert main(["query", ">a"]) == 3
    assert "No log could be kept" in capsys.readouterr().err


def test_a_long_log_makes_room(swiftd, session, monkeypatch):
    monkeypatch.setattr(launch, "LOG_MAX", 10)
    swiftd(FAILING)
    main(["query", ">a"])
    main(["query", ">a"])
    assert log(session).count("line 3") == 1
    assert (session / "state" / "swift" / "swiftd.log.1").exists()


def test_a_link_in_the_place_of_the_log_is_not_followed(swiftd, session):
    folder = session / "state" / "swift"
    folder.mkdir(parents=True)
    (session / "precious").write_text("as it was")
    (folder / "swiftd.log").symlink_to(session / "precious")
    swiftd(FAILING)
    main(["query", ">a"])
    assert (session / "precious").read_text() == "as it was"


def test_swiftd_is_found_beside_the_script_its_target_or_the_interpreter(session, monkeypatch):
    (session / "bin").mkdir()
    (session / "real").mkdir()
    (session / "real" / "swiftctl").touch()
    (session / "bin" / "swiftctl").symlink_to(session / "real" / "swiftctl")
    monkeypatch.setattr(sys, "executable", str(session / "python"))
    monkeypatch.setattr(sys, "argv", [str(session / "bin" / "swiftctl")])
    assert launch.find() == [str(session / "python"), "-m", "swiftd"]
    for folder in ("real", "bin"):
        (session / folder / "swiftd").touch(mode=0o755)
        assert launch.find() == [str(session / folder / "swiftd")]
