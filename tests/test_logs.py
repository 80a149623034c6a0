"""The `logs` and `watch` requests: what plugins print, what becomes of them, and following both."""

from __future__ import annotations

import time

import pytest
from daemons import GUESTS, component, eventually

from swiftd.journal import MOST_GONE


@pytest.fixture
def client(idle_daemon):
    """Asks a daemon with plugins that print, log and trap."""
    for guest in ("log", "stdout-flood", "unreachable"):
        idle_daemon.install(GUESTS / f"{guest}.wat")
    client = idle_daemon.start().client()
    for name in ("log", "stdout-flood", "unreachable", "echo", "calc"):
        assert client.settled(name)["state"] == "ready"
    return client


def texts(answer, plugin):
    return [line["text"] for line in answer["lines"] if line["plugin"] == plugin]


def following(daemon, **fields):
    """A connection that follows the logs, and has what was there before."""
    client = daemon.client()
    request = client.send(op="logs", follow=True, **fields)
    first = client.frame()
    assert (first["id"], first["type"], first["done"]) == (request, "logs", False)
    return client, request, first


def watching(daemon):
    """A connection that watches."""
    client = daemon.client()
    request = client.send(op="watch")
    client.ask("hello")  # it has begun by now: requests of one connection begin in order
    return client, request


def test_of_plugins_that_came_and_went_little_is_kept(idle_daemon, client):
    for round_ in range(3):
        paths = [idle_daemon.install("rubbish", f"gone-{round_}-{number}") for number in range(15)]
        client.ask("reload")
        for path in paths:
            path.unlink()
        client.ask("reload")
    names = {line["plugin"] for line in client.ask("logs")["lines"]}
    assert 0 < sum(name.startswith("gone") for name in names) <= MOST_GONE
    assert "gone-2-0" in names


# ---- logs -------------------------------------------------------------------------------------------------------


def test_what_a_plugin_logs_and_its_traps_are_kept_under_its_name(client):
    started = time.time()
    client.query("log:")
    client.query("unreachable:")
    answer = client.ask("logs")
    assert (answer["type"], answer["done"]) == ("logs", True)
    assert texts(answer, "log") != []
    assert any("unreachable" in text for text in texts(answer, "unreachable"))
    times = [line["time"] for line in answer["lines"]]
    assert times == sorted(times)
    assert all(started - 60 < at < time.time() + 1 for at in times)
    alone = client.ask("logs", plugin="log")
    assert {line["plugin"] for line in alone["lines"]} == {"log"}
    assert texts(alone, "log") == texts(answer, "log")


def test_a_plugin_that_has_said_nothing_has_an_empty_log(client):
    assert client.ask("logs", plugin="echo")["lines"] == []


def test_a_log_is_bounded(client):
    for _ in range(20):
        client.query("stdout-flood:")
    lines = client.ask("logs", plugin="stdout-flood")["lines"]
    assert 0 < len(lines) <= 500
    assert all(len(line["text"]) <= 16 * 1024 for line in lines)


def test_whoever_follows_gets_what_was_and_then_every_line_as_it_comes(idle_daemon, client):
    client.query("log:")
    follower, request, first = following(idle_daemon)
    assert texts(first, "log") != []
    for count in range(1, 4):
        client.query("log:")
        frame = follower.frame()
        assert (frame["id"], frame["done"], len(frame["lines"])) == (request, False, 1)
        assert len(texts(client.ask("logs"), "log")) >= count + 1
    assert follower.ask("cancel", target=request)["type"] == "ok"


def test_whoever_follows_one_plugin_gets_no_other_s_lines(idle_daemon, client):
    follower, _, first = following(idle_daemon, plugin="log")
    assert {line["plugin"] for line in first["lines"]} <= {"log"}
    client.query("unreachable:")
    client.query("log:")
    assert [line["plugin"] for line in follower.frame()["lines"]] == ["log"]


def test_following_ends_when_it_is_cancelled_with_one_final_frame(idle_daemon, client):
    follower, request, _ = following(idle_daemon)
    follower.send(op="cancel", id="cancel", target=request)
    finals = [follower.frame() for _ in range(2)]
    assert {(frame["id"], frame["type"], frame["done"]) for frame in finals} == {
        (request, "ok", True),
        ("cancel", "ok", True),
    }


def test_the_errors_of_a_refused_version_are_in_its_log(idle_daemon, client):
    follower, _, _ = following(idle_daemon, plugin="log")
    idle_daemon.install("rubbish", "log")
    (line,) = follower.frame()["lines"]
    assert line["level"] == "error"
    assert line["text"] == client.plugin("log")["error"]


# ---- watch ------------------------------------------------------------------------------------------------------


def test_every_change_of_state_is_an_event(idle_daemon, client):
    watcher, request = watching(idle_daemon)
    path = idle_daemon.install(component("one", f"{time.time()}:"), "it")  # never seen before: it must be compiled

    def next_event():
        frame = watcher.frame()
        assert (frame["id"], frame["type"], frame["done"]) == (request, "event", False)
        return frame["plugin"], frame["event"], frame["message"]

    events = [next_event()]
    while events[-1][1] != "ready":
        events.append(next_event())
    assert [event for _, event, _ in events] == ["compiling", "ready"]
    client.ask("disable", plugin="it")
    assert next_event() == ("it", "disabled", None)
    client.ask("enable", plugin="it")
    assert next_event() == ("it", "ready", None)
    path.write_text("rubbish")
    plugin, event, message = next_event()
    assert (plugin, event) == ("it", "ready")
    assert "component" in message
    path.unlink()
    assert next_event() == ("it", "gone", None)


@pytest.mark.parametrize("op", ["watch", "logs"])
def test_it_ends_when_the_client_has_nothing_more_to_say(idle_daemon, client, op):
    """As `nc -N` does: it closes its half, and gets the final frame and the end."""
    other = idle_daemon.client()
    request = other.send(op=op, follow=True)
    eventually(lambda: client.ask("stats")["sessions"] >= 2)
    other.socket.shutdown(1)
    *_, last = other.frames()
    assert (last["id"], last["done"]) == (request, True)


@pytest.mark.parametrize("op", ["watch", "logs"])
def test_a_client_that_goes_leaves_nothing_behind(idle_daemon, client, op):
    before = client.ask("stats")["sessions"]
    others = [idle_daemon.client() for _ in range(20)]
    for other in others:
        other.send(op=op, follow=True)
    eventually(lambda: client.ask("stats")["sessions"] == before + 20)
    for other in others:
        other.close()
    eventually(lambda: client.ask("stats")["sessions"] == before)
    idle_daemon.install("rubbish", "log")
    eventually(lambda: client.plugin("log")["error"])
    assert "Traceback" not in idle_daemon.said()


def test_one_that_does_not_read_holds_up_nobody(idle_daemon, client):
    lazy, _ = watching(idle_daemon)
    lazy.send(op="logs", follow=True)
    for number in range(50):
        client.ask("disable" if number % 2 == 0 else "enable", plugin="echo")
        client.query("stdout-flood:")
    assert client.names(">x", wait_ms=0) == ["You typed: x"]
