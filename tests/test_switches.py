"""What is switched off stays so: in the file, for the next daemon, whatever becomes of the file."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
from daemons import PATIENCE, component
from test_files import KINDS, descriptors, make

from swiftd.switches import Switches


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "disabled.json"


def switch(switches, name, *, on):
    switches.set(name, on=on)
    switches.save()


def test_without_a_file_nothing_is_off(file):
    assert not Switches(file).is_off("a")
    assert not file.parent.exists()


def test_what_is_switched_is_remembered(file):
    switches = Switches(file)
    for name in ("a", "b", "ünö", 'q"\\', "\ufffd"):
        switch(switches, name, on=False)
    switch(switches, "b", on=True)
    switch(switches, "never", on=True)
    again = Switches(file)
    assert [again.is_off(name) for name in ("a", "b", "ünö", 'q"\\', "\ufffd", "never")] == [
        True,
        False,
        *[True] * 3,
        False,
    ]
    assert json.loads(file.read_text()) == sorted(["a", "ünö", 'q"\\', "\ufffd"])
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b'["a"', b'"a"', b"\xff", b'["\xff"]', b"[" * 100_000])
def test_a_file_that_can_not_be_read_switches_nothing_off_and_is_written_anew(file, content, caplog):
    file.parent.mkdir()
    file.write_bytes(content)
    switches = Switches(file)
    assert not switches.is_off("a")
    assert str(file) in caplog.text
    switch(switches, "a", on=False)
    assert Switches(file).is_off("a")


def test_a_folder_in_the_file_s_place_is_said_and_nothing_is_left_behind(file):
    file.mkdir(parents=True)
    switches = Switches(file)
    with pytest.raises(OSError, match="directory"):
        switch(switches, "a", on=False)
    assert switches.is_off("a")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_in_the_file_s_place_is_said_and_hangs_nothing(file, kind, caplog):
    file.parent.mkdir()
    make(kind, file)
    before = descriptors()
    switches = Switches(file)
    assert not switches.is_off("a")
    assert kind == "dangling" or str(file) in caplog.text
    assert descriptors() == before
    if kind not in ("folder", "in a file"):
        switch(switches, "a", on=False)
        assert Switches(file).is_off("a")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(file):
    file.parent.mkdir(mode=0o500)
    switches = Switches(file)
    with pytest.raises(PermissionError):
        switch(switches, "a", on=False)
    assert switches.is_off("a")


def test_who_saves_last_saves_what_is_so_by_then(file, monkeypatch):
    """Two clients switch at once, and the disk takes its time."""
    switches = Switches(file)
    slow, go_on = threading.Event(), threading.Event()
    sync = os.fsync

    def fsync(number):
        if not slow.is_set():
            slow.set()
            assert go_on.wait(PATIENCE)
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    switches.set("a", on=False)
    first = threading.Thread(target=switches.save)
    first.start()
    assert slow.wait(PATIENCE)
    switches.set("b", on=False)
    second = threading.Thread(target=switches.save)
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert json.loads(file.read_text()) == ["a", "b"]


# ---- in a daemon ------------------------------------------------------------------------------------------------


@pytest.fixture
def restarted(idle_daemon):
    """Starts the daemon, or starts it again, always with the same state folder; gives a client."""
    state = {"XDG_STATE_HOME": str(idle_daemon.home / "state")}

    def restart(number=signal.SIGTERM):
        if idle_daemon.process is not None:
            idle_daemon.stop(number)
        return idle_daemon.start(env=state).client()

    return restart


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_plugin_that_is_switched_off_stays_off_across_restarts(idle_daemon, restarted, number):
    idle_daemon.install(component("one", "one:"), "one")
    client = restarted()
    assert client.names("one:") == ["one"]
    assert client.ask("disable", plugin="one")["type"] == "ok"
    assert client.plugin("one")["state"] == "disabled"
    assert client.names("one:", wait_ms=0) == []
    client = restarted(number)
    assert client.plugin("one")["state"] == "disabled"
    assert client.names("one:", wait_ms=0) == []
    assert client.names(">x") == ["You typed: x"]
    assert client.ask("enable", plugin="one")["type"] == "ok"
    assert client.names("one:", wait_ms=0) == ["one"]
    client = restarted(number)
    assert client.names("one:") == ["one"]


def test_a_plugin_stays_off_when_its_file_is_replaced_or_away_for_a_while(idle_daemon, restarted):
    path = idle_daemon.install(component("one", "one:"), "one")
    client = restarted()
    client.settled("one")
    client.ask("disable", plugin="one")
    idle_daemon.install(component("two", "one:"), "one")
    assert client.ask("reload")["type"] == "ok"
    assert client.plugin("one")["state"] == "disabled"
    path.unlink()
    client.ask("reload")
    assert client.plugin("one") is None
    idle_daemon.install(component("two", "one:"), "one")
    client.ask("reload")
    assert client.plugin("one")["state"] == "disabled"
    client.ask("enable", plugin="one")
    assert client.names("one:", wait_ms=0) == ["two"]


def test_switching_twice_is_switching_once_and_tells_once(idle_daemon, restarted):
    idle_daemon.install(component("one", "one:"), "one")
    client = restarted()
    client.settled("one")
    watcher = idle_daemon.client()
    watcher.send(op="watch", id="w")
    assert watcher.ask("hello")["type"] == "hello"
    for op in ("disable", "disable", "enable", "enable"):
        assert client.ask(op, plugin="one")["type"] == "ok"
    watcher.send(op="cancel", target="w")
    frames = watcher.frames()
    events = []
    while (frame := next(frames))["type"] != "ok" or frame["id"] != "w":
        if frame["type"] == "event":
            events.append((frame["plugin"], frame["event"]))
    assert events == [("one", "disabled"), ("one", "ready")]


def test_bundled_plugins_can_be_switched_off_too(idle_daemon, restarted):
    client = restarted()
    assert client.settled("echo")["state"] == "ready"
    client.ask("disable", plugin="echo")
    assert client.names(">x", wait_ms=0) == []
    assert restarted().plugin("echo")["state"] == "disabled"


def test_what_config_toml_switches_off_only_config_toml_switches_on(idle_daemon, restarted):
    idle_daemon.config.write_text("[plugins.echo]\nenabled = false\n")
    client = restarted()
    assert client.plugin("echo")["state"] == "disabled"
    answer = client.ask("enable", plugin="echo")
    assert (answer["type"], answer["code"]) == ("error", "config")
    assert "enabled = false" in answer["message"]


@pytest.mark.parametrize("op", ["enable", "disable", "reload", "logs"])
def test_a_name_that_is_none_is_said(daemon, op):
    answer = daemon.client().ask(op, plugin="nobody")
    assert (answer["type"], answer["code"]) == ("error", "unknown-plugin")
    assert "nobody" in answer["message"]


def test_that_it_can_not_be_remembered_is_said_and_it_is_switched(idle_daemon, restarted):
    (idle_daemon.home / "state").write_text("in the way")
    client = restarted()
    client.settled("echo")
    answer = client.ask("disable", plugin="echo")
    assert (answer["type"], answer["code"]) == ("error", "internal")
    assert "can't be remembered" in answer["message"]
    assert client.plugin("echo")["state"] == "disabled"


def test_a_state_that_is_broken_is_no_obstacle(idle_daemon, restarted):
    folder = idle_daemon.home / "state" / "swift"
    folder.mkdir(parents=True)
    (folder / "disabled.json").write_bytes(b"\xff[")
    assert restarted().names(">x") == ["You typed: x"]
    assert "disabled.json" in idle_daemon.said()


@pytest.mark.parametrize("kind", ["FIFO", "endless", "socket"])
def test_a_daemon_starts_whatever_is_in_the_state_s_place(idle_daemon, restarted, kind):
    folder = idle_daemon.home / "state" / "swift"
    folder.mkdir(parents=True)
    make(kind, folder / "disabled.json")
    client = restarted()
    assert client.names(">x") == ["You typed: x"]
    assert client.ask("disable", plugin="echo")["type"] == "ok"
    assert restarted().plugin("echo")["state"] == "disabled"
