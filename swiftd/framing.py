r"""Bytes to frames and back, without any I/O.

**Frame**: one msgpack map, then one byte 0x0A. A 0x0A inside the map is data, so nobody may split on newlines: only
the map's own encoding says where it ends. (0x0A is itself msgpack for the integer 10, so a client with a streaming
unpacker reads map, 10, map, 10 ... and drops the tens.)

A connection whose first byte is text speaks JSON lines instead, with the same messages. JSON text never holds a raw
newline inside a string, so there the newline is the end, every line is a frame, whatever it holds, and an empty one is
none. The last may lack its newline.

A request is at most `MAX_REQUEST` bytes; answers have no limit of their own. A longer one is lost, and skipped as it
comes: it costs no memory, and the next frame is read again. Only bytes of which nobody can say where they end are the
end of the connection. Finding a frame's end is linear in its size, however it is cut up: every byte is looked at once,
and a string's bytes not at all.
"""

from __future__ import annotations

import codecs
import enum
from typing import Any

import msgspec

from swiftd.protocol import AnyRequest, Envelope

MAX_REQUEST = 64 * 1024
"""Bytes. A query's input is at most a few KiB; the rest is room for fields to come."""

END = b"\n"

_MAP_KINDS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_JSON_FIRST = frozenset({*b"\t\n\r", *range(0x20, 0x7F), codecs.BOM_UTF8[0]})
"""None of them begins a map."""


class BadFrameError(Exception):
    """The client sent bytes that are no frame. The connection can't be read any further."""


class LostFrameError(Exception):
    """A frame can't be had. The next one can."""


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
            msgspec.DecodeError: it can't be decoded at all.
            msgspec.ValidationError: it is not of a request's shape.
            RecursionError: it is nested too deeply.
            UnicodeError: it holds text that is no UTF-8.

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
        self._lost = False  # whether the frame that comes is too long, and only its end is looked for

    def feed(self, data: bytes | bytearray) -> None:
        """Take what arrived."""
        self._buffer += data
        if self.encoding is None and self._buffer:
            self.encoding = Encoding.JSON if self._buffer[0] in _JSON_FIRST else Encoding.MSGPACK

    def next_frame(self) -> bytes | None:
        """The next frame, without its final newline; None if more bytes are needed.

        Raises:
            LostFrameError: it is too long. The one after it can be asked for.
            BadFrameError: what came is no frame.

        """
        read = self._line if self.encoding is Encoding.JSON else self._map
        while self._buffer:
            was_lost = self._lost
            frame = read()
            if frame is None:
                return None
            if frame and not was_lost:
                return frame
        return None

    def last_frame(self) -> bytes | None:
        """What is left when nothing more will come.

        Raises:
            BadFrameError: that is a part of a frame.

        """
        if not self._buffer or self._lost:
            return None
        if self.encoding is Encoding.MSGPACK:
            raise BadFrameError("the connection ended in the middle of a request")
        return _stripped(self._buffer) or None

    def _line(self) -> bytes | None:
        """The next line; empty if nothing is in it."""
        end = self._buffer.find(END, self._seen)
        self._seen = len(self._buffer) if end < 0 else end
        if not self._lost and self._seen > self._limit:
            self._lose()
        if self._lost:
            self._drop()
        if end < 0:
            return None
        return _stripped(self._taken())

    def _map(self) -> bytes | None:
        """The next map; None if it is not whole."""
        self._walk()
        if not self._lost and self._seen + self._missing > self._limit:  # every object to come is at least a byte
            self._lose()
        if self._lost:
            self._drop()
        if self._missing or self._seen >= len(self._buffer):
            return None
        if self._buffer[self._seen] != END[0]:
            raise BadFrameError(
                f"a frame ends with the byte 0x0A, but 0x{self._buffer[self._seen]:02X} follows the map"
            )
        return self._taken()

    def _walk(self) -> None:
        """Go over the msgpack objects that are there, up to the end of the map or to where it is too long."""
        buffer, at, missing, have = self._buffer, self._seen, self._missing, len(self._buffer)
        if not at and missing == 1 and not self._lost and buffer[0] not in _MAP_KINDS:
            raise BadFrameError(f"a frame is a msgpack map, but this one starts with the byte 0x{buffer[0]:02X}")
        while missing and at < have and (self._lost or at + missing <= self._limit):
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
        self._seen, self._missing = at, missing

    def _lose(self) -> None:
        self._lost = True
        self._drop()
        raise LostFrameError(f"a request is at most {self._limit} bytes long")

    def _drop(self) -> None:
        """Forget what was looked at of a frame that is lost."""
        size = min(self._seen, len(self._buffer))
        del self._buffer[:size]
        self._seen -= size

    def _taken(self) -> bytes:
        """Take the frame that ends where was looked, and its newline, from the buffer."""
        frame = bytes(self._buffer[: self._seen])
        del self._buffer[: self._seen + 1]
        self._seen = 0
        self._missing = 1
        self._lost = False
        return frame


def _stripped(line: bytes | bytearray) -> bytes:
    """A line without blanks around it, nor the byte order mark that some editors put before the first."""
    return bytes(line).removeprefix(codecs.BOM_UTF8).strip()
