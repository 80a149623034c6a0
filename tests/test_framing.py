"""Frames out of bytes: whatever they hold, however they are cut, and at what size it ends."""

from __future__ import annotations

import json
import random

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swiftd.framing import MAX_REQUEST, BadFrameError, Encoding, FrameReader, LostFrameError
from swiftd.protocol import Hello, Query, Stats

AWKWARD = [
    {},
    {"id": 10, "op": "hello"},
    {"id": 10, "10": 10, "ten": [10] * 10},
    {"id": "\n", "op": "query", "input": "a\nb\n"},
    {"id": 1, "op": "query", "input": "x" * 10},
    {"id": 1, "op": "query", "input": "\n" * 10},
    {"id": 1, "op": "query", "input": "é😀\0"},
    {"f": 10.0, "g": 1.2345e-10, "h": 3.9999999999999996e-05},
    {"bytes": b"\n" * 10, "more": b"\n" * 300},
    {"list": [[[[[{}]]]]], "map": {"a": {"b": {"c": [{"d": None}]}}}},
    {"ext": msgpack.ExtType(10, b"\n" * 10), "time": msgpack.Timestamp(10, 10)},
    {"true": True, "false": False, "none": None},
    {"n": [2570, -10, -246, 168430090, -168430090, 723401728380766730, -723401728380766730]},
    {str(n): n for n in range(20)},
    {"long": "\n" * 70, "longer": "\n" * 300, "longest": "\n" * 2570},
    {"list": [10] * 2570},
    {10: 10, (10, 10): {10: [10]}},
]


def frames_of(reader):
    return list(iter(reader.next_frame, None))


def packed(message):
    return msgpack.packb(message) + b"\n"


def unpacked(frame):
    return msgpack.unpackb(frame, strict_map_key=False, use_list=False)


@pytest.mark.parametrize("message", AWKWARD, ids=range(len(AWKWARD)))
def test_a_frame_is_found_wherever_it_is_split(message):
    data = packed(message)
    for cut in [*range(min(len(data), 300)), *range(max(0, len(data) - 300), len(data) + 1)]:
        reader = FrameReader()
        reader.feed(data[:cut])
        early = frames_of(reader)
        reader.feed(data[cut:])
        assert early + frames_of(reader) == [data[:-1]]
        assert reader.last_frame() is None


@pytest.mark.parametrize("message", AWKWARD, ids=range(len(AWKWARD)))
def test_a_frame_may_come_byte_by_byte(message):
    data = packed(message)
    reader = FrameReader()
    for position in range(len(data) - 1):
        reader.feed(data[position : position + 1])
        assert reader.next_frame() is None
        with pytest.raises(BadFrameError, match="in the middle"):
            reader.last_frame()
    reader.feed(data[-1:])
    assert frames_of(reader) == [data[:-1]]


@pytest.mark.parametrize("number", [*range(20), 127, 128, 255, 256, 2570, 65535, 65536, 2**32, 2**63])
@pytest.mark.parametrize("encoding", Encoding)
def test_requests_of_every_id_are_read_back(encoding, number):
    data = encoding.encode(Query(id=number, input="a\nb"))
    reader = FrameReader()
    reader.feed(data)
    (frame,) = frames_of(reader)
    assert reader.encoding is encoding
    assert encoding.decode_request(frame) == Query(id=number, input="a\nb")


def test_several_frames_in_one_piece_come_out_one_by_one():
    reader = FrameReader()
    reader.feed(b"".join(map(packed, AWKWARD)) * 3)
    assert [unpacked(frame) for frame in frames_of(reader)] == [unpacked(packed(m)[:-1]) for m in AWKWARD] * 3
    assert reader.last_frame() is None


def test_every_way_to_write_a_map_is_read():
    wide = [
        b"\x81\xa1a\x0a",
        b"\xde\x00\x01\xa1a\x0a",
        b"\xdf\x00\x00\x00\x01\xd9\x01a\x0a",
        b"\x81\xda\x00\x01a\xdc\x00\x01\x0a",
        b"\x81\xdb\x00\x00\x00\x01a\xdd\x00\x00\x00\x01\x0a",
        b"\x81\xa1a\xc4\x01\x0a",
        b"\x81\xa1a\xc5\x00\x01\x0a",
        b"\x81\xa1a\xc6\x00\x00\x00\x01\x0a",
        b"\x81\xa1a\xc7\x01\x05\x0a",
        b"\x81\xa1a\xc8\x00\x01\x05\x0a",
        b"\x81\xa1a\xc9\x00\x00\x00\x01\x05\x0a",
        *(b"\x81\xa1a" + bytes([first]) + b"\x05" + b"\x0a" * 2**n for n, first in enumerate(range(0xD4, 0xD9))),
        *(b"\x81\xa1a" + bytes([first]) + b"\x0a" * 2**n for n, first in enumerate(range(0xCC, 0xD0))),
        *(b"\x81\xa1a" + bytes([first]) + b"\x0a" * 2**n for n, first in enumerate(range(0xD0, 0xD4))),
        b"\x81\xa1a\xca" + b"\x0a" * 4,
        b"\x81\xa1a\xcb" + b"\x0a" * 8,
    ]
    for frame in wide:
        reader = FrameReader()
        for byte in frame + b"\n":
            reader.feed(bytes([byte]))
            found = reader.next_frame()
        assert found == frame


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.sampled_from([10, "\n" * 10, b"\n" * 10])
    | st.binary(max_size=300)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner), max_leaves=15
)
maps = st.dictionaries(st.text(max_size=12), values, max_size=20)


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(messages=st.lists(maps, min_size=1, max_size=4), seed=st.integers(0, 2**32), largest=st.integers(1, 400))
def test_what_a_msgpack_library_writes_is_cut_where_it_ends(messages, seed, largest):
    data = b"".join(map(packed, messages))
    chance = random.Random(seed)
    reader = FrameReader()
    found = []
    while data:
        size = chance.randint(1, largest)
        reader.feed(data[:size])
        data = data[size:]
        found += frames_of(reader)
    assert [msgpack.unpackb(frame) for frame in found] == messages
    assert reader.last_frame() is None


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(messages=st.lists(maps, max_size=4))
def test_a_streaming_unpacker_reads_what_the_daemon_writes_as_map_and_10(messages):
    unpacker = msgpack.Unpacker()
    unpacker.feed(b"".join(map(Encoding.MSGPACK.encode, messages)))
    assert list(unpacker) == [part for message in messages for part in (message, 10)]


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_bytes_give_frames_or_a_bad_frame_the_same_however_they_are_cut(data, cut):
    assert outcome(data) == outcome(data[:cut], data[cut:]) == outcome(*(bytes([byte]) for byte in data))


def outcome(*pieces):
    """The frames of these pieces, None for those that are lost, and whether the rest is bad, incomplete or nothing."""
    reader = FrameReader(limit=100)
    found = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while True:
                try:
                    if (frame := reader.next_frame()) is None:
                        break
                    found.append(frame)
                except LostFrameError:
                    found.append(None)
    except BadFrameError:
        return found, "bad"
    try:
        return found, reader.last_frame()
    except BadFrameError:
        return found, "incomplete"


# ---- sizes ------------------------------------------------------------------------------------------------------


def frame_of_size(size):
    """A map of exactly so many bytes."""
    return b"\x81\xa1x\xdb" + (size - 8).to_bytes(4, "big") + b"\n" * (size - 8)


@pytest.mark.parametrize("piece", [1000, 1 << 20])
def test_a_frame_of_exactly_the_limit_passes(piece):
    reader = FrameReader()
    data = frame_of_size(MAX_REQUEST) + b"\n"
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
    assert reader.next_frame() == data[:-1]


def read_all(data, piece, reader=None):
    """The frames of what comes in such pieces, None for those that are lost; and the most that was held."""
    reader = reader or FrameReader()
    found, held = [], 0
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while True:
            try:
                if (frame := reader.next_frame()) is None:
                    break
                found.append(frame)
            except LostFrameError:
                found.append(None)
        held = max(held, len(reader._buffer))
    assert reader.last_frame() is None
    return found, held


@pytest.mark.parametrize("piece", [1000, 1 << 16])
@pytest.mark.parametrize("size", [MAX_REQUEST + 1, MAX_REQUEST + 1000, 10 * MAX_REQUEST])
def test_a_longer_frame_is_lost_and_the_next_one_read(piece, size):
    after = packed({"id": 10})
    found, held = read_all(frame_of_size(size) + b"\n" + after * 2, piece)
    assert found == [None, after[:-1], after[:-1]]
    assert held <= MAX_REQUEST + piece


@pytest.mark.parametrize("piece", [1, 1000, 1 << 16])
def test_a_frame_of_too_many_parts_is_lost_and_the_next_one_read(piece):
    data = b"\x81\xa1x" + b"\xdc\xff\xff" + b"\x92\x0a\xa2\n\n" * 0xFFFF + b"\n" + packed({"id": 10})
    assert read_all(data, piece)[0] == [None, packed({"id": 10})[:-1]]


def test_what_follows_a_lost_frame_must_be_its_end():
    reader = FrameReader()
    reader.feed(frame_of_size(MAX_REQUEST + 1) + b" ")
    with pytest.raises(LostFrameError):
        reader.next_frame()
    with pytest.raises(BadFrameError, match="0x20"):
        reader.next_frame()


@pytest.mark.parametrize("size", [MAX_REQUEST, MAX_REQUEST + 1])
def test_the_limit_is_the_same_for_a_line_of_json(size):
    line = b'{"x":"' + b"x" * (size - 8) + b'"}'
    assert len(line) == size
    for whole in (True, False):
        reader = FrameReader()
        reader.feed(line + b"\n" * whole)
        if size > MAX_REQUEST:
            with pytest.raises(LostFrameError, match="at most 65536 bytes"):
                reader.next_frame()
            assert reader.next_frame() is reader.last_frame() is None
        else:
            assert reader.next_frame() == (line if whole else None)


@pytest.mark.parametrize("piece", [1000, 1 << 16])
@pytest.mark.parametrize("size", [MAX_REQUEST + 1, MAX_REQUEST + 1000, 10 * MAX_REQUEST])
def test_a_line_that_is_too_long_is_lost_and_the_next_one_read(piece, size):
    found, held = read_all(b'{"id":1}\n' + b"x" * size + b'\n{"id":2}\n' + b"y" * size + b'\n\n{"id":3}\n', piece)
    assert found == [b'{"id":1}', None, b'{"id":2}', None, b'{"id":3}']
    assert held <= MAX_REQUEST + piece


def test_frames_that_wait_in_a_large_piece_do_not_count_together():
    reader = FrameReader()
    reader.feed((frame_of_size(MAX_REQUEST) + b"\n") * 5)
    assert len(frames_of(reader)) == 5


@pytest.mark.parametrize(
    "claim",
    [
        b"\xdf\xff\xff\xff\xff",
        b"\xdf\x00\x01\x00\x00",
        b"\xde\xff\xff",
        b"\x81\xa1x\xdb\xff\xff\xff\xff",
        b"\x81\xa1x\xdb\x00\x01\x00\x00",
        b"\x81\xa1x\xc6\xff\xff\xff\xff",
        b"\x81\xa1x\xc9\xff\xff\xff\xff\x05",
        b"\x81\xa1x\xdd\xff\xff\xff\xff",
        b"\x81\xdf\xff\xff\xff\xff",
        b"\x81\xa1x" + b"\xdc\xff\xfe" * 2,
    ],
)
def test_what_claims_to_be_larger_fails_at_once(claim):
    reader = FrameReader()
    reader.feed(claim)
    with pytest.raises(LostFrameError, match="at most 65536 bytes"):
        reader.next_frame()
    assert reader.next_frame() is None


# ---- what is no frame -------------------------------------------------------------------------------------------


def test_a_frame_starts_with_a_map():
    for first in set(range(256)) - {*range(0x80, 0x90), 0xDE, 0xDF, *b"\t\n\r", *range(0x20, 0x7F), 0xEF}:
        reader = FrameReader()
        reader.feed(bytes([first]))
        with pytest.raises(BadFrameError, match=f"map.*0x{first:02X}"):
            reader.next_frame()


def test_the_second_frame_must_be_a_map_too():
    reader = FrameReader()
    reader.feed(packed({"id": 1}) + b"\x0a")
    assert reader.next_frame() is not None
    with pytest.raises(BadFrameError, match="0x0A"):
        reader.next_frame()


@pytest.mark.parametrize("where", [b"\x81\xc1", b"\x81\xa1x\xc1", b"\x81\xa1x\x93\x01\xc1"])
def test_the_byte_msgpack_never_uses_is_refused(where):
    reader = FrameReader()
    reader.feed(where)
    with pytest.raises(BadFrameError, match="0xC1"):
        reader.next_frame()


def test_something_else_than_a_newline_after_the_map_is_refused():
    for after in set(range(256)) - {10}:
        reader = FrameReader()
        reader.feed(msgpack.packb({"id": 1}) + bytes([after]))
        with pytest.raises(BadFrameError, match=f"0x0A.*0x{after:02X}"):
            reader.next_frame()


# ---- JSON lines -------------------------------------------------------------------------------------------------


def test_json_lines_are_cut_at_newlines():
    messages = [{"id": 10, "op": "hello"}, {"id": "\n", "input": "a\nb é😀\0"}, {}]
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    for cut in range(len(data) + 1):
        reader = FrameReader()
        reader.feed(data[:cut])
        found = frames_of(reader)
        reader.feed(data[cut:])
        found += frames_of(reader)
        assert [json.loads(line) for line in found] == messages
        assert reader.encoding is Encoding.JSON
        assert reader.last_frame() is None


def test_every_line_is_a_frame_but_an_empty_one_and_the_last_may_lack_its_end():
    reader = FrameReader()
    reader.feed(b'\n\r\n \t\n{"id":1}\r\n\n  {"id":2} \nnonsense\n[1]\n\x80\xff\n\n\n{"id":3}')
    assert frames_of(reader) == [b'{"id":1}', b'{"id":2}', b"nonsense", b"[1]", b"\x80\xff"]
    assert reader.last_frame() == b'{"id":3}'


@pytest.mark.parametrize("first", [b"", b"\xef\xbb\xbf", b"\n", b"\r\n", b"  ", b"\t"])
def test_json_may_begin_with_what_editors_put_there(first):
    reader = FrameReader()
    reader.feed(first + b'{"id":1}\n')
    assert reader.encoding is Encoding.JSON
    assert frames_of(reader) == [b'{"id":1}']


def test_what_begins_as_text_is_read_as_lines():
    for first in b"GET", b"hello", b'"id"', b"1", b"[", b"'":
        reader = FrameReader()
        reader.feed(first + b"\n")
        assert (reader.encoding, reader.next_frame()) == (Encoding.JSON, first)


@pytest.mark.parametrize("line", [b'{"id":1,"op":"hello"}\r', b'{ "op" : "hello", "id":1 }', b'{"id":1,"op":"hello"}'])
def test_json_may_be_spaced_and_end_as_elsewhere(line):
    assert Encoding.JSON.decode_request(line) == Hello(id=1)


def test_json_answers_are_one_line_each():
    line = Encoding.JSON.encode(Query(id="\n", input="a\nb\r\u2028"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


def test_the_first_byte_chooses_the_encoding_for_good():
    reader = FrameReader()
    reader.feed(b"")
    assert reader.encoding is None
    reader.feed(packed({"id": 1}) + b"{")
    assert reader.encoding is Encoding.MSGPACK
    reader.next_frame()
    with pytest.raises(BadFrameError):
        reader.next_frame()


def test_what_is_unknown_in_a_request_is_ignored():
    assert Encoding.MSGPACK.decode_request(msgpack.packb({"op": "stats", "id": 1, "new": {"a": [1]}})) == Stats(id=1)


# ---- work -------------------------------------------------------------------------------------------------------


class CountingBuffer(bytearray):
    """Counts the bytes that are looked at one by one."""

    looks = 0

    def __getitem__(self, index):
        CountingBuffer.looks += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_finding_the_end_looks_at_every_token_once(piece):
    tokens = 60_000
    data = b"\xde\x75\x30" + b"\x0a" * tokens + b"\n"
    reader = FrameReader()
    reader._buffer = CountingBuffer()
    CountingBuffer.looks = 0
    last = 0
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        frame = reader.next_frame()
        assert frame is not None or reader._seen >= last
        last = reader._seen
    assert frame == data[:-1]
    pieces = len(data) // piece + 1
    assert CountingBuffer.looks <= tokens + 3 * pieces + 10


def test_the_bytes_of_a_string_are_not_looked_at():
    reader = FrameReader()
    reader._buffer = CountingBuffer()
    CountingBuffer.looks = 0
    reader.feed(frame_of_size(60_000) + b"\n")
    assert reader.next_frame() is not None
    assert CountingBuffer.looks < 20


def test_a_length_that_comes_in_halves_is_read_when_it_is_whole():
    data = b"\x81\xa1x\xdb" + (1000).to_bytes(4, "big") + b"\n" * 1000 + b"\n"
    reader = FrameReader()
    reader._buffer = CountingBuffer()
    for byte in data[:-1]:
        reader.feed(bytes([byte]))
        assert reader.next_frame() is None
    reader.feed(data[-1:])
    assert reader.next_frame() == data[:-1]
