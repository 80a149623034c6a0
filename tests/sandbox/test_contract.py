"""Which components are plugins, read from their types alone; the others are told what was expected and found."""

from __future__ import annotations

import re

import pytest
from daemons import BUNDLED, GUESTS
from wasmtime import component as wc

from swiftd.sandbox.contract import AsyncExportError, ContractError, read_contract
from swiftd.sandbox.engine import make_engine


@pytest.fixture(scope="module")
def engine():
    return make_engine()


@pytest.fixture
def read(engine):
    """The contract of a component, given as text, bytes, or the name of a test guest."""

    def read(source):
        if isinstance(source, str) and not source.startswith("("):
            source = (GUESTS / f"{source}.wat").read_text()
        with wc.Component(engine, source) as component:
            return read_contract(component, engine)

    return read


def test_the_record_form(read):
    contract = read("ok")
    assert (contract.runner, contract.form, contract.has_keywords) == ("swift:launcher/runner", "record", True)
    assert str(contract) == "swift:launcher/runner, record form"


@pytest.mark.parametrize(("guest", "keywords"), [("object", False), ("object-keywords", True)])
def test_the_resource_form_with_and_without_keywords(read, guest, keywords):
    contract = read(guest)
    assert (contract.form, contract.has_keywords) == ("resource", keywords)


@pytest.mark.parametrize("path", [*BUNDLED.glob("*.wasm"), *(GUESTS / "built").glob("*.wasm")], ids=lambda p: p.stem)
def test_real_plugins_fulfil_it(read, path):
    assert read(path.read_bytes()).form == ("resource" if path.stem == "resource-echo" else "record")


@pytest.mark.parametrize("version", ["", "@0.1.0", "@0.0.1", "@0.99.7", "@1.0.0", "@1.2.3", "@0.1.0-rc.1", "@1.0.0+b"])
def test_versions_0_and_1_are_accepted(read, version):
    text = (GUESTS / "ok.wat").read_text().replace('"swift:launcher/runner"', f'"swift:launcher/runner{version}"')
    assert read(text[text.index("(component") :]).runner == f"swift:launcher/runner{version}"


@pytest.mark.parametrize(
    "name",
    ["swift:launcher/runner@2.0.0", "swift:launcher/runner@10.0.0", "swift:launcher/runners", "other:launcher/runner"],
)
def test_other_names_and_versions_are_not(read, name):
    text = (GUESTS / "ok.wat").read_text().replace('"swift:launcher/runner"', f'"{name}"')
    with pytest.raises(ContractError, match=f"expected an export `swift:launcher/runner`, found .*`{re.escape(name)}`"):
        read(text[text.index("(component") :])


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        ("no-runner", r"expected an export `swift:launcher/runner`, found "),
        ("no-exports", r"expected an export `swift:launcher/runner`, found "),
        ("no-handle", r"expected `handle: func\(input: string\) -> list<action-item>` with .*, found only "),
        ("no-trigger", r"expected `get-trigger: func\(\) -> string`, found only "),
        ("runner-empty", r"expected `get-trigger: func\(\) -> string`, found only "),
        ("trigger-param", r"expected `get-trigger: func\(\) -> string`, found `get-trigger: func\(.+\) -> string`"),
        ("trigger-u32", r"expected `get-trigger: func\(\) -> string`, found `get-trigger: func\(\) -> u32`"),
        ("handle-u32", r"found `handle: func\(input: u32\)"),
        ("handle-none", r"found `handle: func\(\)"),
        ("handle-two", r"found `handle: func\(.+: string, .+\)"),
        ("handle-void", r"found `handle: func\(input: string\)`"),
        ("handle-string", r"found `handle: func\(input: string\) -> string`"),
        ("handle-strings", r"found `handle: func\(input: string\) -> list<string>`"),
        ("handle-option", r"found `handle: func\(input: string\) -> option<list<record"),
        ("handle-result", r"found `handle: func\(input: string\) -> result<list<record"),
        ("handle-item", r"found `handle: func\(input: string\) -> record"),
        ("record-two", r"record { name: string, exec: string }>`"),
        ("record-four", r"record { name: string, exec: string, keywords: string, .+ }>`"),
        ("record-order", r"record { .+ }>`"),
        ("record-tuple", r"list<tuple<string, string, string>>`"),
        ("object-no-exec", r"expected `\[method\]action-item.get-exec: func\(self: borrow<action-item>\) -> string`"),
        ("object-u32", r"found `\[method\]action-item.get-name: func\(self: borrow<resource>\) -> u32`"),
    ],
)
def test_what_is_wrong_is_said(read, guest, message):
    with pytest.raises(ContractError, match=message):
        read(guest)


ASYNC_TRIGGER = (
    (
        '(export "realloc")',
        '(export "go-on") (param i32 i32 i32) (result i32) (i32.const 0))\n    (func (export "realloc")',
    ),
    ("(func $trigger (result string)", "(func $trigger async (result string)"),
    ('"trigger") (memory', '"trigger") async (callback (core func $i "go-on")) (memory'),
)


def test_an_async_export_is_told_apart(read):
    text = (GUESTS / "ok.wat").read_text()
    for before, after in ASYNC_TRIGGER:
        assert before in text
        text = text.replace(before, after, 1)
    with pytest.raises(
        AsyncExportError, match=r"found `get-trigger: async func\(…\)`: it was built with an async export"
    ):
        read(text[text.index("(component") :])
    with pytest.raises(AsyncExportError, match=r"expected `handle: func\(…\)`, found `handle: async func\(…\)`"):
        read("handle-async")


def test_a_runner_that_is_no_interface_is_told_so(read):
    with pytest.raises(ContractError, match="expected `swift:launcher/runner` to be an interface, found a core module"):
        read('(component (core module $e) (export "swift:launcher/runner" (core module $e)))')


def test_a_component_without_exports_is_told_so(read):
    with pytest.raises(ContractError, match="found no exports at all"):
        read("(component)")


def test_reading_it_runs_nothing(read):
    assert read("start-trap").form == "record"
    assert read("spin-start").form == "record"
