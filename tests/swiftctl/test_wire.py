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
from socket_places import KINDS, SOMEBODY, name_place

from swiftctl import DaemonError, NoDaemonError, jsonlines, wire
from swiftd import paths, protocol

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have folders of another user")

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


@pytest.mark.parametrize("chosen", ["/run/x.sock", "x.sock"])
def test_client_and_daemon_agree_on_a_chosen_socket(monkeypatch, chosen):
    monkeypatch.setenv("SWIFT_SOCKET", chosen)
    assert Path(wire.default_socket()) == paths.default_socket()


@pytest.mark.parametrize("runtime", KINDS)
@pytest.mark.parametrize("logind", [False, True])
def test_client_and_daemon_agree_where_the_socket_is(tmp_path, monkeypatch, runtime, logind):
    uid = os.geteuid()
    monkeypatch.setenv("SWIFT_SOCKET", "")
    if logind:
        (tmp_path / "logind" / str(uid)).mkdir(parents=True)
        monkeypatch.setattr(wire, "LOGIND", str(tmp_path / "logind"))
        monkeypatch.setattr(paths, "LOGIND", str(tmp_path / "logind"))
    (tmp_path / "run").mkdir()
    name_place(monkeypatch, "XDG_RUNTIME_DIR", runtime, tmp_path / "run", "swift")
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        name_place(monkeypatch, "TMPDIR", kind, tmp_path / kind, f"swift-{uid}")
        assert Path(wire.default_socket()) == paths.default_socket(), kind


def test_in_the_plain_case_it_is_found_by_two_calls_of_the_kernel(tmp_path, monkeypatch):
    monkeypatch.delenv("SWIFT_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "swift").mkdir()
    asked = []
    for call in ("stat", "lstat", "access", "readlink", "getcwd"):
        real = getattr(os, call)
        monkeypatch.setattr(os, call, lambda *words, real=real, call=call: asked.append(call) or real(*words))
    assert wire.default_socket() == f"{tmp_path}/swift/swiftd.sock"
    assert asked == ["stat", "lstat"]


@needs_root
def test_where_only_somebody_else_may_listen_nobody_is_asked(tmp_path, monkeypatch):
    """Who is first to make a folder in /tmp would be sent what is typed, and say what is run."""
    monkeypatch.delenv("SWIFT_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    monkeypatch.setattr(wire, "LOGIND", str(tmp_path))
    taken = Path("/tmp", f"swift-{os.getpid()}")
    monkeypatch.setattr(os, "geteuid", os.getpid)
    monkeypatch.delenv("TMPDIR", raising=False)
    taken.mkdir()
    try:
        with pytest.raises(NoDaemonError, match="belongs to somebody else"):
            wire.default_socket()
    finally:
        taken.rmdir()


def test_client_and_daemon_speak_the_same_protocol():
    assert wire.PROTOCOL == protocol.PROTOCOL
