"""`swift:launcher/host`: what swiftd itself offers to a plugin (wit/record/launcher.wit).

wasmtime-py carries a host function's exception through one global, so only WasmtimeError may leave one of these.
No result here is an `option`, for which it uses another global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmtime import WasmtimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmtime import component as wc

INTERFACE = "swift:launcher/host"
FUNCTIONS = {"get-user-config": "func() -> string", "log": "func(level: string, message: string)"}
"""What it has, as WIT spells it."""
LEVELS = ("debug", "info", "warning", "error")


def is_host_import(name: str) -> bool:
    """Whether an import is this interface, in any version."""
    return name == INTERFACE or name.startswith(INTERFACE + "@")


def define(root: wc.LinkerInstance, name: str, settings: str, log: Callable[[str, str], None]) -> None:
    """Give the guest the interface under the name it imports it by."""

    def get_user_config(_store: Any) -> str:
        return settings

    def write(_store: Any, level: str, message: str) -> None:
        if level not in LEVELS:
            raise WasmtimeError(f"log: expected a level of {', '.join(LEVELS)}, found {level[:20]!r}")
        log(level, message)

    with root.add_instance(name) as interface:
        interface.add_func("get-user-config", get_user_config)
        interface.add_func("log", write)
