"""The language of a component, told by what its tools left in it: shapes as the real tools leave them."""

from __future__ import annotations

import random

import pytest
from daemons import BUNDLED, GUESTS
from guests.cases import producers, with_module
from wasmtime import wat2wasm

from swiftd.sandbox.producers import language

MODULE = b"\0asm\x01\0\0\0"
ADAPTER = MODULE + producers({"language": ["Rust"], "processed-by": ["rustc"]})
"""The adapter for WASI, which all those components have that were made of a core module."""


def component(*modules, outer=None):
    """A component of these modules, and what it says of itself."""
    content = bytes(wat2wasm("(component)"))
    for module in modules:
        content = with_module(content, module)
    return content + (producers(outer) if outer else b"")


def module(text=b"", **fields):
    """A core module with that in it."""
    named = {name.replace("_", "-"): values for name, values in fields.items()}
    data = bytes([0, len(text) + 2, 1]) + b"x" + text if text else b""
    return MODULE + data + (producers(named) if named else b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (component(module(b"componentize_py_runtime.wasm"), ADAPTER), "Python"),
        (component(module(b"rquickjs-core-0.13.0/src/value"), ADAPTER), "JavaScript"),
        (
            component(
                module(language=["Rust", "C11", "C_plus_plus_14"], processed_by=["clang", "wit-bindgen-c"]),
                ADAPTER,
                outer={"language": ["JavaScript"], "processed-by": ["wit-component", "ComponentizeJS"]},
            ),
            "JavaScript",
        ),
        (component(module(language=["Go"], processed_by=["Go cmd/compile", "wit-component"]), ADAPTER), "Go"),
        (component(module(processed_by=["wit-component", "wit-bindgen-c"]), ADAPTER), "C or C++"),
        (component(module(language=["C11"], processed_by=["clang", "wit-bindgen-c"]), ADAPTER), "C"),
        (component(module(language=["C_plus_plus_14"], processed_by=["clang", "wit-bindgen-c"]), ADAPTER), "C++"),
        (component(module(processed_by=["wit-bindgen-cpp"]), ADAPTER), "C++"),
        (component(module(processed_by=["wit-component", "wit-bindgen-rust"]), outer={"language": ["Rust"]}), "Rust"),
        (component(module(b"rquickjs and componentize_py", processed_by=["wit-bindgen-rust"])), "Rust"),
        (component(module(b"x" * 100), MODULE), None),
        (component(), None),
        (component(outer={"language": ["Swift"]}), "Swift"),
        (component(outer={"language": ["\x1b[31m"]}), None),
        (component(outer={"language": ["x" * 41]}), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_tools_leave_tells_the_language(content, expected):
    assert language(content) == expected


@pytest.mark.parametrize("path", [*BUNDLED.glob("*.wasm"), *(GUESTS / "built").glob("*.wasm")], ids=lambda p: p.stem)
def test_what_was_written_in_rust_is_said_to_be(path):
    assert language(path.read_bytes()) == "Rust"


def test_whatever_the_bytes_there_is_an_answer():
    content = component(module(language=["Go"], processed_by=["x"]), ADAPTER, outer={"language": ["Go"]})
    chance = random.Random(8)
    for _ in range(2000):
        damaged = bytearray(content)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(8, len(damaged))] = chance.randrange(256)
        language(bytes(damaged[: chance.randrange(8, len(damaged) + 1)]))
