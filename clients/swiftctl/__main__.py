"""From the command line to an exit status.

There are two ways in. cli.py has the one full definition of all commands and options, and words all usage errors; it
costs argparse. `plain_query` recognises nothing but the plain, well-formed `query` that front ends send at every key,
and hands over everything else. A test holds the two together over many command lines.
"""

from __future__ import annotations

import sys

from swiftctl import STATUS_INTERRUPTED, STATUS_USAGE, DaemonError, Options, SwiftctlError


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
    """Fill `options` from `query [--json|--tsv] [--] TEXT`; False, and nothing filled, for any other command line."""
    if argv[:1] != ["query"]:
        return False
    rest = argv[1:]
    form = rest.pop(0) if rest[:1] in (["--json"], ["--tsv"]) else None
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
        options.form = "json" if form == "--json" else "tsv"
    return True


def _run(argv: list[str], options: Options) -> int:
    if plain_query(argv, options):
        from swiftctl import query  # noqa: PLC0415 - not for other commands

        return query.run(options)
    from swiftctl import cli, show  # noqa: PLC0415 - costs argparse

    try:
        cli.parse(argv, options)
    except SystemExit as stop:  # argparse has said its piece: help, version, or what is wrong
        show.write(b"")
        return stop.code if isinstance(stop.code, int) else STATUS_USAGE
    return cli.runner(options)(options)


if __name__ == "__main__":
    sys.exit(main())
