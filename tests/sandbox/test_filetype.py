"""What a file is called that is no component."""

from __future__ import annotations

import gzip
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from swiftd.sandbox.filetype import is_text_form, what_it_is


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("plugin.wasm", b"x")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("plugin.wasm"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an empty file"),
        (b"\0asm\x01\0\0\0", "a core module: build it for `wasm32-wasip2`.*--adapt.*jco new --wasi-reactor"),
        (b"\0asm\x0a\0\x01\0", "a component in an older binary format .0xa, where 0xd is expected.: build it again"),
        (b"\0asm\x0e\0\x01\0", "a component in a newer binary format"),
        (b"\0asm\x02\0\0\0", "a core module in another binary format"),
        (b"\0asm\x0d\0\x02\0", "WebAssembly of another kind"),
        (b"\0asm\x0d", "cut off: the first 5 bytes of a WebAssembly file"),
        (Path(sys.executable).read_bytes(), "something that starts with b'.x7fELF.*': an ELF file"),
        (zipped(), "a zip archive: unpack it"),
        (tarred(), "a tar archive: unpack it"),
        (gzip.compress(b"\0asm"), "a gzip archive: unpack it"),
        (b"<!DOCTYPE html><html>Not found</html>", "an HTML page"),
        (b"\n <html lang=en>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"#!/bin/sh\n", "something that starts with `#!/bin/sh`: a script"),
        (b'{"a": 1}', "JSON"),
        (b"MZ\x90\0", "a program for Windows"),
        (b"\x89PNG\r\n", "a PNG image"),
        (bytes(2000), "a file of zeros"),
        ("import jsön\nprint()\n".encode(), "something that starts with `import jsön`: text that is no WebAssembly"),
        (b"\x01\x02\x03", r"something that starts with b'.x01.x02.x03'"),
        (b"\x1b[31mred", "something that starts with"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_named(content, expected):
    assert re.search(expected, what_it_is(content))


@pytest.mark.parametrize(
    "content", [b"(component)", b"\n ;; said\n(component)", b"\xef\xbb\xbf(component)", b"(; x ;)"]
)
def test_webassembly_s_text_is_told_from_other_text(content):
    assert is_text_form(content)
    assert not is_text_form(b"x" + content)
