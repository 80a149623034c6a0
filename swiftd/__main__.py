"""The command line of swiftd."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from swiftd import __version__, daemon, log, paths
from swiftd.errors import AlreadyRunningError, DaemonError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon. Returns the exit status: 0 stopped, 1 can't start, 2 usage, 3 another one serves the socket."""
    options = _parser().parse_args(arguments)
    log.start(options.log_level.upper())
    default = paths.defaults()
    for note in [] if options.socket else paths.socket_notes():
        logging.getLogger("swiftd").warning("%s", note)
    places = daemon.Places(
        config=options.config or default.config,
        plugins=((options.plugins_dir or default.plugins, False), (default.bundled, True)),
        cache=options.cache_dir or default.cache,
        state=default.state,
        socket=options.socket or default.socket,
    )
    try:
        daemon.check_limits()
        trio.run(daemon.run, places)
    except DaemonError as error:
        logging.getLogger("swiftd").critical("%s", error)
        return EXIT_ALREADY_RUNNING if isinstance(error, AlreadyRunningError) else EXIT_FAILED
    return 0


def _place(text: str) -> Path:
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111 - it never raises


class _Parser(argparse.ArgumentParser):
    """One whose help may be cut short: nobody need read it to its end."""

    def _print_message(self, message: str, file: TextIO | None = None) -> None:  # type: ignore[override]
        try:
            super()._print_message(message, file)
            if file is not None:
                file.flush()
        except OSError:
            # What is left in the buffer goes nowhere, or the interpreter would try, and fail, once more at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="swiftd",
        description="The back end of an application launcher: keeps sandboxed plugins warm and answers on a socket.",
    )
    for option, meaning in (
        ("--socket", "where to listen"),
        ("--plugins-dir", "the folder of your plugins"),
        ("--config", "the configuration file"),
        ("--cache-dir", "where compiled plugins are kept"),
    ):
        parser.add_argument(option, type=_place, metavar="PATH", help=meaning)
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="how much to say (info)"
    )
    parser.add_argument("--version", action="version", version=f"swiftd {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
