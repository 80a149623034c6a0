"""The messages of the wire: what may be left out, what may be added, what is wrong."""

from __future__ import annotations

import json
from typing import get_args

import msgpack
import msgspec
import pytest

from swiftd.framing import Encoding
from swiftd.protocol import (
    Activate,
    Answer,
    AnyRequest,
    Cancel,
    Error,
    Hello,
    Item,
    Ok,
    PluginError,
    Plugins,
    Query,
    Results,
    Stats,
)

WRITERS = {Encoding.MSGPACK: msgpack.packb, Encoding.JSON: lambda message: json.dumps(message).encode()}


@pytest.fixture(params=Encoding)
def read(request):
    """Reads a request that was written by a library of another's."""
    return lambda **message: request.param.decode_request(WRITERS[request.param](message))


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        ({"op": "hello"}, Hello(id=1)),
        ({"op": "hello", "protocol": 7}, Hello(id=1, protocol=7)),
        ({"op": "query", "input": ""}, Query(id=1, input="")),
        (
            {"op": "query", "input": "x", "limit": 3, "plugins": ["a"], "deadline_ms": 5, "stream": True}
            | {"supersede": True, "wait_ms": 9},
            Query(id=1, input="x", limit=3, plugins=["a"], deadline_ms=5, stream=True, supersede=True, wait_ms=9),
        ),
        (
            {"op": "query", "input": "x", "limit": None, "plugins": None, "deadline_ms": None},
            Query(id=1, input="x"),
        ),
        ({"op": "cancel", "target": "a"}, Cancel(id=1, target="a")),
        ({"op": "activate", "key": "k"}, Activate(id=1, key="k")),
        ({"op": "plugins"}, Plugins(id=1)),
        ({"op": "stats"}, Stats(id=1)),
    ],
)
def test_every_request_is_read(read, message, request_):
    assert read(id=1, **message) == request_


@pytest.mark.parametrize("number", [0, 10, -1, 2**63, "", "\n", "é\0", "x" * 1000])
def test_an_id_is_an_integer_or_a_text(read, number):
    assert read(id=number, op="stats").id == number


@pytest.mark.parametrize("number", [None, 1.5, [1], {"a": 1}, True])
def test_nothing_else_is_an_id(read, number):
    with pytest.raises(msgspec.ValidationError):
        read(id=number, op="stats")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"op": "stats"},
        {"id": 1},
        {"id": 1, "op": "dance"},
        {"id": 1, "op": None},
        {"id": 1, "op": 5},
        {"id": 1, "op": "query"},
        {"id": 1, "op": "query", "input": None},
        {"id": 1, "op": "query", "input": 5},
        {"id": 1, "op": "query", "input": "x", "limit": "3"},
        {"id": 1, "op": "query", "input": "x", "limit": 3.5},
        {"id": 1, "op": "query", "input": "x", "plugins": "echo"},
        {"id": 1, "op": "query", "input": "x", "plugins": [1]},
        {"id": 1, "op": "query", "input": "x", "stream": 1},
        {"id": 1, "op": "cancel"},
        {"id": 1, "op": "cancel", "target": None},
        {"id": 1, "op": "activate"},
        {"id": 1, "op": "hello", "protocol": "1"},
    ],
)
def test_what_is_no_request_is_refused(read, message):
    with pytest.raises(msgspec.ValidationError):
        read(**message)


def test_every_answer_says_what_it_is_and_whether_it_is_the_last():
    for kind in Answer.__subclasses__():
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        assert fields["done"].default is True
        assert kind.__struct_config__.tag_field == "type"


def test_ops_and_types_are_distinct():
    for kinds in (get_args(AnyRequest), Answer.__subclasses__()):
        tags = [kind.__struct_config__.tag for kind in kinds]
        assert len(set(tags)) == len(tags)


def test_answers_look_as_the_design_says():
    item = Item(key="k", plugin="p", name="n", exec="e", keywords="w")
    trouble = PluginError("p", "timeout", "m")
    results = {
        "type": "results",
        "id": 1,
        "done": True,
        "items": [{"key": "k", "plugin": "p", "name": "n", "exec": "e", "keywords": "w"}],
        "errors": [{"plugin": "p", "code": "timeout", "message": "m"}],
        "status": "partial",
    }
    error = {"type": "error", "id": None, "done": True, "code": "bad-frame", "message": "m"}
    for answer, plain in (
        (Results(id=1, items=[item], errors=[trouble], status="partial"), results),
        (Error(id=None, code="bad-frame", message="m"), error),
        (Ok(id="a"), {"type": "ok", "id": "a", "done": True}),
    ):
        assert msgpack.unpackb(Encoding.MSGPACK.encode(answer)[:-1]) == plain
        assert json.loads(Encoding.JSON.encode(answer)) == plain
