"""Which language a component was written in, by what the tools that made it left in it.

Most leave a custom section `producers` (tool-conventions, ProducersSection.md) with the fields `language`,
`processed-by` and `sdk`, one in each module and component that they made. What a plugin's author wrote is only one of
these: beside it stand the adapter for WASI, which is written in Rust, and libraries. An interpreter is written in
another language than what it runs, and says so only by a name in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MAGIC = b"\0asm"
_HEADER = 8
_CUSTOM = 0
_CONTAINERS = (1, 4)
"""The sections of a component that are a core module, and a component."""
_DEEPEST = 20
_MOST_NAME = 40

_TOOLS = {
    "ComponentizeJS": "JavaScript",
    "componentize-qjs": "JavaScript",
    "componentize-py": "Python",
    "Go cmd/compile": "Go",
    "TinyGo": "Go",
    "wit-bindgen-go": "Go",
    "wit-bindgen-rust": "Rust",
    "wit-bindgen-cpp": "C++",
    "wit-bindgen-csharp": "C#",
    "wit-bindgen-moonbit": "MoonBit",
    "wit-bindgen-c": "C or C++",
}
"""By `processed-by`, the runtimes before the tools that they were made with."""

_RUNTIMES = ((b"componentize_py", "Python"), (b"rquickjs", "JavaScript"), (b"StarlingMonkey", "JavaScript"))
"""What stands in an interpreter's own code or name."""


@dataclass
class _Part:
    """A module or component: where it lies, and what its own section says."""

    start: int
    end: int
    depth: int
    fields: dict[str, list[str]] = field(default_factory=dict)


def language(wasm: bytes) -> str | None:
    """The language of a component's source, if anything tells it. `wasm` has been found valid before."""
    parts = [part for part in _parts(wasm, 0, len(wasm), 0) if part.depth <= _DEEPEST]
    tools = {tool for part in parts for tool in part.fields.get("processed-by", ())}
    own = next((name for tool, name in _TOOLS.items() if tool in tools), None)
    if own == "Rust":  # whose plugins may well speak of other languages
        return own
    if runtime := next((name for mark, name in _RUNTIMES if mark in wasm), None):
        return runtime
    outer = parts[0].fields.get("language", []) if parts else []
    largest = max((part for part in parts if part.depth > 0), key=lambda part: part.end - part.start, default=None)
    said = outer or (largest.fields.get("language", []) if largest else [])
    if own in (None, "C or C++") and said:
        own = "C++" if any(name.startswith("C_plus_plus") for name in said) else _readable(said[0]) or own
    return own


def _readable(name: str) -> str | None:
    if name.startswith("C_plus_plus"):
        return "C++"
    if name in ("C89", "C99", "C11", "C17", "C23"):
        return "C"
    return name if name.isprintable() and len(name) <= _MOST_NAME else None


def _parts(wasm: bytes, start: int, end: int, depth: int) -> list[_Part]:
    """The module or component that lies there, and all within it."""
    part = _Part(start, end, depth)
    parts = [part]
    at = start + _HEADER
    is_component = wasm[start + 6 : start + 8] == b"\x01\x00"
    while at < end and depth <= _DEEPEST:
        number = wasm[at]
        size, at = _leb(wasm, at + 1)
        if number == _CUSTOM:
            name, content = _name(wasm, at)
            if name == "producers":
                part.fields = _fields(wasm[content : at + size])
        elif is_component and number in _CONTAINERS and wasm[at : at + 4] == _MAGIC:
            parts += _parts(wasm, at, min(at + size, end), depth + 1)
        at += size
    return parts


def _fields(section: bytes) -> dict[str, list[str]]:
    """The section is a list of fields: name, count, and so many pairs of a value and its version."""
    fields: dict[str, list[str]] = {}
    count, at = _leb(section, 0)
    for _ in range(min(count, 10)):
        name, at = _name(section, at)
        values, at = _leb(section, at)
        for _ in range(min(values, 100)):
            value, at = _name(section, at)
            _version, at = _name(section, at)
            fields.setdefault(name, []).append(value)
    return fields


def _name(data: bytes, at: int) -> tuple[str, int]:
    length, at = _leb(data, at)
    return data[at : at + min(length, 1000)].decode("utf-8", "replace"), at + length


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """A number as WebAssembly writes it, and where what follows begins. What is cut off is zero."""
    number = shift = 0
    for byte in data[at : at + 5]:
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    else:
        at += 1
    return number, at
