"""Exit status and output of the commands, by canned answers; the real daemon is met in test_end_to_end.py."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from swiftctl_answers import item, line, results

from swiftctl.__main__ import main

PLUGIN_ERROR = {"plugin": "calc", "code": "timeout", "message": "took\nlonger"}
FAILURE = line(type="error", id=1, done=True, code="input-too-long", message="too long")
EVENT = line(type="event", id=1, done=False, event="compiling", plugin="echo")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([results(item("a"), item("b"))], (0, "a\nb\n", "")),
        ([results()], (1, "", "")),
        ([results(item("a"), errors=[PLUGIN_ERROR])], (0, "a\n", "swiftctl: calc: took longer (timeout)\n")),
        ([results(errors=[PLUGIN_ERROR])], (4, "", "swiftctl: calc: took longer (timeout)\n")),
        ([FAILURE], (4, "", "swiftctl: too long (input-too-long)\n")),
        ([line(type="error", id=None, code="bad-frame", message="what?")], (4, "", "swiftctl: what? (bad-frame)\n")),
        ([EVENT, results(item("a"))], (0, "a\n", "")),
        ([line(type="results", id=9, done=True, items=[item("not mine")]), results(item("a"))], (0, "a\n", "")),
        ([results(item("two\nlines"), item("\x1b[2J😀"))], (0, "two lines\n\ufffd[2J😀\n", "")),
        ([bytes([byte]) for byte in results(item("é😀"))], (0, "é😀\n", "")),
    ],
)
def test_query(daemon, capsys, pieces, expected):
    daemon.says(*pieces)
    status = main(["query", ">a"])
    assert (status, *capsys.readouterr()) == expected


@pytest.mark.parametrize(
    ("pieces", "status", "told"),
    [
        ([], 3, "hung up"),
        ([EVENT], 3, "hung up"),
        ([b'{"type":"results"'], 3, "hung up"),
        ([b"nonsense\n"], 4, "makes no sense"),
    ],
)
def test_an_answer_that_does_not_come_is_told(daemon, capsys, pieces, status, told):
    daemon.says(*pieces)
    assert main(["query", ">a"]) == status
    assert told in capsys.readouterr().err


def test_the_request_says_what_was_asked_for(daemon):
    main(["query", "--limit", "3", "--timeout", "10", "--", "-é\n"])
    (request,) = daemon.requests
    wait = request.pop("wait_ms")
    assert request == {"id": 1, "op": "query", "input": "-é\n", "limit": 3}
    assert 8000 < wait <= 9000


@pytest.mark.parametrize("answer", [results(item("a\tb")), FAILURE])
def test_json_is_the_answer_as_received(daemon, capsys, answer):
    daemon.says(EVENT, answer)
    main(["query", "--json", ">a"])
    assert capsys.readouterr().out == answer.decode()


def test_tsv_has_two_columns_whatever_the_name(daemon, capsys):
    daemon.says(results(item("a\tb\nc", key="k\t1"), item("", key="k2")))
    assert main(["query", "--tsv", ">a"]) == 0
    assert capsys.readouterr().out == "k 1\ta b c\nk2\t\n"


@pytest.mark.parametrize("command", [["query", ">a"], ["plugins"], ["stats"], ["ping"]])
def test_a_daemon_that_says_nothing_is_not_waited_for_longer_than_asked(daemon, capsys, command):
    daemon.says(hang_up=False)
    assert main([*command, "--timeout", "0.1"]) == 4
    assert "--timeout" in capsys.readouterr().err


def test_a_daemon_that_accepts_nobody_is_not_waited_for_either(session, capsys):
    path = str(session / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        assert main(["--socket", path, "query", ">a", "--timeout", "0.1"]) == 4
    assert "--timeout" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent/x.sock", "dead.sock"])
def test_without_a_daemon_and_a_start_it_says_how_to_start_one(session, capsys, name):
    path = session / name
    if name == "dead.sock":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    assert main(["--no-start", "--socket", str(path), "query", ">a"]) == 3
    assert f"`swiftd --socket {path} &`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x" * 200, "file/x.sock", "a\udcff" * 60])
def test_a_socket_that_cannot_be_is_told(session, capsys, name):
    (session / "file").touch()
    assert main(["--socket", str(session / name), "query", ">a"]) == 3
    assert "cannot connect to" in capsys.readouterr().err


def test_plugins_are_a_table(daemon, capsys):
    ready = {"name": "echo", "trigger": ">", "state": "ready", "size": 2500, "times": {"load_ms": 0.31}, "error": None}
    ready |= {"language": "Rust"}
    broken = {"name": "x", "trigger": None, "state": "refused", "size": 0, "times": {}, "error": "no\nrunner"}
    daemon.says(line(type="plugins", id=1, done=True, plugins=[ready, broken]))
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME  TRIGGER  STATE    LANGUAGE  SIZE    LOAD     ERROR",
        "echo  >        ready    Rust      2.5 KB  0.31 ms  -",
        "x     -        refused  -         0 B     -        no runner",
    ]


def test_what_has_no_effect_in_the_configuration_is_told_below_the_table(daemon, capsys):
    ready = {"name": "echo", "trigger": ">", "state": "ready", "size": 2500, "times": {"load_ms": 0.31}, "error": None}
    notice = "line 1: `[plugins.Ecko]`: there is no plugin 'Ecko': did you mean 'echo'?"
    daemon.says(line(type="plugins", id=1, done=True, plugins=[ready], notices=[notice]))
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [f"config.toml, {notice}"]


def test_no_plugins_is_an_empty_answer(daemon, capsys):
    daemon.says(line(type="plugins", id=1, done=True, plugins=[]))
    assert main(["plugins"]) == 1
    assert "plugins" in capsys.readouterr().err


def test_stats_are_readable(daemon, capsys):
    counts = {"uptime_s": 3725.0, "pid": 7, "queries": 12, "sessions": 1, "workers": 2, "workers_killed": 0}
    latency = {"p50": 0.2, "p90": 0.4, "p99": 12.5}
    plugins = [{"plugin": "echo", "calls": 12, "errors": {"trap": 1}, "latency_ms": latency}]
    hardening = ["landlock-7", "sec\x1bcomp"]
    daemon.says(line(type="stats", id=1, done=True, version="0.1.0", plugins=plugins, hardening=hardening, **counts))
    assert main(["stats"]) == 0
    out = capsys.readouterr().out
    assert "swiftd 0.1.0, process 7, up 1 h 2 min" in out
    assert "in force in each worker: landlock-7, sec\ufffdcomp" in out
    assert "workers 2 (killed so far: 0)" in out
    assert out.splitlines()[-1].split() == ["echo", "12", "0.2", "ms", "0.4", "ms", "12", "ms", "trap", "1"]


def test_stats_tell_how_many_workers_are_for_one_plugin_alone(daemon, capsys):
    counts = {"uptime_s": 1.0, "pid": 7, "queries": 12, "sessions": 1, "workers": 5, "workers_killed": 4}
    daemon.says(line(type="stats", id=1, done=True, version="0.1.0", plugins=[], workers_apart=3, **counts))
    assert main(["stats"]) == 0
    assert "workers 5 (3 for one plugin alone, killed so far: 4)" in capsys.readouterr().out


def test_ping_says_who_is_there(daemon, capsys):
    daemon.says(line(type="hello", id=1, done=True, server="swiftd", version="0.1.0", protocol=1))
    assert main(["ping"]) == 0
    assert capsys.readouterr().out.startswith("swiftd 0.1.0, protocol 1, ")
    assert [request["protocol"] for request in daemon.requests] == [1, 1]


TRIED = {
    **dict.fromkeys(("error", "contract", "language", "items")),
    **{name: [] for name in ("imports", "denied", "log", "problems")},
    "accepted": True,
    "size": 7,
    "trigger": "x:",
    "times": {"compile_ms": 1.0, "load_ms": 1.0},
}


@pytest.mark.parametrize(
    ("options", "asked", "given", "said"),
    [
        ([], None, {}, "no grants and no settings (`--as PLUGIN`: those of that one)"),
        (["--as", "calc"], "calc", {}, "what calc has: no grants and no settings"),
        (
            ["--as", "files"],
            "files",
            {"grants": {"read": ["~/a\x1b[2J", "/b"], "clock": True}, "settings": ["depth", "theme"]},
            "what files has: read ~/a\ufffd[2J, /b; clock; settings depth, theme",
        ),
    ],
)
def test_check_says_what_a_file_was_tried_with(daemon, capsys, options, asked, given, said):
    daemon.says(
        line(type="check", id=1, done=True, **TRIED, **{"plugin": asked, "grants": {}, "settings": [], **given})
    )
    assert main(["check", *options, "new.wasm"]) == 0
    assert f"tried with   {said}\n" in capsys.readouterr().out
    assert [request.get("plugin") for request in daemon.requests] == [asked]


@pytest.mark.parametrize("command", ["plugins", "stats", "ping"])
def test_json_of_the_other_commands_is_the_answer_too(daemon, capsys, command):
    daemon.says(line(type=command, id=1, done=True, plugins=[]))
    main([command, "--json"])
    assert json.loads(capsys.readouterr().out)["type"] == command


def swiftctl(*arguments, **how):
    return subprocess.run([sys.executable, "-m", "swiftctl", *arguments], check=False, capture_output=True, **how)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["query", ">a"], ["query", "--json", ">a"], ["--help"], ["--version"]])
def test_a_reader_that_went_away_is_no_failure(daemon, monkeypatch, arguments, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    daemon.says(results(*[item("x" * 1000)] * 200))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "swiftctl", *arguments], check=False, stdout=writer, stderr=subprocess.PIPE
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_told(daemon):
    daemon.says(results(item("a")))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "swiftctl", "query", ">a"], check=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 5
    assert done.stderr == b"swiftctl: cannot write the answer: No space left on device\n"


@pytest.mark.parametrize(("closed", "status"), [(">&-", 5), ("2>&-", 0), (">&- 2>&-", 5), ("<&-", 0)])
def test_closed_standard_streams_do_no_harm_but_where_the_answer_is_lost(daemon, closed, status):
    daemon.says(results(item("a"), errors=[PLUGIN_ERROR]))
    done = subprocess.run(["sh", "-c", f'"$0" -m swiftctl query ">a" {closed}', sys.executable], check=False)
    assert done.returncode == status


@pytest.mark.parametrize("coercion", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_in_a_locale_of_c_text_is_still_utf8(daemon, coercion):
    daemon.says(results(item("é😀"), errors=[PLUGIN_ERROR | {"message": "ü"}]))
    done = swiftctl("query", "é😀", env=os.environ | coercion | {"LC_ALL": "C"})
    assert (done.returncode, done.stdout) == (0, "é😀\n".encode())
    assert daemon.requests[0]["input"] == "é😀"


def test_bytes_that_are_no_text_are_a_usage_error():
    done = swiftctl("query", b"\xff\xfe")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"not UTF-8" in done.stderr


def test_an_interrupt_is_quiet(daemon):
    daemon.says(hang_up=False)
    with subprocess.Popen(
        [sys.executable, "-m", "swiftctl", "query", ">a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        while not daemon.requests:
            assert client.poll() is None
        client.send_signal(2)
        assert client.communicate(timeout=30) == (b"", b"")
    assert client.returncode == 130


def test_compiling_is_shown_on_a_terminal_and_taken_away(daemon):
    daemon.says(EVENT, results(item("a")))
    leader, terminal = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "swiftctl", "query", ">a"], check=True, stdout=subprocess.DEVNULL, stderr=terminal
        )
        assert os.read(leader, 4096).decode() == "\r\x1b[Kcompiling echo …\r\x1b[K"
    finally:
        os.close(leader)
        os.close(terminal)


# ---- at a terminal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        (["query", "x"], results(), True),
        (["query", "x"], results(item("a")), False),
        (["query", "--json", "x"], results(), False),
        (["query", "--tsv", "x"], results(), False),
        (["query", "x"], results(errors=[{"plugin": "p", "code": "trap", "message": "m"}]), False),
    ],
)
def test_a_person_is_told_what_to_do_about_an_empty_answer(daemon, words, answer, said):
    daemon.says(answer)
    master, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "swiftctl", *words]
        done = subprocess.run(command, check=False, stdout=terminal, stderr=subprocess.PIPE, timeout=30)
    finally:
        os.close(terminal)
        os.close(master)
    assert (b"`swiftctl plugins` lists them" in done.stderr) is said


def test_a_script_is_not(daemon):
    daemon.says(results())
    done = subprocess.run(
        [sys.executable, "-m", "swiftctl", "query", "x"], check=False, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
