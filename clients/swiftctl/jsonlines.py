"""Messages ⇄ JSON lines, without importing json.

The wire speaks msgpack, or JSON lines to a client whose first byte is `{`. This client takes the lines because of its
start: with `python -c pass` at 11.4 ms, msgpack adds 7.3 ms (its package imports datetime, struct and collections),
json 10 ms (it imports re), and `_json`, the C half of json alone, 0.4 ms. `--json` can then also pass an answer on
as it came. `_json` is CPython's own affair, so where it is missing or differs, json does the work.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One message as a line, newline included. Its strings must be encodable as UTF-8."""
    return ("".join(_chunks(message)) + "\n").encode()


def decode(line: str) -> Message:
    """The message in a line.

    Raises:
        ValueError: it is no JSON object.

    """
    try:
        message, end = _scan(line, 0)
    except StopIteration:  # how `_json` says that nothing starts here
        raise ValueError("not JSON") from None
    if end != len(line) or not isinstance(message, dict):
        raise ValueError("not one JSON object")
    return message


class _Context:
    """What the scanner asks json.JSONDecoder for."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _make() -> tuple[Callable[[Message], Any], Callable[[str, int], tuple[Any, int]]]:
    try:
        from _json import encode_basestring, make_encoder, make_scanner  # noqa: PLC0415

        encoder = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
        scanner = make_scanner(_Context)  # type: ignore[arg-type]
    except (ImportError, AttributeError, TypeError):
        import json  # noqa: PLC0415

        return json.JSONEncoder(ensure_ascii=False).iterencode, json.JSONDecoder().raw_decode
    return (lambda message: encoder(message, 0)), scanner


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} in a request")


_chunks, _scan = _make()
