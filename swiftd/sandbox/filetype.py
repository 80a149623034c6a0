"""What a file is that is no WebAssembly component: the mistakes people make, each with what to do instead."""

from __future__ import annotations

import struct

CORE_MODULE = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"

_MAGIC = b"\0asm"
_COMPONENT_LAYER = 1
_BOM = b"\xef\xbb\xbf"

_AS_COMPONENT = (
    "build it for `wasm32-wasip2` (`cargo build --target wasm32-wasip2`), or make a component of it: `wasm-tools"
    " component new --adapt wasi_snapshot_preview1.reactor.wasm`, or `jco new --wasi-reactor`"
)
_STARTS = (
    (b"\x7fELF", "an ELF file, a program or library for one kind of processor: build it for `wasm32-wasip2`"),
    (b"MZ", "a program for Windows: build it for `wasm32-wasip2`"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS: build it for `wasm32-wasip2`"),
    (b"\xca\xfe\xba\xbe", "a program for macOS, or a Java class"),
    (b"!<arch>\n", "a static library: link it to a component"),
    (b"BC\xc0\xde", "LLVM bitcode: link it to a component"),
    (b"PK\x03\x04", "a zip archive: unpack it"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it"),
    (b"\xfd7zXZ\0", "an xz archive: unpack it"),
    (b"BZh", "a bzip2 archive: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"!<", "an archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"SQLite format 3\0", "an SQLite database"),
)
_TEXTS = (
    ("version https://git-lfs", "a pointer of Git LFS instead of the file: `git lfs pull`"),
    ("<!doctype html", "an HTML page, as when a download went wrong"),
    ("<html", "an HTML page, as when a download went wrong"),
    ("<?xml", "an XML document"),
    ("#!", "a script: make a component of it"),
    ("package ", "WIT or source text: make a component of it"),
    ("{", "JSON, or other text"),
)
_SHOWN = 40
"""Characters of a text that are shown."""
_LOOKED_AT = 1024
"""Bytes of the start that are looked at."""


def is_text_form(content: bytes) -> bool:
    """Whether it looks like a component or module as text."""
    return content.removeprefix(_BOM).lstrip()[:2].startswith((b"(", b";;"))


def text_form(content: bytes) -> bytes:
    """A component's text, without the mark that some editors put before it."""
    return content.removeprefix(_BOM)


def what_it_is(content: bytes) -> str:
    """What a file is, for one who expected a component; `content` is not in WebAssembly's text form."""
    if not content:
        return "an empty file"
    if content.startswith(_MAGIC):
        return _webassembly(content)
    if not any(content[:_LOOKED_AT]):
        return "a file of zeros, as after a crash in mid-write"
    known = next((name for start, name in _STARTS if content.startswith(start)), None)
    if known is None and content[257:262] == b"ustar":
        known = "a tar archive: unpack it"
    if known is None and (known := _text(content)):
        return f"something that starts with `{_first_line(content)}`: {known}"
    return f"something that starts with {content[:8]!r}" + (f": {known}" if known else "")


def _readable(content: bytes) -> str:
    return content[:_LOOKED_AT].removeprefix(_BOM).decode("utf-8", "ignore").lstrip()


def _first_line(content: bytes) -> str:
    return _readable(content).splitlines()[0][:_SHOWN]


def _text(content: bytes) -> str | None:
    """What kind of text it is, if it is text."""
    text = _readable(content)
    if not text or not all(c.isprintable() or c.isspace() for c in text):
        return None
    return next((name for start, name in _TEXTS if text.lower().startswith(start)), "text that is no WebAssembly")


def _webassembly(content: bytes) -> str:
    if content.startswith(CORE_MODULE):
        return f"a core module: {_AS_COMPONENT}"
    if len(content) < len(COMPONENT):
        return f"something that was cut off: the first {len(content)} bytes of a WebAssembly file"
    version, layer = struct.unpack_from("<HH", content, len(_MAGIC))
    if layer == _COMPONENT_LAYER:
        age = "an older" if version < COMPONENT[4] else "a newer"
        return (
            f"a component in {age} binary format ({version:#x}, where {COMPONENT[4]:#x} is expected):"
            f" build it again with {'current' if age == 'an older' else 'other'} tools"
        )
    if layer == 0:
        return f"a core module in another binary format ({version:#x}): {_AS_COMPONENT}"
    return f"WebAssembly of another kind (version {version}, layer {layer})"
