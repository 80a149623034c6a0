"""Every command and option, and what is said of a wrong command line.

A command is a parser here and a module of this package whose `run(options)` returns the exit status. Defaults stand
in `Options`; the parsers only set what was given. `__main__.plain_query` knows a part of this as well.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from swiftctl import Options, show
from swiftd import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

STATUS_HELP = """\
exit status:
  0  there is an answer           3  no daemon, and none could be started
  1  the answer is empty          4  the daemon answered with an error, or too late
  2  the command line is wrong    5  this side failed: the clipboard, a menu, the output
"""

MENUS = ("dmenu", "bemenu", "wofi", "fuzzel", "tofi", "rofi", "walker")
SHELLS = ("bash", "zsh", "fish")


NO_ARGUMENT = ("rofi", "menu", "fzf")
"""Commands whose text is an option's value, or comes from rofi."""

TIMEOUT_MAX = 86_400.0
"""Seconds: a day. Longer is a slip of the finger."""


def parse(argv: list[str], options: Options) -> None:
    """Understand a command line.

    Raises:
        SystemExit: it is wrong (2, with a message on stderr), or asks for the help or the version (0).

    """
    parser = build()
    given = options.text  # by rofi
    _, extra = parser.parse_known_args(argv, options)  # any object will do as a namespace
    if options.command == "query" and not options.stdin and "text" not in vars(options):
        parser.error("the following arguments are required: TEXT")
    if extra:
        if options.text != given and not any(word.startswith("-") for word in extra):
            parser.error("TEXT is one argument: put several words in quotes")
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if options.command == "query" and options.supersede and not options.stdin:
        parser.error("argument --supersede: only with argument --stdin: one query has none before it")
    if options.command == "query" and options.stdin:
        _check_stdin(parser, options)
    if options.command in NO_ARGUMENT or "--" in argv[:-1]:
        return
    if options.text.startswith("-"):  # argparse lets "-5" and "-a b" pass
        parser.error(f"TEXT that starts with `-` goes after `--`: -- {options.text}")


def _check_stdin(parser: argparse.ArgumentParser, options: Options) -> None:
    if "text" in vars(options):
        parser.error("--stdin reads what to ask: there is no place for TEXT")
    if options.form in ("tsv", "fzf"):
        parser.error(f"argument --{options.form}: not allowed with argument --stdin, which prints answers as received")
    options.command = "stdin"


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

    _query(_command(commands, "query", "query", "print what the plugins answer to TEXT, a line for each item"))
    _key(_command(commands, "run", "run", "start what an item of an earlier answer stands for"))
    _key(_command(commands, "item", "item", "print the command that `run` would start"))

    menu = _command(commands, "menu", "menu", "ask and choose in a menu, until an item is run")
    menu.add_argument(
        "tool", nargs="?", choices=MENUS, default=None, help="the menu program, if not the one found for this session"
    )
    _first(menu)
    _first(_command(commands, "fzf", "fzf", "ask and choose in a terminal: results follow each key"))
    rofi = _command(commands, "rofi", "rofi", "start rofi, or answer it: rofi -modi 'swift:swiftctl rofi' -show swift")
    rofi.add_argument("--live", action="store_true", help="let results follow each key (rofi 1.7.6 and later)")

    for name, purpose in (
        ("plugins", "list the plugins and how they fare"),
        ("stats", "print counts and latencies since the daemon started"),
        ("ping", "print who serves, its version, and how long a round trip takes"),
    ):
        command = _command(commands, name, name, purpose)
        _json(command)
        _timeout(command)
        if name == "plugins":
            command.add_argument("--watch", action="store_true", help="show it again after every change")
    _administration(commands)
    _command(commands, "doctor", "doctor", "check everything that front ends need, and say what to do")

    _text(_command(commands, "copy", "clipboard", "put TEXT on the clipboard"), "what to copy")
    opener = _command(commands, "open", "opener", "open a file or an address with the desktop's program for it")
    opener.add_argument("text", metavar="URI|PATH", help="what to open; after `--` it may start with `-`")
    completion = _command(commands, "completion", "completion", "print the completions for a shell (needs shtab)")
    completion.add_argument("tool", choices=SHELLS, help="the shell")
    return parser


def _administration(commands: argparse._SubParsersAction[_Parser]) -> None:
    logs = _command(commands, "logs", "logs", "print what plugins printed, and how they failed")
    logs.add_argument("text", nargs="?", type=_utf8, metavar="PLUGIN", help="only this plugin's")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until interrupted")
    _json(logs)
    check = _command(commands, "check", "check", "try a file as if it were installed, without installing it")
    check.add_argument("path", metavar="FILE.wasm", help="the file")
    check.add_argument("--query", dest="text", type=_utf8, metavar="TEXT", help="what to ask it")
    check.add_argument("--as", dest="plugin", type=_utf8, metavar="PLUGIN", help="with this one's grants and settings")
    _json(check)
    for name, purpose in (
        ("reload", "look at the plugins and the configuration again, also at what was refused"),
        ("enable", "switch a plugin on again"),
        ("disable", "switch a plugin off, also for daemons to come"),
    ):
        switch = _command(commands, name, "switch", purpose)
        switch.set_defaults(op=name)
        switch.add_argument(
            "text", nargs="?" if name == "reload" else None, type=_utf8, metavar="PLUGIN", help="the plugin's name"
        )
        _timeout(switch)
    _timeout(logs)
    _timeout(check)
    _timeout(_command(commands, "stop", "stop", "end the daemon"))
    service = _command(commands, "service", "service", "make swiftd a service of your systemd, started at need")
    service.add_argument("tool", choices=("install", "uninstall", "status"), help="what to do")
    service.add_argument("--plain", action="store_true", help="without what takes a user namespace")


def _query(parser: argparse.ArgumentParser) -> None:
    _text(parser, "what to ask, trigger included, such as '=2+2*3'", nargs="?")
    forms = parser.add_mutually_exclusive_group()
    _json(forms)
    forms.add_argument(
        "--tsv", dest="form", action="store_const", const="tsv", help="print the item's key, a tab, and its name"
    )
    forms.add_argument("--fzf", dest="form", action="store_const", const="fzf", help=argparse.SUPPRESS)
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read what to ask from standard input, a line each, and print each answer as a line of JSON",
    )
    parser.add_argument(
        "--supersede",
        action="store_true",
        help="with --stdin, for what is being typed: a line ends the query before it, if unfinished",
    )
    parser.add_argument("--limit", type=_limit, metavar="N", help="print at most N items")
    _timeout(parser)


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", type=_utf8, metavar="KEY", help="the item's key, from `query --tsv` or `--json`")
    _timeout(parser)


def _first(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", dest="text", type=_utf8, metavar="TEXT", help="what to ask at first")
    _timeout(parser)


class _Parser(argparse.ArgumentParser):
    """One whose usage errors carry the main program's name only, and point to the help."""

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, **more)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"swiftctl: {message}\nTry `{self.prog} --help`.\n")

    def _print_message(self, message: str, file: TextIO | None = None) -> None:  # type: ignore[override]
        """Everything argparse says comes here. Some versions of it don't expect that nobody may read it."""
        if file is None or file is not sys.stderr:
            show.write(message.encode())
            return
        with suppress(OSError):
            super()._print_message(message, file)


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


def _text(parser: argparse.ArgumentParser, purpose: str, **more: Any) -> None:
    parser.add_argument("text", type=_utf8, metavar="TEXT", help=f"{purpose}; after `--` it may start with `-`", **more)


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
