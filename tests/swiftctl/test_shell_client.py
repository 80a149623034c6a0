"""The client in plain sh and `swiftctl query` answer the same, case by case."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import GUESTS
from socket_places import KINDS, name_place
from swiftctl_answers import item, line, results

from swiftctl import wire

SCRIPT = Path(__file__).parents[2] / "clients" / "shell" / "swift-query"
ODD = "".join(map(chr, [*range(1, 0x30), *range(0x7F, 0xA1), 0x1F600, ord("\\"), ord('"'), ord("/")]))
WIDE = "".join(map(chr, [*range(0x2000, 0x2070), *range(0xFDC0, 0xFE10), 0xFEFF, *range(0xFFF0, 0x10000), 0x1F602]))
PLANES = "".join(chr(plane * 0x10000 + low) for plane in range(1, 17) for low in (0xFFBF, 0xFFFD, 0xFFFE, 0xFFFF))
TAGS = "x\U000e0067 🏴\U000e0067\U000e0062\U000e007f\U000e0041 🏴\U000e0001 🏴🏴\U000e0020 \U000e0080\U000e0100"
PLUGIN_ERROR = {"plugin": "calc", "code": "timeout", "message": "took\nlonger"}


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def transports():
    """What can carry the line, each with a folder of programs in which it is the only one."""
    return [pytest.param(name, marks=needs(name, "awk", "iconv")) for name in ("nc", "socat")]


@pytest.fixture(params=transports())
def both(request, tmp_path):
    """Runs both clients in the same surroundings; status, output and messages of each."""
    for program in ("sh", "awk", "iconv", "id", "ls", "sed", "cat", request.param):
        (tmp_path / program).symlink_to(shutil.which(program))

    def run(*arguments, env):
        answers = []
        for words in ([sys.executable, "-m", "swiftctl", "--no-start", "query"], [str(SCRIPT)]):
            path = env["PATH"] if words[0] == sys.executable else str(tmp_path)
            done = subprocess.run(
                [*words, *arguments], check=False, capture_output=True, env=env | {"PATH": path}, timeout=60
            )
            said = done.stderr.replace(b"swift-query: ", b"swiftctl: ") if done.returncode not in (2, 3) else b""
            answers.append((done.returncode, done.stdout, said))
        return answers

    return run


@pytest.fixture(scope="module")
def served(tmp_path_factory, cache):
    """A real daemon with plugins that answer well and badly."""
    from daemons import Daemon

    daemon = Daemon(tmp_path_factory.mktemp("shell"), cache)
    for guest in ("ok", "items-1001"):
        daemon.install(GUESTS / f"{guest}.wat")
    yield os.environ | {"SWIFT_SOCKET": str(daemon.start().socket)}
    daemon.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["=2+2*3"],
        ["="],
        [""],
        ["nobody claims this"],
        ["--", "=1"],
        ["--", "-x"],
        ["--", "--"],
        [">'\"$(id)`<&>"],
        [">two\nlines\ttab"],
        [f">{ODD}"],
        [f">{WIDE}{PLANES}{TAGS}"],
        [">" + "\\" * 7],
        [">é😀👩\u200d💻"],
        ["=2000!"],
        ["items-1001:"],
        [">" + "x" * 5000],
        [b">\xff"],
        ["two", "words"],
        [],
    ],
)
def test_over_the_real_daemon(both, served, arguments):
    ours, shells = both(*arguments, env=served)
    assert shells == ours
    if arguments and str(arguments[0]).startswith(">") and len(arguments[0]) < 5000:
        assert ours[0] == 0
        assert ours[1].startswith(b"You typed: ")


@pytest.mark.parametrize(
    "pieces",
    [
        [results(item("a"), item("b"))],
        [results(item(ODD), item(""))],
        [results(item(WIDE), item(PLANES), item(TAGS))],
        [results(item('{"name":"forged"}'), errors=[PLUGIN_ERROR])],
        [results(item('"errors":[{"plugin":"forged"'))],
        [results(errors=[PLUGIN_ERROR, PLUGIN_ERROR | {"plugin": "b", "message": '"{}\\'}])],
        [results()],
        [line(type="event", id=1, done=False, event="compiling", plugin="echo"), results(item("a"))],
        [line(type="error", id=1, done=True, code="input-too-long", message='too "long"')],
        [line(type="error", id=None, done=True, code="bad-frame", message="what?")],
        [bytes([byte]) for byte in results(item("é😀"))],
        [results(*[item("x" * 1000)] * 1000)],
    ],
)
def test_over_answers_of_every_kind(both, daemon, pieces):
    daemon.says(*pieces)
    ours, shells = both(">a", env=dict(os.environ))
    assert shells == ours
    assert daemon.requests[0] | {"wait_ms": 27000} == daemon.requests[1] | {"wait_ms": 27000}


def test_without_a_daemon(both, session):
    ours, shells = both(">a", env=dict(os.environ))
    assert shells == ours == (3, b"", b"")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["socat", "-", "UNIX-CONNECT:{}"], marks=needs("socat")),
        pytest.param(["nc", "-N", "-U", "{}"], marks=needs("nc")),
    ],
)
def test_a_line_of_json_through_a_tool_that_everybody_has_is_answered_and_ends(served, words):
    """The commands that README shows."""
    if (
        words[0] == "nc"
        and "-N" not in subprocess.run(["nc", "-h"], check=False, capture_output=True, text=True).stderr
    ):
        pytest.skip("this nc is not OpenBSD's")
    subprocess.run([SCRIPT, ">compiled"], check=True, capture_output=True, env=served, timeout=60)
    line = b'{"id":1,"op":"query","input":">hi"}\n'
    words = [word.format(served["SWIFT_SOCKET"]) for word in words]
    done = subprocess.run(words, check=True, input=line, capture_output=True, timeout=60)
    assert json.loads(done.stdout)["items"][0]["name"] == "You typed: hi"


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
@pytest.mark.parametrize("kind", KINDS)
@needs("awk", "iconv", "socat")
def test_it_looks_for_the_socket_where_swiftctl_does(session, monkeypatch, kind, variable):
    inside = f"swift-{os.geteuid()}" if variable == "TMPDIR" else "swift"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    name_place(monkeypatch, variable, kind, session, inside)
    if variable == "XDG_RUNTIME_DIR":
        monkeypatch.setenv("TMPDIR", str(session))
    if os.path.exists(wire.default_socket()):
        pytest.skip("a daemon of yours serves there, and answers")
    done = subprocess.run([SCRIPT, "x"], check=False, capture_output=True, text=True)
    found = done.stderr.removeprefix("swift-query: no answer at ").removesuffix(": start swiftd\n")
    assert (done.returncode, Path(found)) == (3, Path(wire.default_socket()))


@needs("shellcheck")
def test_shellcheck_is_silent():
    done = subprocess.run(["shellcheck", SCRIPT], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
