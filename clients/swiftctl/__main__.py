"""From the command line to an exit status.

There are two ways in. cli.py has the one full definition of all commands and options, and words all usage errors; it
costs argparse. `plain_query` and `plain_rofi` recognise nothing but the plain, well-formed calls that front ends make
at every key, and hand over everything else. A test holds the two together over many command lines.
"""

from __future__ import annotations

import os
import sys

from swiftctl import STATUS_INTERRUPTED, STATUS_USAGE, DaemonError, Options, SwiftctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Form

FORMS: dict[str, Form] = {"--json": "json", "--tsv": "tsv", "--fzf": "fzf"}


def main(argv: list[str] | None = None) -> int:
    """Carry out one command line (without the program's name) and return the exit status."""
    options = Options()
    try:
        return _run(sys.argv[1:] if argv is None else argv, options)
    except SwiftctlError as error:
        from swiftctl import show  # noqa: PLC0415 - for failures only

        if isinstance(error, DaemonError) and error.line and options.form == "json":
            show.write(show.json_line(error.line))
        show.complain(str(error))
        return error.status
    except KeyboardInterrupt:
        return STATUS_INTERRUPTED


def plain_query(argv: list[str], options: Options) -> bool:
    """Fill `options` from `query [--json|--tsv|--fzf] [--] TEXT`; False, and nothing filled, for any other command."""
    if argv[:1] != ["query"]:
        return False
    rest = argv[1:]
    form = FORMS.get(rest[0]) if rest else None
    if form:
        del rest[0]
    if rest[:1] == ["--"]:
        del rest[0]
    elif rest and rest[0].startswith("-"):
        return False
    if len(rest) != 1 or rest[0] == "--":
        return False
    try:
        rest[0].encode()
    except UnicodeEncodeError:  # bytes that were no text: cli.py knows what to say
        return False
    options.command, options.text = "query", rest[0]
    if form:
        options.form = form
    return True


def plain_rofi(argv: list[str], options: Options) -> bool:
    """Fill `options` from `rofi [--live]`; False, and nothing filled, for any other command line."""
    if argv[:1] != ["rofi"] or argv[1:] not in ([], ["--live"]):
        return False
    options.command, options.live = "rofi", len(argv) > 1
    return True


def rofi_call(argv: list[str]) -> tuple[list[str], str] | None:
    """Take a command line of rofi's apart: our own words, and what the user typed or chose. None if rofi does not call.

    rofi gives the text as the last argument, except at its start, so it is cut off before anything looks for options.
    """
    happened = os.environ.get("ROFI_RETV")
    if happened is None or (sys.stdout and sys.stdout.isatty()):  # a terminal that was started from rofi
        return None
    if happened != "0" and _is_rofi(argv[:-1]):
        return argv[:-1], os.fsencode(argv[-1]).decode(errors="replace")
    return (argv, "") if _is_rofi(argv) else None


def _is_rofi(words: list[str]) -> bool:
    """Whether the command, after the options that may stand before it, is `rofi`."""
    at = 0
    while words[at : at + 1] and words[at].startswith("-"):
        at += 2 if words[at] == "--socket" else 1
    return words[at : at + 1] == ["rofi"]


def _run(argv: list[str], options: Options) -> int:
    if plain_query(argv, options):
        from swiftctl import query  # noqa: PLC0415 - not for other commands

        return query.run(options)
    if call := rofi_call(argv):
        argv, options.text = call
        options.from_rofi = True
        if plain_rofi(argv, options):
            from swiftctl import rofi  # noqa: PLC0415 - not for other commands

            return rofi.run(options)
    from swiftctl import cli, show  # noqa: PLC0415 - costs argparse

    try:
        cli.parse(argv, options)
    except SystemExit as stop:  # argparse has said its piece: help, version, or what is wrong
        show.write(b"")
        return stop.code if isinstance(stop.code, int) else STATUS_USAGE
    return cli.runner(options)(options)


if __name__ == "__main__":
    sys.exit(main())
