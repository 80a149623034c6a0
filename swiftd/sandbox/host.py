"""`swift:launcher/host`: what swiftd itself offers to a plugin (wit/record/launcher.wit).

wasmtime-py carries a host function's exception through one global, so only WasmtimeError may leave one of these: none
raises anything. No result here is an `option`, for which it uses another global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmtime import component as wc

INTERFACE = "swift:launcher/host"
FUNCTIONS = {"get-user-config": "func() -> string", "log": "func(level: string, message: string)"}
"""What it has, as WIT spells it."""

LEVELS = {
    "debug": ("debug", "trace", "verbose", "fine", "finer", "finest"),
    "info": ("info", "information", "notice", "log", ""),
    "warning": ("warning", "warn"),
    "error": ("error", "err", "fatal", "critical", "crit", "severe", "alert", "emerg", "emergency", "panic"),
}
"""The levels of a log, and how loggers of other languages and systems call them."""
_LEVEL_OF = {name: level for level, names in LEVELS.items() for name in names}
_LONGEST_LEVEL = 20
"""Characters of an unknown level that are kept."""


def is_host_import(name: str) -> bool:
    """Whether an import is this interface, in any version."""
    return name == INTERFACE or name.startswith(INTERFACE + "@")


def define(root: wc.LinkerInstance, name: str, settings: str, log: Callable[[str, str], None]) -> None:
    """Give the guest the interface under the name it imports it by."""

    def get_user_config(_store: Any) -> str:
        return settings

    def write(_store: Any, level: str, message: str) -> None:
        log(*levelled(level, message))

    with root.add_instance(name) as interface:
        interface.add_func("get-user-config", get_user_config)
        interface.add_func("log", write)


def levelled(level: str, message: str) -> tuple[str, str]:
    """A message under the level of ours that is nearest to the plugin's; one that nobody knows stays readable."""
    known = _LEVEL_OF.get(level[: _LONGEST_LEVEL + 1].strip().lower())
    return (known, message) if known else ("info", f"{level[:_LONGEST_LEVEL]}: {message}")
