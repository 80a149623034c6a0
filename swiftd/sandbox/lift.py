"""Call a guest's functions and read what they return, through wasmtime's C interface.

wasmtime-py's own `Func.__call__` asks for the function's type at every call and converts each value through a class:
50 of the 62 µs a small call takes, and 25 µs an item against 4 here. More important, it lifts an answer whatever its
size: 600,000 empty items kept it busy for 14 s after the guest had returned. Here sizes are looked at first.

The layouts are wasmtime's `component/val.h`; this module is the only one that knows them.
"""

from __future__ import annotations

import os
from ctypes import CFUNCTYPE, byref, c_void_p, cast, create_string_buffer, memmove, sizeof, string_at
from typing import TYPE_CHECKING, Any

from wasmtime import WasmtimeError, _ffi

from swiftd.sandbox.shorten import LOOKAHEAD, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasmtime import Store

    from swiftd.sandbox.messages import Limits

Item = tuple[str, str, str]

_STRING = _ffi.WASMTIME_COMPONENT_STRING.value
_val = _ffi.wasmtime_component_val_t


class TooLargeError(Exception):
    """A string is longer than its limit."""


def call(store: Store, func: Any, argument: Any = None) -> Any:
    """Call `func` with no or one value; its result is the caller's to `free`.

    Raises:
        WasmtimeError: the guest trapped, or what it returned can't be read.

    """
    result = _val()
    count = 0 if argument is None else 1
    error = _ffi.wasmtime_component_func_call(
        byref(func._func),  # noqa: SLF001 - see the module's docstring
        store._context(),  # noqa: SLF001
        None if argument is None else byref(argument),
        count,
        byref(result),
        1,
    )
    if error:
        raise WasmtimeError._from_ptr(error)  # noqa: SLF001
    return result


def free(value: Any) -> None:
    """Give back all memory that `value` holds."""
    _ffi.wasmtime_component_val_delete(byref(value))


def lower(text: str) -> Any:
    """`text` as a value of the C interface, the caller's to `free`."""
    value = _val()
    value.kind = _STRING
    value.of.string = _ffi.str_to_capi(text)
    return value


def call_for_string(store: Store, func: Any, limit: int, argument: Any = None) -> str:
    """Call `func` and read the string it returns.

    Raises:
        TooLargeError: it is longer than `limit` bytes.
        WasmtimeError: the guest trapped.

    """
    result = call(store, func, argument)
    try:
        return _string(result.of.string, limit)
    finally:
        free(result)


def records(result: Any, limits: Limits) -> tuple[list[Item], str | None]:
    """The items of a `list<record>`, and why some are missing, if so."""
    entries = (entry.of.record.data for entry in _entries(result, limits))
    return _gather(([fields[n].val.of.string for n in range(3)] for fields in entries), _size(result), limits)


def resources(result: Any, store: Store, methods: list[Any], limits: Limits) -> tuple[list[Item], str | None]:
    """The items of a `list<action-item>`, each asked for its fields, then dropped.

    Those beyond the limit end with the store.

    `methods` are get-name, get-exec and get-keywords (or None where the plugin has none).

    Raises:
        WasmtimeError: a method or a destructor trapped.

    """

    def asked() -> Iterator[list[Any]]:
        for entry in _entries(result, limits):
            values: list[Any] = []  # each is C memory of ours, also when the next call traps
            try:
                for method in methods:
                    values.append(call(store, method, entry) if method is not None else None)  # noqa: PERF401
                yield [value.of.string if value is not None else None for value in values]
            finally:
                for value in values:
                    if value is not None:
                        free(value)

    answer = _gather(asked(), _size(result), limits)
    for entry in _entries(result, limits):  # after a trap there is nothing to drop: the store is finished
        if error := _ffi.wasmtime_component_resource_any_drop(store._context(), entry.of.resource):  # noqa: SLF001
            raise WasmtimeError._from_ptr(error)  # noqa: SLF001
    return answer


def _size(result: Any) -> int:
    return int(result.of.list.size)


def _entries(result: Any, limits: Limits) -> Iterator[Any]:
    data = result.of.list.data
    return (data[n] for n in range(min(_size(result), limits.max_items)))


def _gather(rows: Iterator[list[Any]], size: int, limits: Limits) -> tuple[list[Item], str | None]:
    """Read rows of three strings (None for an absent one) within the limits."""
    items: list[Item] = []
    notes: dict[str, str] = {}
    room = limits.answer
    most = (limits.name, limits.exec, limits.name)
    for row in rows:
        sizes = [0 if string is None else string.size for string in row]
        room -= sum(map(min, sizes, most))
        if room < 0:
            break
        try:
            name, command, keywords = (
                "" if s is None else _string(s, limit) for s, limit in zip(row, most, strict=True)
            )
        except TooLargeError:
            if sizes[1] > limits.exec:  # a part of a command is another command
                notes.setdefault("an item was left out", _too_large(sizes[1], limits.exec))
                continue
            what, field = ("a name was cut", 0) if sizes[0] > limits.name else ("keywords were cut", 2)
            notes.setdefault(what, _too_large(sizes[field], limits.name))
            name, command, keywords = (_cut(s, limit) for s, limit in zip(row, most, strict=True))
        items.append((name, command, keywords))
    said = [f"{what}: {why}" for what, why in notes.items()]
    if room < 0:
        said.append(f"the answer is longer than {limits.answer} bytes: the first {len(items)} items are shown")
    if size > limits.max_items:
        said.append(f"{size} items came: the first {limits.max_items} are shown")
    return items, "; ".join(said) or None


def _string(string: Any, limit: int) -> str:
    size = string.size
    if size > limit:
        raise TooLargeError(_too_large(size, limit))
    return string_at(string.data, size).decode() if size else ""


def _too_large(size: int, limit: int) -> str:
    return f"a string of {size} bytes, where at most {limit} are allowed"


def _cut(string: Any, limit: int) -> str:
    """The string, or as much of it as the limit has room for."""
    if string is None:
        return ""
    if string.size <= limit:
        return _string(string, limit)
    return shortened(string_at(string.data, min(string.size, limit + LOOKAHEAD)), limit)


def add_random_bytes(interface: Any, name: str, most: int, refusal: Callable[[int], str]) -> None:
    """Define `name: func(len: u64) -> list<u8>`, which returns random bytes, or traps with `refusal(len)`.

    Written against the C interface because wasmtime-py makes a list a byte at a time: 64 KiB would take 0.2 s.
    """

    def give(_data: Any, _context: Any, _type: Any, arguments: Any, _count: Any, results: Any, _results: Any) -> int:
        try:
            wanted = int(arguments[0].of.u64)
            if wanted > most:
                raise WasmtimeError(refusal(wanted))
            _fill(results[0], os.urandom(wanted))
        except WasmtimeError as error:
            return _consumed(error)
        except Exception as error:  # noqa: BLE001 - nothing else may leave a host function
            return _consumed(WasmtimeError(str(error)))
        return 0

    callback = _ffi.wasmtime_component_func_callback_t(give)
    _callbacks.append(callback)  # wasmtime holds its address; a plugin has one or two, as long as it is loaded
    spelled = create_string_buffer(name.encode())
    error = _ffi.wasmtime_component_linker_instance_add_func(
        interface.ptr(), spelled, len(name), callback, None, _NO_FINALIZER
    )
    if error:
        raise WasmtimeError._from_ptr(error)  # noqa: SLF001


_callbacks: list[Any] = []
_NO_FINALIZER = CFUNCTYPE(None, c_void_p)(0)
_KIND_U8 = _ffi.WASMTIME_COMPONENT_U8.value


def _consumed(error: WasmtimeError) -> int:
    """Hand an error over to wasmtime."""
    return int(cast(error._consume(), c_void_p).value or 0)  # noqa: SLF001


def _fill(result: Any, data: bytes) -> None:
    """Make `result` a `list<u8>`: an array of values, of which only the kind and one byte are set."""
    stride = sizeof(_val)
    values = bytearray(stride * len(data))
    values[_val.kind.offset :: stride] = bytes([_KIND_U8]) * len(data)
    values[_val.of.offset :: stride] = data
    _ffi.wasmtime_component_vallist_new_uninit(byref(result.of.list), len(data))
    if data:
        memmove(result.of.list.data, bytes(values), len(values))
    result.kind = _ffi.WASMTIME_COMPONENT_LIST.value
