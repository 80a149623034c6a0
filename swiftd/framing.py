r"""Bytes to frames and back, without any I/O.

**Frame**: one msgpack map, then one byte 0x0A. A 0x0A inside the map is data, so nobody may split on newlines: only
the map's own encoding says where it ends. (0x0A is itself msgpack for the integer 10, so a client with a streaming
unpacker reads map, 10, map, 10 ... and drops the tens.)

A connection whose first byte is `{` speaks JSON lines instead, with the same messages. JSON text never holds a raw
newline inside a string, so there the newline is the end.

A request is at most `MAX_REQUEST` bytes; answers have no limit of their own. Finding a frame's end is linear in its
size, however it is cut up: every byte is looked at once, and a string's bytes not at all.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from swiftd.protocol import AnyRequest, Envelope

MAX_REQUEST = 64 * 1024
"""Bytes. A query's input is at most a few KiB; the rest is room for fields to come."""

END = b"\n"

_MAP_KINDS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_JSON_FIRST = 0x7B  # {


class BadFrameError(Exception):
    """The client sent bytes that are no frame. The connection can't be read any further."""


class Encoding(enum.Enum):
    """How one connection writes its messages, in both directions."""

    MSGPACK = "msgpack"
    JSON = "json"

    def encode(self, message: Any) -> bytes:
        """One whole frame."""
        return (_msgpack_encode(message) if self is Encoding.MSGPACK else _json_encode(message)) + END

    def decode_request(self, frame: bytes) -> AnyRequest:
        """The request in a frame's map.

        Raises:
            msgspec.DecodeError: it is no map at all.
            msgspec.ValidationError: it is not of a request's shape.

        """
        request: AnyRequest = (_msgpack_request if self is Encoding.MSGPACK else _json_request)(frame)
        return request

    def decode_envelope(self, frame: bytes) -> Envelope:
        """What little is needed to blame a request that was not understood. Raises as `decode_request` does."""
        return (_msgpack_envelope if self is Encoding.MSGPACK else _json_envelope)(frame)


_msgpack_encode = msgspec.msgpack.Encoder().encode
_msgpack_request = msgspec.msgpack.Decoder(AnyRequest).decode
_msgpack_envelope = msgspec.msgpack.Decoder(Envelope).decode
_json_encode = msgspec.json.Encoder().encode
_json_request = msgspec.json.Decoder(AnyRequest).decode
_json_envelope = msgspec.json.Decoder(Envelope).decode


def _token_sizes() -> tuple[list[int], list[int], list[int]]:
    """Three tables by first byte: a token's fixed size, the width of its length field, and its fixed children.

    From the msgpack specification. A fixed size of 0 marks the one byte that msgpack never uses (0xC1).
    """
    size = [1] * 256
    width = [0] * 256
    children = [0] * 256
    for byte in range(0x80, 0x90):
        children[byte] = 2 * (byte & 0x0F)
    for byte in range(0x90, 0xA0):
        children[byte] = byte & 0x0F
    for byte in range(0xA0, 0xC0):
        size[byte] = 1 + (byte & 0x1F)
    size[0xC1] = 0
    for first, fixed in ((0xCA, 5), (0xCB, 9), (0xCC, 2), (0xCD, 3), (0xCE, 5), (0xCF, 9)):
        size[first] = fixed
    for first, fixed in ((0xD0, 2), (0xD1, 3), (0xD2, 5), (0xD3, 9)):
        size[first] = fixed
    for power, first in enumerate(range(0xD4, 0xD9)):
        size[first] = 2 + 2**power
    for first, bytes_of_length, extra in (
        (0xC4, 1, 0), (0xC5, 2, 0), (0xC6, 4, 0),
        (0xC7, 1, 1), (0xC8, 2, 1), (0xC9, 4, 1),
        (0xD9, 1, 0), (0xDA, 2, 0), (0xDB, 4, 0),
        (0xDC, 2, 0), (0xDD, 4, 0), (0xDE, 2, 0), (0xDF, 4, 0),
    ):  # fmt: skip
        size[first] = 1 + bytes_of_length + extra
        width[first] = bytes_of_length
    return size, width, children


_SIZE, _WIDTH, _CHILDREN = _token_sizes()
_CHILDREN_PER_ENTRY = {0xDC: 1, 0xDD: 1, 0xDE: 2, 0xDF: 2}
"""Lengths of these count entries, not bytes."""


class FrameReader:
    """One connection's incoming bytes, cut into frames.

    Feed what arrived, then take frames until there is none. After a BadFrameError it must not be used again.
    """

    def __init__(self, limit: int = MAX_REQUEST) -> None:
        self.encoding: Encoding | None = None
        """None until the first byte has come."""
        self._limit = limit
        self._buffer = bytearray()
        self._seen = 0  # how far the buffer was looked at; may lie beyond its end, inside a string still to come
        self._missing = 1  # how many msgpack objects are still needed to complete the frame

    def feed(self, data: bytes | bytearray) -> None:
        """Take what arrived."""
        self._buffer += data
        if self.encoding is None and self._buffer:
            self.encoding = Encoding.JSON if self._buffer[0] == _JSON_FIRST else Encoding.MSGPACK

    @property
    def is_empty(self) -> bool:
        """Whether the connection could end here without cutting a frame."""
        return not self._buffer

    def next_frame(self) -> bytes | None:
        """The next frame, without its final newline; None if more bytes are needed.

        Raises:
            BadFrameError: what came is no frame, or too long a one.

        """
        if not self._buffer:
            return None
        end = self._json_end() if self.encoding is Encoding.JSON else self._msgpack_end()
        if end is None or end > self._limit:
            if max(len(self._buffer) if end is None else end, self._seen) > self._limit:
                raise BadFrameError(f"a request is at most {self._limit} bytes long")
            return None
        frame = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._seen = 0
        self._missing = 1
        return frame

    def _json_end(self) -> int | None:
        found = self._buffer.find(END, self._seen)
        self._seen = len(self._buffer)
        return None if found < 0 else found

    def _msgpack_end(self) -> int | None:
        buffer, at, missing, have = self._buffer, self._seen, self._missing, len(self._buffer)
        if at == 0 and buffer[0] not in _MAP_KINDS:
            raise BadFrameError(f"a frame is a msgpack map, but this one starts with the byte 0x{buffer[0]:02X}")
        while missing and at < have:
            first = buffer[at]
            size = _SIZE[first]
            children = _CHILDREN[first]
            if width := _WIDTH[first]:
                if at + 1 + width > have:
                    break
                length = int.from_bytes(buffer[at + 1 : at + 1 + width], "big")
                if per_entry := _CHILDREN_PER_ENTRY.get(first):
                    children = length * per_entry
                else:
                    size += length
            elif not size:
                raise BadFrameError("the byte 0xC1 is not msgpack")
            at += size
            missing += children - 1
            if at + missing > self._limit:  # every object still to come is at least a byte
                raise BadFrameError(f"a request is at most {self._limit} bytes long")
        self._seen, self._missing = at, missing
        if missing or at >= have:
            return None
        if buffer[at] != END[0]:
            raise BadFrameError(f"a frame ends with the byte 0x0A, but 0x{buffer[at]:02X} follows the map")
        return at
