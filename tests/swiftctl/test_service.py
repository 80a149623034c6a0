"""`swiftctl service`, and the start through systemd: without a user manager, and with a stand-in for systemctl.

The stand-in records what it is told and does as much of it as a test has written down. That a real user manager takes
the units, and starts swiftd by them, is shown in tests/test_systemd_units.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys

import pytest
from swiftctl_answers import item, results

from swiftctl import service
from swiftctl.__main__ import main

STAND_IN = """#!/bin/sh
# A stand-in for systemctl: it records its command line, and fails or does something where a test says so.
printf '%s\\n' "$*" >> {folder}/told
[ "$1" = --user ] || exit 2
case "$*" in
{cases}
esac
exit 0
"""

LISTENING = f"""
import socket, sys, os
path = os.environ["XDG_RUNTIME_DIR"] + "/swift/swiftd.sock"
os.makedirs(os.path.dirname(path), exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if os.fork():
    sys.exit()
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall({results(item("through systemd"))!r})
"""

DIRECT = f"""
import os, socket
path = os.environ["XDG_RUNTIME_DIR"] + "/swift/swiftd.sock"
os.makedirs(os.path.dirname(path), exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall({results(item("started directly"))!r})
"""

BEGUN = ["daemon-reload", "enable --now swiftd.socket", "start swiftd.service"]
HALTED = ["stop swiftd.socket swiftd.service", "reset-failed swiftd.socket swiftd.service"]
REMOVED = ["disable --now swiftd.socket swiftd.service", "reset-failed swiftd.socket swiftd.service", "daemon-reload"]


@pytest.fixture
def home(session, monkeypatch):
    """A session with a swiftd of its own and nothing else in PATH; no user manager."""
    (session / "bin").mkdir()
    script = session / "bin" / "swiftd"
    script.write_text(f"#!{sys.executable}\n{DIRECT}")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(session / "bin" / "swiftctl")])
    monkeypatch.setenv("PATH", str(session / "bin"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return session


@pytest.fixture
def manager(home):
    """What looks like a user manager, with the stand-in for systemctl. Takes what it does at which words, as shell."""

    def answers(cases):
        lines = [f"    *{shlex.quote(words)}*) {what};;" for words, what in cases.items()]
        script = home / "bin" / "systemctl"
        script.write_text(STAND_IN.format(folder=shlex.quote(str(home)), cases="\n".join(lines)))
        script.chmod(0o755)

    (home / "systemd").mkdir()
    (home / "systemd" / "private").touch()
    answers({})
    return answers


@pytest.fixture
def told(home):
    """Gives what the stand-in was told since the last time, without `--user`."""

    def since():
        path = home / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        assert all(each.startswith("--user ") for each in lines)
        return [each.removeprefix("--user ") for each in lines]

    return since


def units(session):
    return session / "config" / "systemd" / "user"


def listed(session):
    return sorted(os.listdir(units(session)))


# ---- without a user manager -------------------------------------------------------------------------------------


def test_without_a_manager_the_units_are_placed_and_what_to_do_is_told(home, capsys):
    assert main(["service", "install"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{units(home)}: swiftd.socket and swiftd.service are installed\n"
    assert "no user manager" in err
    assert "systemctl --user enable --now swiftd.socket" in err
    assert listed(home) == ["swiftd.service", "swiftd.socket"]
    assert f"\nExecStart={home}/bin/swiftd\n" in (units(home) / "swiftd.service").read_text()


def test_without_a_manager_they_can_be_removed_with_what_was_enabled(home, capsys):
    main(["service", "install"])
    for wanted, name in (("sockets", "swiftd.socket"), ("default", "swiftd.service")):
        (units(home) / f"{wanted}.target.wants").mkdir()
        (units(home) / f"{wanted}.target.wants" / name).symlink_to(units(home) / name)
    (units(home) / "sockets.target.wants" / "other.socket").symlink_to("nowhere")
    capsys.readouterr()
    assert main(["service", "uninstall"]) == 0
    assert capsys.readouterr().out == f"{units(home)}: swiftd.socket and swiftd.service are gone\n"
    assert listed(home) == ["default.target.wants", "sockets.target.wants"]
    assert os.listdir(units(home) / "sockets.target.wants") == ["other.socket"]
    assert os.listdir(units(home) / "default.target.wants") == []
    assert main(["service", "uninstall"]) == 1
    assert "there is no unit of swiftd" in capsys.readouterr().err


def test_without_a_manager_the_status_says_so(home, capsys):
    assert main(["service", "status"]) == 1
    assert "`swiftctl service install` makes it one" in capsys.readouterr().err
    main(["service", "install"])
    capsys.readouterr()
    assert main(["service", "status"]) == 1
    assert "no user manager" in capsys.readouterr().err


def test_a_runtime_folder_without_systemctl_is_no_manager(home, capsys):
    (home / "systemd").mkdir()
    (home / "systemd" / "private").touch()
    assert main(["service", "install"]) == 0
    assert "no user manager" in capsys.readouterr().err


def test_installing_again_changes_nothing(home):
    texts = []
    for _ in range(2):
        assert main(["service", "install"]) == 0
        texts.append({name: (units(home) / name).read_text() for name in listed(home)})
    assert texts[0] == texts[1]


def test_the_plain_service_takes_no_namespace(home):
    main(["service", "install"])
    whole = (units(home) / "swiftd.service").read_text()
    assert "PrivateUsers=yes" in whole
    main(["service", "install", "--plain"])
    plain = (units(home) / "swiftd.service").read_text()
    for word in ("Private", "Protect", "CapabilityBoundingSet", service.NEEDS_NAMESPACES):
        assert f"\n{word}" not in plain
    assert plain.endswith("[Install]\nWantedBy=default.target\nAlso=swiftd.socket\n")
    assert set(plain.splitlines()) <= set(whole.splitlines())


def test_units_that_cannot_be_written_are_told(home, capsys):
    (home / "config").write_text("a file")
    assert main(["service", "install"]) == 5
    assert f"cannot change {units(home)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("a b", ':"{home}/a b/swiftd"'),
        ("100%n", ':"{home}/100%%n/swiftd"'),
        ("a$b ${c}", ':"{home}/a$b ${{c}}/swiftd"'),
        ("für;#", ':"{home}/für;#/swiftd"'),
    ],
)
def test_a_path_is_written_as_systemd_reads_it(home, monkeypatch, folder, written):
    shutil.copytree(home / "bin", home / folder)
    monkeypatch.setattr(sys, "argv", [str(home / folder / "swiftctl")])
    assert main(["service", "install"]) == 0
    assert f"\nExecStart={written.format(home=home)}\n" in (units(home) / "swiftd.service").read_text("utf-8")


@pytest.mark.parametrize("folder", ["a'b", 'a"b', "a\\b", "a\nb", "a\udcffb"])
def test_a_path_that_systemd_refuses_is_refused(home, monkeypatch, capsys, folder):
    shutil.copytree(home / "bin", home / folder)
    monkeypatch.setattr(sys, "argv", [str(home / folder / "swiftctl")])
    assert main(["service", "install"]) == 5
    assert "systemd takes no program whose path has such characters" in capsys.readouterr().err
    assert not units(home).exists()


# ---- with a stand-in for systemctl ------------------------------------------------------------------------------


def test_installing_enables_the_socket_and_tries_the_service(home, manager, told, capsys):
    assert main(["service", "install"]) == 0
    assert told() == BEGUN
    out, err = capsys.readouterr()
    assert out.endswith("swiftd is running, and swiftd.socket starts it at need from now on\n")
    assert err == ""


def test_installing_again_starts_it_anew(home, manager, told):
    main(["service", "install"])
    told()
    assert main(["service", "install"]) == 0
    assert told() == HALTED + BEGUN


def test_where_namespaces_are_not_to_be_had_it_becomes_plain(home, manager, told, capsys):
    service_file = shlex.quote(str(units(home) / "swiftd.service"))
    grep = shlex.quote(shutil.which("grep", path=os.defpath))
    manager({"start swiftd": "if " + grep + f" -q PrivateUsers {service_file}; then echo status=217 >&2; exit 1; fi"})
    assert main(["service", "install"]) == 0
    assert told() == BEGUN + HALTED + BEGUN
    assert "PrivateUsers" not in (units(home) / "swiftd.service").read_text()
    err = capsys.readouterr().err
    assert "failed: status=217\n" in err
    assert "installed without what takes a user namespace" in err


@pytest.mark.parametrize("plain", [True, False])
def test_where_it_cannot_start_nothing_stays(home, manager, told, capsys, plain):
    manager({"start swiftd": "echo no such thing >&2; exit 1"})
    assert main(["service", "install", *(["--plain"] if plain else [])]) == 5
    assert told() == BEGUN + ([] if plain else HALTED + BEGUN) + REMOVED
    assert listed(home) == []
    err = capsys.readouterr().err
    assert "`systemctl --user start swiftd.service` failed: no such thing\n" in err
    assert "the units are removed again" in err


def test_one_that_was_started_by_hand_gives_way(home, manager, told, daemon, capsys):
    child = _holder(f"{daemon.path}.lock")
    try:
        assert main(["service", "install"]) == 0
        assert child.wait(30) == -15
    finally:
        child.kill()
        child.stdout.close()
    assert told() == BEGUN
    assert capsys.readouterr().err == ""


def _holder(lock):
    """A process that holds the lock of a socket, as a daemon does."""
    import subprocess

    program = "import fcntl, sys, time; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX)"
    program += "; print('held', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program, lock], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    return child


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "reloading"])
def test_one_that_systemd_has_started_is_ended_by_systemd(home, manager, told, daemon, state, capsys):
    """Who listens is systemd: it is not to be signalled, nor connected to, which would start another."""
    main(["service", "install", "--plain"])
    manager({"swiftd.service": f"case $2 in show) echo {state};; esac"})
    asked = len(daemon.requests)
    told()
    assert main(["stop"]) == 0
    assert told() == ["show --property=ActiveState --value swiftd.service", "stop swiftd.service"]
    assert len(daemon.requests) == asked


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_where_systemd_listens_and_none_runs_none_is_started_to_be_ended(home, manager, told, daemon, state, capsys):
    main(["service", "install", "--plain"])
    manager({"swiftd.service": f"echo {state}", "swiftd.socket": "echo active"})
    asked = len(daemon.requests)
    capsys.readouterr()
    assert main(["stop"]) == 1
    assert capsys.readouterr().err == f"swiftctl: nobody listens at {daemon.path}\n"
    assert len(daemon.requests) == asked


def test_one_on_another_socket_is_left_alone(home, manager, told, daemon, capsys, monkeypatch):
    monkeypatch.setenv("SWIFT_SOCKET", daemon.path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    (home / "run" / "systemd").mkdir(parents=True)
    (home / "run" / "systemd" / "private").touch()
    assert main(["service", "install"]) == 0
    assert daemon.requests == []


def test_uninstalling_disables_and_removes(home, manager, told, capsys):
    main(["service", "install"])
    told()
    assert main(["service", "uninstall"]) == 0
    assert told() == REMOVED
    assert listed(home) == []
    assert main(["service", "uninstall"]) == 1
    assert told() == []


def test_half_an_installation_can_be_removed(home, manager, told, capsys):
    main(["service", "install"])
    (units(home) / "swiftd.socket").unlink()
    told()
    assert main(["service", "uninstall"]) == 0
    assert told()[0] == "disable --now swiftd.service"
    assert capsys.readouterr().out.endswith(": swiftd.service is gone\n")


def test_a_manager_that_refuses_does_not_keep_the_units(home, manager, told, capsys):
    main(["service", "install"])
    manager({"disable": "echo busy >&2; exit 1"})
    assert main(["service", "uninstall"]) == 0
    assert listed(home) == []
    assert "failed: busy" in capsys.readouterr().err


@pytest.mark.parametrize(("active", "status"), [("exit 0", 0), ("exit 3", 1)])
def test_the_status_is_the_socket_s(home, manager, told, capfd, active, status):
    main(["service", "install"])
    told()
    manager({"status swiftd": "echo how it is; exit 3", "is-active": active})
    assert main(["service", "status"]) == status
    assert told() == ["--no-pager status swiftd.socket swiftd.service", "--quiet is-active swiftd.socket"]
    assert "how it is" in capfd.readouterr().out


# ---- the start through systemd ----------------------------------------------------------------------------------


@pytest.fixture
def installed(home, manager, told, capsys):
    main(["service", "install"])
    told()
    capsys.readouterr()
    return manager


def starts(home):
    (home / "listening.py").write_text(LISTENING)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(home / 'listening.py'))} >/dev/null 2>&1"


def test_a_query_goes_through_systemd(home, installed, told, capsys):
    installed({"start swiftd": starts(home)})
    assert main(["query", ">a"]) == 0
    assert capsys.readouterr() == ("through systemd\n", "")
    assert told() == ["start swiftd.socket swiftd.service"]
    assert not (home / "state" / "swift" / "swiftd.log").exists()


@pytest.mark.parametrize("place", ["data/systemd/user", ".local/share/systemd/user"])
def test_units_of_a_package_are_found_too(home, manager, told, capsys, monkeypatch, place):
    if place.startswith("data"):
        monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    (home / place).mkdir(parents=True)
    (home / place / "swiftd.socket").touch()
    manager({"start swiftd": starts(home)})
    assert main(["query", ">a"]) == 0
    assert capsys.readouterr().out == "through systemd\n"


def test_where_systemd_fails_swiftd_is_started_without_it(home, installed, told, capsys):
    installed({"start swiftd": "echo it is broken >&2; exit 1"})
    assert main(["query", ">a"]) == 0
    out, err = capsys.readouterr()
    assert out == "started directly\n"
    assert "failed: it is broken\nstarting swiftd without systemd\n" in err
    assert told() == ["start swiftd.socket swiftd.service", "stop swiftd.socket swiftd.service"]


@pytest.mark.parametrize("systemctl", ["#!/nonexistent\n", ""])
def test_where_systemctl_cannot_be_run_swiftd_is_started_without_it(home, installed, capsys, systemctl):
    (home / "bin" / "systemctl").write_text(systemctl)
    assert main(["query", ">a"]) == 0
    out, err = capsys.readouterr()
    assert out == "started directly\n"
    assert "starting swiftd without systemd" in err


def test_where_systemd_listens_elsewhere_swiftd_is_started_without_it(home, installed, monkeypatch, capsys):
    monkeypatch.setattr("swiftctl.launch.OTHERS_START", 0.1)
    assert main(["query", ">a"]) == 0
    assert capsys.readouterr().out == "started directly\n"


def test_systemd_is_not_waited_for_longer_than_asked(home, installed, capsys):
    installed({"start swiftd": f"exec {shutil.which('sleep', path=os.defpath)} 60"})
    assert main(["query", ">a", "--timeout", "0.5"]) == 3
    assert re.search(r"takes longer than 0\.\d s: try again, or give more time", capsys.readouterr().err)


def test_without_a_manager_or_for_a_chosen_socket_systemd_is_not_asked(home, installed, told, capsys):
    assert main(["--socket", str(home / "swift" / "swiftd.sock"), "query", ">a"]) == 0
    assert told() == []
    (home / "swift" / "swiftd.sock").unlink()
    (home / "systemd" / "private").unlink()
    assert main(["query", ">a"]) == 0
    assert told() == []
    assert capsys.readouterr().out == "started directly\n" * 2
