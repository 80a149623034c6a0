"""Every command and option, and what is said of a wrong command line.

A command is a parser here and a module of this package whose `run(options)` returns the exit status. Defaults stand
in `Options`; the parsers only set what was given. `__main__.plain_query` knows a part of this as well.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
from typing import TYPE_CHECKING, Any, NoReturn

from swiftctl import Options
from swiftd import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_HELP = """\
exit status:
  0  there is an answer           3  no daemon, and none could be started
  1  the answer is empty          4  the daemon answered with an error, or too late
  2  the command line is wrong    5  the clipboard or the output failed
"""

TIMEOUT_MAX = 86_400.0
"""Seconds: a day. Longer is a slip of the finger."""


def parse(argv: list[str], options: Options) -> None:
    """Understand a command line.

    Raises:
        SystemExit: it is wrong (2, with a message on stderr), or asks for the help or the version (0).

    """
    parser = build()
    _, extra = parser.parse_known_args(argv, options)  # any object will do as a namespace
    if extra:
        if options.text and not any(word.startswith("-") for word in extra):
            parser.error("TEXT is one argument: put several words in quotes")
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    after = argv[argv.index("--") + 1 :] if "--" in argv else []
    if options.text.startswith("-") and not after:  # argparse lets "-5" and "-a b" pass
        parser.error(f"TEXT that starts with `-` goes after `--`: -- {options.text}")


def runner(options: Options) -> Callable[[Options], int]:
    """What carries the command out."""
    module = importlib.import_module(f"swiftctl.{options.command}")
    run: Callable[[Options], int] = module.run
    return run


def build() -> argparse.ArgumentParser:
    """The whole command line, also for completions and man pages."""
    parser = _Parser(
        prog="swiftctl",
        description="Ask swiftd, the back end of an application launcher.",
        epilog=STATUS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"swiftctl {__version__}")
    _common(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    query = _command(commands, "query", "query", "print what the plugins answer to TEXT, a line for each item")
    _text(query, "what to ask, trigger included, such as '=2+2*3'")
    forms = query.add_mutually_exclusive_group()
    _json(forms)
    forms.add_argument(
        "--tsv", dest="form", action="store_const", const="tsv", help="print the item's key, a tab, and its name"
    )
    query.add_argument("--limit", type=_limit, metavar="N", help="print at most N items")
    _timeout(query)

    for name, purpose in (
        ("plugins", "list the plugins and how they fare"),
        ("stats", "print counts and latencies since the daemon started"),
        ("ping", "print who serves, its version, and how long a round trip takes"),
    ):
        command = _command(commands, name, name, purpose)
        _json(command)
        _timeout(command)

    _text(_command(commands, "copy", "clipboard", "put TEXT on the clipboard"), "what to copy")
    return parser


class _Parser(argparse.ArgumentParser):
    """One whose usage errors carry the main program's name only, and point to the help."""

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, **more)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"swiftctl: {message}\nTry `{self.prog} --help`.\n")


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, module: str, purpose: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
    parser.set_defaults(command=module)
    _common(parser)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=_path, metavar="PATH", help="the daemon's socket, if not the usual one")
    parser.add_argument("--no-start", dest="start", action="store_false", help="never start the daemon")


def _json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--json",
        dest="form",
        action="store_const",
        const="json",
        help="print the answer as received, as a line of JSON",
    )


def _timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"how long everything may take, a start of the daemon included (default {Options.timeout:g})",
    )


def _text(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("text", type=_utf8, metavar="TEXT", help=f"{purpose}; after `--` it may start with `-`")


def _utf8(argument: str) -> str:
    """The text of an argument, also where the locale knows ASCII only."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(argument).decode()
        except UnicodeError:
            raise argparse.ArgumentTypeError("these bytes are not UTF-8 text") from None
    return argument


def _path(argument: str) -> str:
    if not argument:
        raise argparse.ArgumentTypeError("a path is expected, not nothing")
    return argument


def _limit(argument: str) -> int:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 10 and int(argument)):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"a number from 1 on is expected, not {argument!r}")
    return int(argument)


def _seconds(argument: str) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"seconds are expected, up to {TIMEOUT_MAX:.0f}, not {argument!r}")
    return seconds
