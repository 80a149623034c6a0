"""`swiftctl completion`: what a shell needs to complete our command line.

shtab makes it from the command line's own definition. What stands for a file or a plugin is known by its metavar.
"""

from __future__ import annotations

import argparse

from swiftctl import STATUS_ANSWER, SwiftctlError, cli, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from swiftctl import Options

FILES = ("PATH", "FILE.wasm", "URI|PATH")
PLUGIN = "PLUGIN"

NAMES = "swiftctl --no-start plugins --timeout 2 2>/dev/null | sed -e 1d -e 's/ .*//'"
"""Prints the plugins of a daemon that runs; a key in a shell is no reason to start one."""

PLUGINS = {"bash": "_swiftctl_plugins", "zsh": "_swiftctl_plugins", "fish": "(_swiftctl_plugins)"}
PREAMBLE = {
    "bash": f'_swiftctl_plugins() {{ compgen -W "$({NAMES})" -- "$1"; }}\n',
    "zsh": f'_swiftctl_plugins() {{ compadd -- ${{(f)"$({NAMES})"}}; }}\n',
    "fish": f"function _swiftctl_plugins; {NAMES}; end\n",
}  # fmt: skip


def run(options: Options) -> int:
    """Print the shell's script, made by shtab from the command line's own definition.

    Raises:
        SwiftctlError: there is no shtab.

    """
    try:
        import shtab  # noqa: PLC0415 - only here, and only wanted by packagers
    except ImportError:
        raise SwiftctlError("completions are made by shtab: install it, such as by `pip install shtab`") from None
    parser = cli.build()
    _mark(parser, dict.fromkeys(FILES, shtab.FILE) | {PLUGIN: PLUGINS})
    name = options.tool or ""
    show.write(shtab.complete(parser, shell=name, preamble=PREAMBLE[name]).encode() + b"\n")
    return STATUS_ANSWER


def _mark(parser: argparse.ArgumentParser, completed: Mapping[str, object]) -> None:
    """Tell shtab, in its way, what completes the arguments of this parser and of its commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse shows them to nobody otherwise; shtab reads them, too
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                _mark(command, completed)
        elif isinstance(action.metavar, str) and action.metavar in completed:
            action.complete = completed[action.metavar]  # type: ignore[attr-defined]
