"""The `check` request: a file is tried as if it were installed, and nothing of it stays."""

from __future__ import annotations

import os
import re

import pytest
from daemons import GUESTS, component
from guests.cases import CONTRACTS


@pytest.fixture
def place(idle_daemon):
    """A folder that is not the plugins'."""
    folder = idle_daemon.home / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def check(idle_daemon, place):
    """Try a component's text, or a guest of that name."""

    def check(content, name="tried", **fields):
        client = idle_daemon.client()
        if content in guests:
            name, content = content, (GUESTS / f"{content}.wat").read_text()
        (place / f"{name}.wasm").write_text(content)
        before = client.ask("plugins")["plugins"]
        answer = client.ask("check", path=str(place / f"{name}.wasm"), **fields)
        assert client.ask("plugins")["plugins"] == before
        assert answer["type"] == "check"
        return answer

    guests = {path.stem for path in GUESTS.glob("*.wat")}
    idle_daemon.start().client().settled("echo")
    idle_daemon.client().settled("calc")
    return check


def test_a_plugin_is_accepted_with_all_that_is_known_of_it(check):
    content = component("hello", "h:", "run it")
    answer = check(content)
    assert (answer["accepted"], answer["error"]) == (True, None)
    assert answer["trigger"] == "h:"
    assert answer["contract"].startswith("swift:launcher/runner")
    assert answer["size"] == len(content)
    assert answer["imports"] == []
    assert answer["times"]["compile_ms"] >= 0
    assert answer["times"]["load_ms"] > 0
    assert answer["items"] is None


def test_a_trial_query_is_answered_under_keys_that_start_nothing(check, idle_daemon):
    answer = check(component("hello", "h:", "run it", count=2), input="h:x")
    assert [(item["name"], item["exec"]) for item in answer["items"]] == [("hello", "run it")] * 2
    for item in answer["items"]:
        assert idle_daemon.client().ask("activate", key=item["key"])["code"] == "unknown-key"


def test_what_it_was_denied_and_what_it_printed_is_told_and_then_forgotten(check, idle_daemon):
    answer = check("clock-block", input="clock-block:")
    assert answer["accepted"]
    assert [denial["capability"] for denial in answer["denied"]] == ["clock"]
    answer = check("clock-monotonic", input="clock-monotonic:")
    assert answer["denied"] == []
    answer = check("log", input="log:")
    assert answer["log"] != []
    assert [line for line in idle_daemon.client().ask("logs")["lines"] if "check of" in line["plugin"]] == []


CONFIGURED = """
settings = { shared = 1 }
[plugins.config]
trigger = "mine:"
settings = { token = "secret" }
[plugins.files-read]
grants = { read = ["%s"], env = ["EDITOR"] }
[plugins.files-create]
grants = { write = ["%s"] }
[plugins.clock-block]
grants = { clock = true }
"""


@pytest.fixture
def box(idle_daemon, check):
    """A folder that plugins are granted."""
    box = idle_daemon.home / "box"
    box.mkdir()
    (box / "file").write_text("a note")
    idle_daemon.config.write_text(CONFIGURED % (box, box))
    assert idle_daemon.client().ask("reload")["type"] == "ok"
    return box


def test_it_has_nothing_of_what_its_namesake_has(check, box):
    (item,) = check("config", input="config:")["items"]
    assert item["name"] == "{}"
    (item,) = check("files-read", input="files-read:")["items"]
    assert item["name"] == "none"
    check("files-create", input="files-create:")
    assert [path.name for path in box.iterdir()] == ["file"]
    answer = check("clock-block", input="clock-block:")
    assert [denial["capability"] for denial in answer["denied"]] == ["clock"]
    assert (answer["plugin"], answer["grants"], answer["settings"], answer["problems"]) == (None, {}, [], [])


def test_asked_for_as_a_plugin_it_has_what_that_one_has_and_says_so(check, box):
    content = (GUESTS / "config.wat").read_text()
    answer = check(content, name="any", plugin="config", input="mine:")
    assert [item["name"] for item in answer["items"]] == ['{"shared":1,"token":"secret"}']
    assert (answer["trigger"], answer["plugin"]) == ("mine:", "config")
    assert (answer["grants"], answer["settings"]) == ({}, ["shared", "token"])
    content = (GUESTS / "files-read.wat").read_text()
    answer = check(content, name="any", plugin="files-read", input="files-read:")
    assert [item["name"] for item in answer["items"]] == ["a note"]
    assert answer["grants"] == {"read": [str(box)], "env": ["EDITOR"]}
    answer = check("clock-block", plugin="clock-block", input="clock-block:")
    assert (answer["denied"], answer["grants"]) == ([], {"clock": True})


def test_what_can_not_be_given_to_it_is_told(check, idle_daemon):
    idle_daemon.config.write_text(f'[plugins.x]\ngrants = {{ write = ["{idle_daemon.plugins}"] }}\n')
    idle_daemon.client().ask("reload")
    (problem,) = check(component("hello", "h:"), plugin="x")["problems"]
    assert "hand over" in problem


def test_as_a_plugin_of_which_nothing_is_said_is_the_request_s_fault(check, idle_daemon, place):
    (place / "one.wasm").write_text(component("one", "one:"))
    answer = idle_daemon.client().ask("check", path=str(place / "one.wasm"), plugin="calk")
    assert (answer["type"], answer["code"]) == ("error", "unknown-plugin")
    assert "calk" in answer["message"]


@pytest.mark.parametrize("case", CONTRACTS, ids=lambda case: case.name)
def test_what_is_no_plugin_is_not_accepted_and_why(check, case):
    answer = check(case.name)
    assert not answer["accepted"]
    assert re.search(case.message, answer["error"]) if case.message else answer["error"]


@pytest.mark.parametrize(("guest", "said"), [("spin-trigger", "no answer within"), ("trigger-trap", "unreachable")])
def test_what_fails_to_say_its_trigger_is_not_accepted(check, guest, said):
    answer = check(guest)
    assert not answer["accepted"]
    assert said in answer["error"]


@pytest.mark.parametrize(("guest", "said"), [("spin", "no answer within"), ("unreachable", "unreachable")])
def test_a_trial_query_that_fails_is_told(check, guest, said):
    answer = check(guest, input=f"{guest}:")
    assert answer["accepted"]
    assert said in answer["error"]
    assert answer["items"] is None


def test_what_a_trial_printed_before_it_was_killed_is_told(check):
    answer = check("words-spin", input="words-spin:here")
    assert "no answer within" in answer["error"]
    assert [(line["level"], line["text"]) for line in answer["log"]][:2] == [
        ("error", "words-spin:here"),
        ("warning", "words-spin:here"),
    ]


@pytest.mark.parametrize("content", ["", "rubbish", "(component", "\0asm"])
def test_rubbish_is_not_accepted(check, content):
    answer = check(content)
    assert not answer["accepted"]
    assert answer["error"]


def test_what_is_no_file_is_not_accepted(check, idle_daemon, place):
    (place / "folder").mkdir()
    os.mkfifo(place / "fifo")
    (place / "loop").symlink_to("loop")
    with (place / "large").open("wb") as file:
        file.truncate(200 * 1024**2)
    said = {
        "folder": "found a folder",
        "fifo": "found a FIFO",
        "loop": "too many levels of symbolic links",
        "large": "too large",
        "missing": "no such file",
        "new\nline": "no such file",
    }
    for name, reason in said.items():
        answer = idle_daemon.client().ask("check", path=str(place / name))
        assert not answer["accepted"]
        assert reason in answer["error"]


@pytest.mark.parametrize("path", ["", "x.wasm", "./x.wasm", "~/x.wasm"])
def test_a_path_that_is_not_from_the_root_is_refused(daemon, path):
    answer = daemon.client().ask("check", path=path)
    assert (answer["type"], answer["code"]) == ("error", "bad-request")


def test_a_path_with_a_nul_is_the_request_s_fault(daemon):
    answer = daemon.client().ask("check", path="/tmp/\0x")
    assert (answer["type"], answer["code"]) == ("error", "bad-request")


def test_a_file_that_is_installed_too_is_left_to_serve(idle_daemon, check):
    path = idle_daemon.install(component("one", "v:"), "it")
    client = idle_daemon.client()
    assert client.ask("reload")["type"] == "ok"
    before = client.settled("it")
    for _ in range(3):
        answer = client.ask("check", path=str(path), input="v:")
        assert [item["name"] for item in answer["items"]] == ["one"]
        assert client.names("v:", wait_ms=0) == ["one"]
    assert client.plugin("it") == before


def test_many_at_once_are_all_answered(idle_daemon, check, place):
    client = idle_daemon.client()
    for number in range(20):
        (place / f"n{number}.wasm").write_text(component(f"n{number}", "h:"))
    requests = {
        client.send(op="check", path=str(place / f"n{number}.wasm"), input="h:"): f"n{number}" for number in range(20)
    }
    for frame in client.frames():
        assert [item["name"] for item in frame["items"]] == [requests.pop(frame["id"])]
        if not requests:
            break
