"""Frames, messages, and where the socket is."""

from __future__ import annotations

import builtins
import importlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftctl import DaemonError, jsonlines, wire
from swiftd import paths, protocol

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
MESSAGES = st.dictionaries(st.text(), VALUES, max_size=4)


def test_frames_may_be_split_at_every_byte():
    data = '{"name":"é\\n😀"}\n\n{"done":true}\n'.encode()
    expected = ['{"name":"é\\n😀"}', '{"done":true}']
    for cut in range(len(data) + 1):
        frames = wire.Frames()
        assert frames.feed(data[:cut]) + frames.feed(data[cut:]) == expected
    frames = wire.Frames()
    assert [line for byte in data for line in frames.feed(bytes([byte]))] == expected


def test_an_endless_answer_ends(monkeypatch):
    monkeypatch.setattr(wire, "ANSWER_MAX", 10)
    frames = wire.Frames()
    frames.feed(b"x" * 10)
    with pytest.raises(DaemonError, match="--limit"):
        frames.feed(b"x")


@given(MESSAGES)
def test_messages_survive_the_way_out_and_back(message):
    line = jsonlines.encode(message).decode()
    assert line.count("\n") == 1
    assert json.loads(line) == message
    assert jsonlines.decode(line[:-1]) == message
    assert jsonlines.decode(json.dumps(message)) == message


@pytest.mark.parametrize("line", ["", "{", "[]", "1", "{} {}", "nonsense", '{"a":"\n"}'])
def test_what_is_no_message_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        jsonlines.decode(line)


@pytest.fixture
def without_the_c_half(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "_json":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    importlib.reload(jsonlines)
    yield
    monkeypatch.undo()
    importlib.reload(jsonlines)


@pytest.mark.usefixtures("without_the_c_half")
def test_json_does_the_work_where_the_c_half_is_missing():
    message = {"name": "é\n😀", "wait_ms": 5, "stream": True}
    assert jsonlines.decode(jsonlines.encode(message).decode()[:-1]) == message
    with pytest.raises(ValueError, match=r"."):
        jsonlines.decode("[]")
    with pytest.raises(ValueError, match=r"."):
        jsonlines.decode("nonsense")


@pytest.mark.parametrize(
    "environment",
    [
        {"SWIFT_SOCKET": "/run/x.sock"},
        {"SWIFT_SOCKET": "x.sock"},
        {"SWIFT_SOCKET": "", "XDG_RUNTIME_DIR": "/run/user/7"},
        {"XDG_RUNTIME_DIR": "/run/user/7"},
        {"XDG_RUNTIME_DIR": "relative", "TMPDIR": "/var/tmp"},
        {"TMPDIR": ""},
        {},
    ],
)
@pytest.mark.parametrize("logind", [True, False])
def test_client_and_daemon_agree_where_the_socket_is(environment, logind, monkeypatch):
    for name in ("SWIFT_SOCKET", "XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os.path, "isdir", lambda _: logind)
    monkeypatch.setattr(Path, "is_dir", lambda _: logind)
    monkeypatch.setattr(os, "access", lambda *_: logind)
    assert Path(wire.default_socket()) == paths.default_socket()


def test_client_and_daemon_speak_the_same_protocol():
    assert wire.PROTOCOL == protocol.PROTOCOL
