"""What the one-shot compile process reports of a file, and what it leaves."""

from __future__ import annotations

import hashlib
import re

import pytest
import trio
from daemons import BUNDLED, GUESTS, PATIENCE, is_alive
from guests.cases import producers
from wasmtime import wat2wasm

from swiftd.children import LostError, Zygote
from swiftd.sandbox.messages import Compiled, Refused, decode_report


@pytest.fixture
async def compiled(tmp_path):
    """Compiles bytes in a child; its report and the artefact's bytes."""
    zygote = Zygote()
    await zygote.start()

    async def run(wasm):
        (tmp_path / "source").write_bytes(wasm)
        with (tmp_path / "source").open("rb") as source, (tmp_path / "artefact").open("w+b") as artefact:
            child = await zygote.fork("c", [source.fileno(), artefact.fileno()])
            try:
                with trio.fail_after(PATIENCE):
                    report = await child.answer(decode_report)
                    await child.wait()
            finally:
                child.close()
            assert not is_alive(child.pid)
            return report, (tmp_path / "artefact").read_bytes()

    try:
        yield run
    finally:
        zygote.close()


@pytest.mark.parametrize("path", [*BUNDLED.glob("*.wasm"), *(GUESTS / "built").glob("*.wasm")], ids=lambda p: p.stem)
async def test_a_plugin_s_artefact_and_what_is_known_of_it(compiled, path):
    report, artefact = await compiled(path.read_bytes())
    assert isinstance(report, Compiled)
    assert report.source == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.digest == hashlib.sha256(artefact).hexdigest()
    assert report.language == "Rust"
    assert all(isinstance(name, str) for name in report.imports)


async def test_the_text_form_is_compiled_too(compiled):
    for start in ("", "\n  ", "(; a comment ;)\n"):
        text = start + (GUESTS / "ok.wat").read_text()
        report, artefact = await compiled(text.encode())
        assert isinstance(report, Compiled)
        assert report.language is None
        assert artefact


async def test_the_bundled_plugins_import_nothing_but_the_environment_that_tells_calc_the_decimal_sign(compiled):
    for path in BUNDLED.glob("*.wasm"):
        report, _ = await compiled(path.read_bytes())
        interfaces = [name.split("@")[0] for name in report.imports]
        assert interfaces == (["wasi:cli/environment"] if path.stem == "calc" else [])


@pytest.mark.parametrize(
    ("wasm", "message"),
    [
        (b"", "found an empty file"),
        (b"\0asm\x01\0\0\0", "found a core module"),
        (b"\0asm\x0d\0\x01\0", "expected an export"),
        (b"\0asm\x0d\0\x01\0rubbish", "."),
        (b"\0asm", "found something"),
        (b"\x7fELF", "found something that starts with b'.x7fELF': an ELF file.*wasm32-wasip2"),
        (b"\0\x01\x02", "found something that starts with b'.x00"),
        (
            b"(component (nonsense))",
            "^not valid as WebAssembly text: line 1, column 13: expected valid component field$",
        ),
        (b"(component\n  (core module\n (func i32.wrong)))", "line 3, column 8: unknown operator or unexpected token"),
        (b"\xef\xbb\xbf(component (nonsense))", "line 1, column 13: "),
        (b"(component \xff", "not valid as WebAssembly text: input was not valid utf-8"),
        (b"(component" + b"(" * 10_000, "."),
        (b";; nothing but a comment", "."),
    ],
)
async def test_what_is_no_plugin_is_refused_and_leaves_no_artefact(compiled, wasm, message):
    report, artefact = await compiled(wasm)
    assert isinstance(report, Refused)
    assert report.source == hashlib.sha256(wasm).hexdigest()
    assert re.search(message, report.message)
    assert "\n" not in report.message
    assert artefact == b""


async def test_a_child_that_is_killed_is_lost(compiled, tmp_path):
    zygote = Zygote()
    try:
        with (BUNDLED / "calc.wasm").open("rb") as source, (tmp_path / "x").open("wb") as artefact:
            child = await zygote.fork("c", [source.fileno(), artefact.fileno()])
            child.kill()
            with pytest.raises(LostError):
                await child.answer(decode_report)
            child.close()
    finally:
        zygote.close()


async def test_an_async_export_is_refused_with_what_to_change_in_the_source(compiled):
    """A section that names the tool is appended, as the tools do it."""
    plain = bytes(wat2wasm((GUESTS / "handle-async.wat").read_text()))
    for tool, hint in (
        ("componentize-py", "`def handle` instead of `async def handle`"),
        ("wit-bindgen-rust", "`fn handle` instead of `async fn handle`"),
        ("ComponentizeJS", "`--sync`"),
    ):
        report, _ = await compiled(plain + producers({"processed-by": [tool]}))
        assert "built with an async export" in report.message
        assert hint in report.message


LONG = f'(type $r (record (field "{"f" * 50_000}" u8))) (export $t0 "r" (type $r))'
NESTED = "".join(f"(type $t{n} (tuple $t{n - 1} $t{n - 1}))" for n in range(1, 13))


@pytest.mark.parametrize("first", [LONG, "(type $t0 (tuple u8 u8))"], ids=["long", "short"])
async def test_a_refusal_is_short_whatever_the_types_in_it(compiled, first):
    """Twelve tuples of two in each other are 4,000 of the first type when they are written out."""
    text = (GUESTS / "ok.wat").read_text()
    text = text.replace('"handle") (param i32 i32)', '"handle") (param i32)')
    text = text.replace('(func $handle (param "input" string)', f'{first}{NESTED}(func $handle (param "input" $t12)')
    if first is LONG:
        text = text.replace('(export "get-trigger"', '(export "r" (type $t0)) (export "get-trigger"')
    report, _ = await compiled(text.encode())
    assert isinstance(report, Refused)
    assert "found `handle: func(input: tuple<" in report.message
    assert len(report.message) <= 500
