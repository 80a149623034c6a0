"""The wire as clients meet it: each request gets exactly one final frame, and nothing that one client does, be it
malformed, oversized, half sent or never read, reaches another or ends the daemon."""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest
from daemons import GUESTS, PATIENCE, Daemon, component, eventually

from swiftd import server

CONFIG = """
[plugins.spin]
deadline = "300ms"
[plugins.hang]
deadline = "5s"
trigger = "hang:"
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory, cache):
    """One daemon for all tests here: what one of them does to it, the next would notice."""
    daemon = Daemon(tmp_path_factory.mktemp("server"), cache)
    daemon.config.write_text(CONFIG)
    daemon.install(GUESTS / "echo.wat", "said")
    daemon.install(GUESTS / "spin.wat")
    daemon.install(GUESTS / "spin.wat", "hang")
    daemon.install(GUESTS / "unreachable.wat")
    daemon.install(component("x" * 4000, "big:", count=1000), "big")
    daemon.install(component("n\n" * 5, "ten:"), "ten")
    daemon.start()
    for name in ("said", "spin", "hang", "unreachable", "big", "ten"):
        assert daemon.client().settled(name)["state"] == "ready"
    yield daemon
    daemon.close()


@pytest.fixture
def client(running):
    """A connection of this test's own. After it, the same daemon must serve as before."""
    process = running.process
    yield running.client()
    for left in running._clients:
        with suppress(OSError):
            left.send(id="end", op="query", input="", plugins=[], supersede=True)
        left.close()
    running._clients.clear()
    assert process.poll() is None, running.said()
    after = running.client()
    assert after.names("echo:still here") == ["echo:still here"]
    assert "failed:" not in running.said()


def everything(connection):
    """All that comes until the end of a connection."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


def maps(data):
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return [part for part in unpacker if isinstance(part, dict)]


def exchange(client, data):
    """Send bytes and nothing more; every frame that comes back until the daemon closes."""
    with suppress(BrokenPipeError, ConnectionResetError):
        client.socket.sendall(data)
        client.socket.shutdown(socket.SHUT_WR)
    return maps(everything(client.socket))


def finals(frames):
    """How many final frames each request got."""
    return Counter(frame["id"] for frame in frames if frame["done"])


def packed(**message):
    return msgpack.packb(message) + b"\n"


# ---- what every request gets ------------------------------------------------------------------------------------


def test_hello_says_who_serves(client):
    answer = client.ask("hello", protocol=1)
    assert answer.items() >= {"type": "hello", "server": "swiftd", "protocol": 1, "done": True}.items()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", answer["version"])


@pytest.mark.parametrize("protocol", [0, 2, -1, 2**63])
def test_hello_refuses_a_protocol_that_it_can_t_speak(client, protocol):
    answer = client.ask("hello", protocol=protocol)
    assert (answer["type"], answer["code"], answer["done"]) == ("error", "unsupported-protocol", True)
    assert "1" in answer["message"]
    assert client.ask("hello", protocol=1)["type"] == "hello"


def test_each_request_of_many_kinds_gets_exactly_one_final_frame(client):
    requests = [
        {"op": "hello"},
        {"op": "hello", "protocol": 99},
        {"op": "query", "input": "echo:x"},
        {"op": "query", "input": "echo:x", "stream": True},
        {"op": "query", "input": "nobody claims this"},
        {"op": "query", "input": "nobody claims this", "stream": True},
        {"op": "query", "input": "spin:"},
        {"op": "query", "input": "spin:", "stream": True},
        {"op": "query", "input": "hang:", "deadline_ms": 50},
        {"op": "query", "input": "hang:", "deadline_ms": 0, "stream": True},
        {"op": "query", "input": "unreachable:"},
        {"op": "query", "input": "echo:x", "plugins": ["none"]},
        {"op": "query", "input": "echo:x", "plugins": []},
        {"op": "query", "input": "echo:x", "limit": 0},
        {"op": "query", "input": "echo:x", "limit": -1},
        {"op": "query", "input": "echo:x", "deadline_ms": -1},
        {"op": "query", "input": 5},
        {"op": "query"},
        {"op": "activate", "key": "never given"},
        {"op": "activate"},
        {"op": "cancel", "target": 12345},
        {"op": "cancel"},
        {"op": "plugins"},
        {"op": "stats"},
        {"op": "dance"},
        {},
    ]
    sent = b"".join(packed(id=number, **request) for number, request in enumerate(requests))
    found = exchange(client, sent)
    assert finals(found) == dict.fromkeys(range(len(requests)), 1)
    last = {frame["id"]: frame for frame in found}
    assert all(frame["done"] for frame in last.values())  # nothing comes after the final one


def test_the_ends_of_queries_are_all_final(client):
    """A time-out, a cancellation, a superseding and a trap, each followed by its one final frame."""
    client.send(id="timed out", op="query", input="spin:")
    assert client.frame()["errors"][0]["code"] == "timeout"
    client.send(id="cancelled", op="query", input="hang:")
    client.send(id="cancel", op="cancel", target="cancelled")
    first = [client.frame(), client.frame()]
    client.send(id="old", op="query", input="hang:")
    client.send(id="new", op="query", input="echo:new", supersede=True)
    client.send(id="trap", op="query", input="unreachable:")
    client.socket.shutdown(socket.SHUT_WR)
    frames = [*first, *client.frames()]
    found = {frame["id"]: frame for frame in frames}
    assert finals(frames) == {"cancelled": 1, "cancel": 1, "old": 1, "new": 1, "trap": 1}
    assert found["cancelled"]["status"] == found["old"]["status"] == "superseded"
    assert found["cancel"]["type"] == "ok"
    assert found["new"]["status"] == "complete"
    assert found["trap"]["errors"][0]["code"] == "trap"


def test_a_query_whose_worker_is_killed_gets_an_error_and_the_next_one_works(running, client):
    workers = running.idle_workers()  # and not those that come in their place
    client.send(id="victim", op="query", input="hang:")
    eventually(lambda: kill_the_busy(workers) or select.select([client.socket], [], [], 0)[0])
    answer = client.last("victim")
    assert (answer["items"], [error["code"] for error in answer["errors"]]) == ([], ["trap"])
    assert client.names("echo:next") == ["echo:next"]
    client.socket.shutdown(socket.SHUT_WR)
    assert list(client.frames()) == []


def kill_the_busy(workers):
    for pid in filter(is_busy, workers):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_busy(pid):
    """Whether a process runs right now, which a worker does as long as its guest does."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False


def test_answers_to_pipelined_requests_come_as_they_are_ready(client):
    client.send(id="slow", op="query", input="hang:", deadline_ms=300)
    client.send(id="fast", op="query", input="echo:fast")
    assert [client.frame()["id"], client.frame()["id"]] == ["fast", "slow"]


def test_many_requests_under_way_are_all_answered(client):
    sent = b"".join(packed(id=number, op="query", input=f"echo:{number}") for number in range(64))
    found = exchange(client, sent)
    assert finals(found) == dict.fromkeys(range(64), 1)
    assert {frame["id"]: frame["items"][0]["name"] for frame in found} == {n: f"echo:{n}" for n in range(64)}


def test_more_than_64_unfinished_requests_are_too_many(client):
    for number in range(64):
        client.send(id=number, op="query", input="hang:", deadline_ms=300)
    client.send(id="one more", op="stats")
    answer = client.frame()
    assert (answer["id"], answer["code"], answer["done"]) == ("one more", "busy", True)
    for _ in range(64):
        assert client.frame()["status"] == "partial"
    assert client.ask("stats", id="now")["type"] == "stats"


@pytest.mark.parametrize("end", [{"op": "cancel", "target": 0}, {"op": "query", "input": "echo:x", "supersede": True}])
def test_as_many_requests_as_there_may_be_can_still_be_ended(client, end):
    for number in range(64):
        client.send(id=number, op="query", input="hang:", deadline_ms=300)
    client.send(id="end", **end)
    assert client.last("end")["type"] in ("ok", "results")


def test_an_id_can_be_used_again_when_its_request_is_finished(client):
    for text in ("a", "b"):
        client.send(id=7, op="query", input=f"echo:{text}")
        assert client.last(7)["items"][0]["name"] == f"echo:{text}"


def test_an_id_can_t_be_used_by_two_unfinished_requests(client):
    client.send(id=7, op="query", input="hang:")
    client.send(id=7, op="stats")
    answer = client.frame()
    assert (answer["id"], answer["type"], answer["code"]) == (None, "error", "duplicate-id")
    assert "the id 7" in answer["message"]
    client.send(id=8, op="cancel", target=7)
    assert {client.frame()["id"], client.frame()["id"]} == {7, 8}


def test_an_integer_and_its_text_are_different_ids(client):
    client.send(id=7, op="query", input="hang:")
    client.send(id="7", op="query", input="echo:x")
    assert client.frame()["id"] == "7"


# ---- cancel and supersede ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["never", 99, "self"])
def test_cancelling_what_is_not_there_is_an_error(client, target):
    client.send(id="self", op="cancel", target=target)
    assert client.last("self")["code"] == "unknown-target"


def test_connections_do_not_share_ids(running, client):
    other = running.client()
    other.send(id=1, op="query", input="hang:")
    client.send(id=2, op="cancel", target=1)
    assert client.last(2)["code"] == "unknown-target"
    client.send(id=1, op="query", input="echo:x", supersede=True)
    assert client.last(1)["status"] == "complete"
    other.send(id=3, op="cancel", target=1)
    assert {other.frame()["id"], other.frame()["id"]} == {1, 3}


def test_superseding_ends_every_earlier_query_and_nothing_else(client):
    for number in range(3):
        client.send(id=number, op="query", input="hang:")
    client.send(id="new", op="query", input="echo:x", supersede=True)
    last = {(frame := client.frame())["id"]: frame for _ in range(4)}
    assert {number: last[number]["status"] for number in last} == {
        0: "superseded", 1: "superseded", 2: "superseded", "new": "complete",
    }  # fmt: skip


@pytest.mark.parametrize("keys", [50, 200])
def test_typing_fast_gives_one_complete_answer_at_the_end(client, keys):
    sent = (packed(id=number, op="query", input=f"echo:{number}", supersede=True) for number in range(keys))
    found = exchange(client, b"".join(sent))
    assert finals(found) == dict.fromkeys(range(keys), 1)
    last = {frame["id"]: frame for frame in found}
    assert {frame.get("status") for frame in found} <= {"complete", "superseded"}
    assert last[keys - 1]["items"][0]["name"] == f"echo:{keys - 1}"


# ---- bytes ------------------------------------------------------------------------------------------------------

BAD_FRAMES = {
    "a number": b"\x00",
    "an array": b"\x91\x01\n",
    "the unused byte": b"\x81\xc1\n",
    "no newline": b"\x81\xa2id\x01\x81",
    "a frame within": b"\x81\xa2id\x01 \n",
    "a huge map": b"\xdf\xff\xff\xff\xff",
    "a huge string": b"\x81\xa1x\xdb\xff\xff\xff\xff",
    "too long by one": b"\x81\xa1x\xdb" + (65536 - 7).to_bytes(4, "big") + b"x" * (65536 - 7) + b"\n",
    "much too long": b"\x81\xa1x" + b"\xdc\xff\xff" + b"\x0a" * (1 << 16),
    "a line too long": b'{"x":"' + b"x" * 65536,
    "half a map": b"\x83\xa2id\x01\xa2op",
    "half a string": b"\x81\xa1x\xda\x10\x00half",
    "half a length": b"\x81\xa1x\xdb\x00\x00",
    "no newline at the end": packed(id=1, op="stats")[:-1],
    "half a line": b'{"id":1,"op":"st',
    "text": b"hello\n",
    "no JSON": b"{id:1}\n",
    "no JSON after JSON": b'{"id":1,"op":"cancel"}\nnonsense\n',
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_after_a_malformed_frame_comes_one_error_and_with_nothing_more_the_end(client, data):
    with suppress(BrokenPipeError, ConnectionResetError):
        client.socket.sendall(data)
        client.socket.shutdown(socket.SHUT_WR)
    answer = everything(client.socket)
    frames = [json.loads(line) for line in answer.splitlines()] if data[:1] in (b"{", b"h") else maps(answer)
    bad = [frame for frame in frames if frame["id"] is None]
    assert [(frame["type"], frame["code"], frame["done"]) for frame in bad] == [("error", "bad-frame", True)]
    assert frames[-1] is bad[-1]
    assert len(bad[0]["message"]) > 10


@pytest.mark.parametrize("data", [b"\x81\xc1", b"\x91\n", packed(id=1, op="cancel") + b"{}"])
def test_bytes_that_are_no_frame_end_the_connection_while_the_client_still_sends(client, data):
    client.socket.sendall(data)
    answer = everything(client.socket)
    assert b"bad-frame" in answer
    assert b"can't be read any further" in answer


@pytest.mark.parametrize(
    ("data", "number", "code"),
    [
        (b"\x83\xa2id\x07\xa2op\xa5query\xa5input\xa2\xff\xfe\n", 7, "bad-"),
        (b"\x82\xa2id\xa1\xff\xa2op\xa5stats\n", None, "bad-"),
        (b"\x84\xa2id\x07\xa2op\xa5query\xa5input\xa1x\xa1y\xc7\x01\x05\x0a\n", 7, None),
        (b"\x81\xa1x\xdb" + (1 << 17).to_bytes(4, "big") + b"\x0a" * (1 << 17) + b"\n", None, "bad-frame"),
        (b"\x81\xa1x" + b"\x91" * 70_000 + b"\x01\n", None, "bad-frame"),
    ],
    ids=["input", "id", "an extension", "too long", "too deep and too long"],
)
def test_a_map_that_can_not_be_used_costs_one_error_and_the_next_is_read(client, data, number, code):
    client.socket.sendall(data + packed(id="after", op="hello"))
    first, second = client.frame(), client.frame()
    if first["id"] == "after":
        first, second = second, first
    assert (first["id"], first["done"]) == (number, True)
    assert code is None or first["code"].startswith(code)
    assert (second["id"], second["type"]) == ("after", "hello")


LINES = [
    (rb'{"id":1,"op":"query","input":"\ud83d"}', 1, "bad-frame"),
    (rb'{"id":"\udc00x","op":"stats"}', None, "bad-frame"),
    (rb'"\ud83d"', None, "bad-frame"),
    (b'{"id":1,"op":"query","input":"\xff"}', 1, "bad-"),
    (b"hello", None, "bad-frame"),
    (b"[1]", None, "bad-request"),
    (b"1", None, "bad-request"),
    (b"null", None, "bad-request"),
    (b"{}", None, "bad-request"),
    (b'{"id":1}', 1, "bad-request"),
    (b'{"id":true,"op":"stats"}', None, "bad-request"),
    (b'{"id":1,"op":"stats"', None, "bad-frame"),
    (b'{"id":1,"op":"stats"}{"id":2,"op":"stats"}', None, "bad-frame"),
    (b'{"id":1,"op":"stats",}', None, "bad-frame"),
    (b'{"id":1,"op":"query","input":NaN}', 1, "bad-frame"),
    (b'{"id":1,"op":"query","input":"a\tb"}', None, "bad-frame"),
    (b'{"id":1,"op":"dance"}', 1, "unknown-op"),
    (b'{"id":1,"op":"stats","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", None, "bad-request"),
    (b'{"id":1,"op":"query","input":"' + b"x" * 70_000 + b'"}', None, "bad-frame"),
    (b"\x80\x81\xc1\xff", None, "bad-"),
]


@pytest.mark.parametrize(("line", "number", "code"), LINES, ids=range(len(LINES)))
def test_a_line_that_is_no_request_costs_an_error_for_itself_alone(client, line, number, code):
    lines = client.socket.makefile("rb")
    client.socket.sendall(b'{"id":"a","op":"hello"}\n\n \r\n' + line + b'\n\n{"id":"b","op":"hello"}\r\n')
    frames = [json.loads(lines.readline()) for _ in range(3)]
    (bad,) = [frame for frame in frames if frame["id"] not in ("a", "b")]
    assert (bad["id"], bad["type"], bad["done"]) == (number, "error", True)
    assert bad["code"].startswith(code)
    assert finals(frames) == {"a": 1, "b": 1, number: 1}
    client.socket.shutdown(socket.SHUT_WR)
    assert lines.read() == b""


def test_the_last_line_may_lack_its_end(client):
    client.socket.sendall(b'{"id":1,"op":"hello"}')
    client.socket.shutdown(socket.SHUT_WR)
    assert json.loads(everything(client.socket))["id"] == 1


def test_http_is_answered_in_lines_and_not_understood(client):
    client.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert [json.loads(line)["code"] for line in everything(client.socket).splitlines()] == ["bad-frame"] * 2


@pytest.mark.parametrize("second", [{"op": "stats"}, {"op": "dance"}, {"op": "query"}, {}])
def test_no_id_gets_two_final_frames_though_two_unfinished_requests_have_it(client, second):
    client.send(id=7, op="query", input="hang:")
    client.send(id=7, **second)
    answer = client.frame()
    assert (answer["id"], answer["type"], answer["done"]) == (None, "error", True)
    client.send(id=8, op="cancel", target=7)
    assert finals([client.frame(), client.frame()]) == {7: 1, 8: 1}


def test_what_came_before_a_malformed_frame_was_a_request(client):
    found = exchange(client, packed(id=1, op="cancel", target=5) + packed(id=2, op="dance") + b"\xc1")
    assert [(frame["id"], frame["code"]) for frame in found if frame["id"] != 1] == [
        (2, "unknown-op"),
        (None, "bad-frame"),
    ]


@pytest.mark.parametrize(
    ("data", "number", "code"),
    [
        (packed(id=3, op="dance"), 3, "unknown-op"),
        (packed(id=3, op=""), 3, "unknown-op"),
        (packed(id=3, op="x" * 1000), 3, "unknown-op"),
        (packed(id=3, op=None), 3, "bad-request"),
        (packed(id=3), 3, "bad-request"),
        (packed(op="stats"), None, "bad-request"),
        (packed(), None, "bad-request"),
        (packed(id=None, op="stats"), None, "bad-request"),
        (packed(id=1.5, op="stats"), None, "bad-request"),
        (packed(id=[1], op="stats"), None, "bad-request"),
        (packed(id=3, op="query"), 3, "bad-request"),
        (packed(id=3, op="query", input=b"bytes"), 3, "bad-request"),
        (packed(id=3, op="query", input="x", limit="all"), 3, "bad-request"),
        (packed(id=3, op="query", input="x", plugins={"a": 1}), 3, "bad-request"),
        (packed(id=3, op="query", input="x", plugins=["p"] * 1001), 3, "bad-request"),
        (packed(id=3, op="activate", key=None), 3, "bad-request"),
        (b"\x82\xa2id\x03\x01\x02\n", None, "bad-request"),
        (b"\x81\xa1x" + b"\x91" * 60_000 + b"\x01\n", None, "bad-request"),
        (b"\x81\xa1x" + b"\x81\x01" * 30_000 + b"\x01\n", None, "bad-request"),
    ],
)
def test_what_is_no_request_is_blamed_and_the_connection_goes_on(client, data, number, code):
    client.socket.sendall(data)
    answer = client.frame()
    assert (answer["type"], answer["id"], answer["code"], answer["done"]) == ("error", number, code, True)
    assert client.ask("stats", id="after")["type"] == "stats"


@pytest.mark.parametrize("op", [5, ["query"], {"a": 1}, b"query"])
def test_a_request_whose_op_is_no_text_still_gets_its_final_frame(client, op):
    client.send(id=3, op=op)
    assert client.frame()["id"] == 3


@pytest.mark.parametrize(
    "data",
    [
        b"\x83\xa2id\x01\xa2op\xa5query\xa5input\xa2\xff\xfe\n",
        b"\x82\xa2id\xa1\xff\xa2op\xa5stats\n",
        b'{"id":1,"op":"query","input":"\xff"}\n',
    ],
    ids=["input", "id", "JSON"],
)
def test_text_that_is_no_utf8_is_refused(daemon, data):
    client = daemon.client()
    client.socket.sendall(data)
    with suppress(ConnectionResetError):
        assert b"bad-" in client.socket.recv(1 << 16)
    assert daemon.client().ask("stats")["type"] == "stats"


@pytest.mark.parametrize("line", [rb'{"id":1,"op":"query","input":"\ud800"}', rb'{"id":"\udc00x","op":"stats"}'])
def test_half_a_surrogate_pair_is_refused(client, line):
    client.socket.sendall(line + b"\n")
    assert b"bad-" in client.socket.recv(1 << 16)


@pytest.mark.parametrize("field", ["deadline_ms", "wait_ms"])
def test_absurd_times_are_no_failure_of_the_daemon_s(daemon, field):
    client = daemon.client()
    line = b'{"id":1,"op":"query","input":"unclaimed","%s":%s}\n' % (field.encode(), b"9" * 400)
    client.socket.sendall(line)
    assert json.loads(client.socket.recv(1 << 16)).get("code") in (None, "bad-request")


def test_a_frame_split_at_every_byte_is_one_request(client):
    data = packed(id=10, op="query", input="echo:\n" + "x" * 10)
    for cut in range(1, len(data)):
        client.socket.sendall(data[:cut])
        client.socket.sendall(data[cut:])
        assert client.last(10)["items"][0]["name"] == "echo:\n" + "x" * 10


def test_dribbled_bytes_are_one_request_and_hold_up_nobody(running, client):
    other = running.client()
    for byte in packed(id=10, op="query", input="echo:\n\n"):
        client.socket.sendall(bytes([byte]))
        assert other.names("echo:x") == ["echo:x"]
    assert client.last(10)["items"][0]["name"] == "echo:\n\n"


def test_answers_hold_newlines_as_data(client):
    for number in range(20):
        client.send(id=number, op="query", input="ten:")
        assert client.last(number)["items"][0]["name"] == "n\n" * 5


@pytest.mark.parametrize(
    "text",
    ["", "a\nb", "\0", "a\0b\0", "\r\n", "é😀👩‍👩‍👧", "\u202e\u2028\ufeff", "\x7f\x1b[31m", "x" * 4091, "é" * 2045],
)
@pytest.mark.parametrize("json_lines", [False, True])
def test_input_comes_through_unchanged(client, text, json_lines):
    if json_lines:
        client.socket.sendall(json.dumps({"id": 1, "op": "query", "input": f"echo:{text}"}).encode() + b"\n")
        answer = json.loads(client.socket.makefile("rb").readline())
    else:
        answer = client.query(f"echo:{text}")
    assert [item["name"] for item in answer["items"]] == [f"echo:{text}"]
    assert answer["errors"] == []


@pytest.mark.parametrize("text", ["x" * 4092, "é" * 2046, "x" * 65000])
def test_longer_input_is_refused(client, text):
    answer = client.query(f"echo:{text}")
    assert (answer["type"], answer["code"], answer["done"]) == ("error", "input-too-long", True)
    assert "4096" in answer["message"]


# ---- JSON lines -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")
def test_a_line_of_json_through_nc(running, client):
    client.settled("echo")
    done = subprocess.run(
        ["sh", "-c", r"""printf '{"id":1,"op":"query","input":">hi"}\n' | nc -NU "$0" """, running.socket],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    (line,) = done.stdout.splitlines()
    answer = json.loads(line)
    assert (answer["id"], answer["type"], answer["done"]) == (1, "results", True)
    assert [item["name"] for item in answer["items"]] == ["You typed: hi"]


def test_a_connection_that_speaks_json_is_answered_in_json(client):
    lines = client.socket.makefile("rb")
    for number in (1, "\n", 2**70):
        client.socket.sendall(json.dumps({"id": number, "op": "query", "input": "echo:a\nb"}).encode() + b"\n")
        answer = json.loads(lines.readline())
        assert answer["id"] == number
        assert answer["items"][0]["name"] == "echo:a\nb"


def test_a_bad_request_in_json_is_blamed_in_json(client):
    lines = client.socket.makefile("rb")
    for request, number, code in (
        ({"id": 1, "op": "dance"}, 1, "unknown-op"),
        ({"id": "a"}, "a", "bad-request"),
        ({}, None, "bad-request"),
    ):
        client.socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(lines.readline())
        assert (answer["id"], answer["code"], answer["done"]) == (number, code, True)


def test_deeply_nested_json_is_refused(client):
    client.socket.sendall(b'{"id":1,"op":"stats","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}\n")
    assert b"bad-" in client.socket.recv(1 << 16)


# ---- clients that vanish, and clients that do not read ----------------------------------------------------------


def test_a_client_that_closes_its_sending_half_gets_its_answers(client):
    assert [
        f["id"]
        for f in exchange(client, packed(id=1, op="query", input="hang:", deadline_ms=300) + packed(id=2, op="stats"))
    ] == [
        2,
        1,
    ]


def test_clients_that_vanish_leave_nothing_behind(running, client):
    for text in ("spin:", "hang:", "big:", "echo:x"):
        for _ in range(5):
            gone = socket.socket(socket.AF_UNIX)
            gone.connect(str(running.socket))
            gone.sendall(packed(id=1, op="query", input=text, deadline_ms=200))
            gone.close()
    assert client.names("echo:x") == ["echo:x"]
    eventually(lambda: client.ask("stats")["sessions"] <= len(running._clients), patience=5)


def test_what_a_client_asked_ends_when_it_is_gone(running, client):
    workers = running.idle_workers()
    killed = client.ask("stats")["workers_killed"]
    gone = running.client()
    gone.send(op="query", input="hang:")
    eventually(lambda: any(map(is_busy, workers)))
    gone.close()
    eventually(lambda: client.ask("stats")["workers_killed"] > killed, patience=3.0)  # its deadline is later


def test_a_client_that_never_reads_holds_up_nobody(running, client):
    deaf = running.client()
    for _ in range(64):
        deaf.send(op="query", input="big:", deadline_ms=500)
    for number in range(20):
        assert client.names(f"echo:{number}") == [f"echo:{number}"]


def test_a_client_that_never_reads_costs_little_memory(idle_daemon):
    idle_daemon.install(component("x" * 4000, "big:", count=1000), "big")
    client = idle_daemon.start().client()
    assert len(client.query("big:", plugins=["big"])["items"]) == 1000
    before = resident(idle_daemon.process.pid)
    deaf = idle_daemon.client()
    for _ in range(64):
        deaf.send(op="query", input="big:")
    most = 0
    for _ in range(50):  # a look now and then: all that is going to be held for it is held by then
        assert client.names(">x") == ["You typed: x"]
        time.sleep(0.02)
        most = max(most, resident(idle_daemon.process.pid))
    assert most - before < 150 << 20


def resident(pid):
    """Bytes of memory that a process holds."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


@pytest.fixture
def crowd(daemon):
    """Opens connections to a daemon of its own, each with what it is to send."""
    several = []

    def come(count, data=b""):
        for _ in range(count):
            connection = socket.socket(socket.AF_UNIX)
            several.append(connection)
            connection.settimeout(PATIENCE)
            connection.connect(str(daemon.socket))
            connection.sendall(data)
        return several[-count:]

    yield come
    for connection in several:
        connection.close()


@pytest.mark.parametrize("data", [b"", b"\x83\xa2id\x01", b'{"id":1,"op":"st', packed(id=1, op="hello")])
def test_of_too_many_connections_those_idle_for_the_longest_give_way(daemon, crowd, data):
    client = daemon.client()
    watch = client.send(op="watch")
    first, *_ = crowd(server.MOST_SESSIONS + 50, data)
    everything(first)  # returns: it was closed
    (newcomer,) = crowd(1, packed(id=1, op="query", input=">x"))
    assert b"You typed: x" in newcomer.recv(1 << 16)
    assert client.ask("cancel", target=watch)["type"] == "ok"
    assert client.ask("stats")["sessions"] <= server.MOST_SESSIONS
    assert len(re.findall("idle for the longest", daemon.said())) == 1


def test_where_no_connection_is_idle_a_newcomer_is_told_so_in_its_own_encoding(daemon, crowd):
    client = daemon.client()
    watch = client.send(op="watch")
    client.ask("hello")  # or it could be idle still
    watching = crowd(server.MOST_SESSIONS - 1, packed(id=1, op="watch") + packed(id=2, op="hello"))
    for connection in watching:
        assert connection.recv(1 << 16)
    told = {}
    for kind, data in {"map": packed(id=1, op="stats"), "line": b'{"id":1,"op":"stats"}\n', "silence": b""}.items():
        (newcomer,) = crowd(1, data)
        told[kind] = everything(newcomer)
    (answer,) = maps(told["map"])
    assert (answer["id"], answer["code"], answer["done"]) == (None, "busy", True)
    assert [json.loads(told[kind])["code"] for kind in ("line", "silence")] == ["busy"] * 2
    assert client.ask("cancel", target=watch)["type"] == "ok"
    watching[0].close()
    eventually(lambda: b"results" in everything_now(crowd, packed(id=1, op="query", input=">x")))
    assert len(re.findall("turned away", daemon.said())) == 1


def everything_now(crowd, data):
    """What a newcomer is answered first."""
    (newcomer,) = crowd(1, data)
    return newcomer.recv(1 << 16)


@pytest.mark.parametrize("request_", [{"op": "cancel", "target": "none"}, {"op": "hello"}, {"op": "dance"}, {}])
def test_a_flood_that_is_never_read_is_not_read_either(running, client, request_):
    """So it costs nobody anything: there is no task, no memory and no time-out for each."""
    deaf = running.client().socket
    deaf.setblocking(False)
    data = b"".join(packed(id=number, **request_) for number in range(1000))
    sent = 0
    with suppress(BlockingIOError):
        for _ in range(1000):
            sent += deaf.send(data)
            assert client.names("echo:x") == ["echo:x"]
    assert sent < 4 << 20


def test_junk_of_many_kinds_ends_nothing_but_its_connection(running, client):
    """What no test above has thought of. Invalid UTF-8 is left out: it has a test of its own."""
    chance = random.Random(5)
    good = [packed(id=1, op="query", input="echo:x"), packed(id=2, op="plugins"), b'{"id":3,"op":"stats"}\n']
    for _ in range(150):
        data = bytearray(chance.choice(good) * chance.randint(1, 3))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(128)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(running.socket))
        with connection, suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data[: chance.randint(1, len(data))])
            connection.shutdown(socket.SHUT_WR)
            everything(connection)
    assert client.names("echo:x") == ["echo:x"]


# ---- other users ------------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    s.sendall(b'{"id":1,"op":"stats"}\\n')
    print(s.recv(1000))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a moment")
def test_another_user_is_not_answered_even_where_the_socket_can_be_reached(running, client):
    folders = [running._run, running.socket.parent]
    for folder in folders:
        folder.chmod(0o755)
    running.socket.chmod(0o666)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, running.socket], capture_output=True, timeout=PATIENCE, check=False
        )
    finally:
        for folder in folders:
            folder.chmod(0o700)
        running.socket.chmod(0o600)
    assert (done.returncode, done.stdout) == (0, b"b''\n"), done.stderr
    assert "another user" in running.said()


def test_nobody_else_can_reach_the_socket(running, client):
    assert running.socket.stat().st_mode & 0o777 == 0o600
    assert running.socket.parent.stat().st_mode & 0o777 == 0o700
