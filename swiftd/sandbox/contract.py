"""Does a component fulfil the contract, and in which form? Read from its own types, without running it.

The contract is wit/: an export `swift:launcher/runner`, unversioned or with any version 0.x or 1.x, with
`get-trigger` and `handle`. Whatever is wrong is said as "expected ..., found ...", in WIT's own words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wasmtime import _ffi
from wasmtime import component as wc

from swiftd.sandbox import host
from swiftd.sandbox.messages import Contract

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNER = "swift:launcher/runner"
_VERSIONED = re.compile(re.escape(RUNNER) + r"(@[01]\.\d+\.\d+\S*)?")

FIELDS = ("name", "exec", "keywords")
_METHODS = {name: f"[method]action-item.get-{name}" for name in FIELDS}

RECORD = "record action-item { name: string, exec: string, keywords: string }"

_SCALARS: dict[type, str] = {
    wc.Bool: "bool", wc.S8: "s8", wc.S16: "s16", wc.S32: "s32", wc.S64: "s64", wc.U8: "u8", wc.U16: "u16",
    wc.U32: "u32", wc.U64: "u64", wc.F32: "f32", wc.F64: "f64", wc.Char: "char", wc.String: "string",
    wc.ErrorContext: "error-context", wc.StreamType: "stream", wc.FutureType: "future", wc.FlagsType: "flags",
    wc.EnumType: "enum", wc.VariantType: "variant",
}  # fmt: skip


LONGEST_TYPE = 300
"""Characters of a type that are spelled. The types of 50 KB of WebAssembly can be 50 MB when they are written out."""

_COMMANDS = {
    "wasi:cli/run": "it is a command, a program with a `main`: build a library that exports the runner",
    "wasi:http/incoming-handler": "it is a web server: build a library that exports the runner",
    "wasi:http/service": "it is a web server: build a library that exports the runner",
}
_WASI_OTHER = re.compile(r"wasi:(cli|clocks|filesystem|http|io|random|sockets)/[\w-]+@(?!0\.2\.\d+$)")
_WASI_3 = re.compile(r"wasi:[\w-]+/[\w-]+@0\.3\.")
_TO_WASI_2 = (
    "build it again for WASI 0.2: in Rust `cargo build --target wasm32-wasip2`, elsewhere with a release of the tool or"
    " a WIT folder for 0.2"
)


class ContractError(Exception):
    """The component is no plugin: what was expected, and what was found."""


class AsyncExportError(ContractError):
    """It is a plugin but for its functions being `async`."""


def read_contract(component: wc.Component, engine: Any) -> Contract:
    """The contract that `component` fulfils.

    Raises:
        ContractError: none.

    """
    exports = component.type.exports(engine)
    runners = [name for name in exports if _VERSIONED.fullmatch(name)]
    if not runners:
        kind = next((f": {_COMMANDS[name]}" for name in map(_without_version, exports) if name in _COMMANDS), "")
        raise ContractError(f"expected an export `{RUNNER}`, found {_listed(exports)}{kind}")
    runner = runners[0]
    interface = exports[runner].ty
    if not isinstance(interface, wc.ComponentInstanceType):
        raise ContractError(f"expected `{runner}` to be an interface, found {_kind(interface)}")
    items = {name: item.ty for name, item in interface.exports(engine).items()}
    _expect_no_async(items)
    _expect(items, "get-trigger", "func() -> string")
    handle = items.get("handle")
    expected = f"`handle: func(input: string) -> list<action-item>` with `{RECORD}` or a resource `action-item`"
    if not isinstance(handle, wc.FuncType):
        raise ContractError(f"expected {expected}, found {_missing(items, handle)}")
    result = handle.result
    element = result.element if isinstance(result, wc.ListType) else None
    if [type(ty) for _, ty in handle.params] == [wc.String]:
        if isinstance(element, wc.RecordType) and _fields(element) == [(name, wc.String) for name in FIELDS]:
            return Contract(runner, "record")
        if isinstance(element, wc.OwnType):
            return _resource_form(runner, items)
    raise ContractError(f"expected {expected}, found `handle: {spell(handle)}`")


def check_imports(component: wc.Component, engine: Any) -> None:
    """Check that what the component imports can be there.

    WASI's own interfaces are left to wasmtime, which checks them when it makes an instance. It does not check the
    types of functions written in Python, so those of our host interface are checked here.

    Raises:
        ContractError: something can't be provided.

    """
    for name, item in component.type.imports(engine).items():
        if host.is_host_import(name):
            if not isinstance(item.ty, wc.ComponentInstanceType):
                raise ContractError(f"expected `{name}` to be an interface, found {_kind(item.ty)}")
            for function, found in item.ty.exports(engine).items():
                if function not in host.FUNCTIONS:
                    raise ContractError(f"expected of `{name}` only {_listed(host.FUNCTIONS)}, found `{function}`")
                _expect({function: found.ty}, function, host.FUNCTIONS[function])
        elif _WASI_3.match(name):
            raise ContractError(
                f"it is built for WASI 0.3 (it imports `{name}`), and swiftd has WASI 0.2: {_TO_WASI_2}"
            )
        elif _WASI_OTHER.match(name):
            raise ContractError(f"expected imports of WASI 0.2 as it was released, found `{name}`: {_TO_WASI_2}")
        elif not name.startswith("wasi:"):
            raise ContractError(f"expected imports of WASI and `{host.INTERFACE}` only, found `{name}`")


def _without_version(name: str) -> str:
    return name.partition("@")[0]


def _expect_no_async(items: dict[str, Any]) -> None:
    for name in ("get-trigger", "handle", *_METHODS.values()):
        found = items.get(name)
        if isinstance(found, wc.FuncType) and _is_async(found):
            raise AsyncExportError(
                f"expected `{name}: func(…)`, found `{name}: async func(…)`: it was built with an async export, which"
                " swiftd does not call. Take `async` out of the plugin's WIT and source, and build it again"
            )


def _is_async(function: wc.FuncType) -> bool:
    """Whether it is an `async func`. wasmtime-py has no name for that yet."""
    return bool(_ffi.wasmtime_component_func_type_async(function.ptr()))


def _resource_form(runner: str, items: dict[str, Any]) -> Contract:
    for name in FIELDS[:2]:
        _expect(items, _METHODS[name], "func(self: borrow<action-item>) -> string")
    has_keywords = _METHODS["keywords"] in items
    if has_keywords:
        _expect(items, _METHODS["keywords"], "func(self: borrow<action-item>) -> string")
    return Contract(runner, "resource", has_keywords)


def _expect(items: dict[str, Any], name: str, signature: str) -> None:
    """Check one function against its signature as WIT spells it. Parameter names are the plugin's own affair."""
    found = items.get(name)
    if not isinstance(found, wc.FuncType):
        raise ContractError(f"expected `{name}: {signature}`, found {_missing(items, found)}")
    spelled = spell(found)
    if re.sub(r"\w[\w-]*: ", "", spelled).replace("borrow<resource>", "borrow<action-item>") != re.sub(
        r"\w[\w-]*: ", "", signature
    ):
        raise ContractError(f"expected `{name}: {signature}`, found `{name}: {spelled}`")


def _fields(record: wc.RecordType) -> list[tuple[str, type]]:
    return [(name, type(ty)) for name, ty in record.fields]


def _listed(names: Any) -> str:
    shown = [f"`{name}`" for name in list(names)[:8]]
    more = len(list(names)) - len(shown)
    return (", ".join(shown) + (f" and {more} more" if more else "")) if shown else "no exports at all"


def _missing(items: dict[str, Any], found: Any) -> str:
    return f"only {_listed(items)}" if found is None else _kind(found)


def _kind(item: Any) -> str:
    if isinstance(item, wc.FuncType):
        return f"a function `{spell(item)}`"
    kinds = {wc.ComponentInstanceType: "an interface", wc.ModuleType: "a core module", wc.ComponentType: "a component"}
    return kinds.get(type(item), "a type")


def spell(ty: Any) -> str:
    """A type as WIT spells it, near enough to recognise it; the start of it, where it is very long."""
    spelled = ""
    for piece in _pieces(ty):
        spelled += piece
        if len(spelled) > LONGEST_TYPE:
            return spelled[:LONGEST_TYPE] + "…"
    return spelled


def _pieces(ty: Any) -> Iterator[str]:  # noqa: C901 - one case a line or two
    """What the spelling of a type is made of, piece by piece: the whole may be too much."""
    match ty:
        case wc.FuncType():
            yield "async func(" if _is_async(ty) else "func("
            yield from _named(ty.params)
            yield ")"
            if ty.result is not None:
                yield " -> "
                yield from _pieces(ty.result)
        case wc.ListType():
            yield from _generic("list", ty.element)
        case wc.RecordType():
            yield "record { "
            yield from _named(ty.fields)
            yield " }"
        case wc.TupleType():
            yield from _generic("tuple", *ty.elements)
        case wc.OptionType():
            yield from _generic("option", ty.payload)
        case wc.ResultType():
            yield from _generic("result", ty.ok, ty.err)
        case wc.OwnType():
            yield "resource"
        case wc.BorrowType():
            yield "borrow<resource>"
        case None:
            yield "_"
        case _:
            yield _SCALARS.get(type(ty), type(ty).__name__)


def _named(types: Any) -> Iterator[str]:
    for number, (name, ty) in enumerate(types):
        yield f"{', ' if number else ''}{name[:LONGEST_TYPE]}: "
        yield from _pieces(ty)


def _generic(name: str, *arguments: Any) -> Iterator[str]:
    yield f"{name}<"
    for number, argument in enumerate(arguments):
        yield ", " if number else ""
        yield from _pieces(argument)
    yield ">"
