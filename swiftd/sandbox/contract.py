"""Does a component fulfil the contract, and in which form? Read from its own types, without running it.

The contract is wit/: an export `swift:launcher/runner`, unversioned or with any version 0.x or 1.x, with
`get-trigger` and `handle`. Whatever is wrong is said as "expected ..., found ...", in WIT's own words.
"""

from __future__ import annotations

import re
from typing import Any

from wasmtime import component as wc

from swiftd.sandbox import host
from swiftd.sandbox.messages import Contract

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


class ContractError(Exception):
    """The component is no plugin: what was expected, and what was found."""


def read_contract(component: wc.Component, engine: Any) -> Contract:
    """The contract that `component` fulfils.

    Raises:
        ContractError: none.

    """
    exports = component.type.exports(engine)
    runners = [name for name in exports if _VERSIONED.fullmatch(name)]
    if not runners:
        raise ContractError(f"expected an export `{RUNNER}`, found {_listed(exports)}")
    runner = runners[0]
    interface = exports[runner].ty
    if not isinstance(interface, wc.ComponentInstanceType):
        raise ContractError(f"expected `{runner}` to be an interface, found {_kind(interface)}")
    items = {name: item.ty for name, item in interface.exports(engine).items()}
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
        elif not name.startswith("wasi:"):
            raise ContractError(f"expected imports of WASI and `{host.INTERFACE}` only, found `{name}`")


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


def spell(ty: Any) -> str:  # noqa: PLR0911 - one case a line
    """A type as WIT spells it, near enough to recognise it."""
    match ty:
        case wc.FuncType():
            params = ", ".join(f"{name}: {spell(param)}" for name, param in ty.params)
            return f"func({params})" + (f" -> {spell(ty.result)}" if ty.result is not None else "")
        case wc.ListType():
            return f"list<{spell(ty.element)}>"
        case wc.RecordType():
            return "record { " + ", ".join(f"{name}: {spell(field)}" for name, field in ty.fields) + " }"
        case wc.TupleType():
            return f"tuple<{', '.join(spell(element) for element in ty.elements)}>"
        case wc.OptionType():
            return f"option<{spell(ty.payload)}>"
        case wc.ResultType():
            return f"result<{spell(ty.ok) if ty.ok else '_'}, {spell(ty.err) if ty.err else '_'}>"
        case wc.OwnType():
            return "resource"
        case wc.BorrowType():
            return "borrow<resource>"
    return _SCALARS.get(type(ty), type(ty).__name__)
