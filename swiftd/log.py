"""The daemon's own log: how its lines look, and how often one of a kind may come.

A line quotes what others chose: names of files, words of plugins, what a client sent. What could drive a terminal, or
make one line look like two, is escaped here, whatever was done about it before.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from typing import TYPE_CHECKING

from swiftd.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

SELDOM = 60.0
"""Seconds between two lines of a kind that anybody can cause as often as he likes."""


def start(level: str) -> None:
    """Write to stderr: with the time for a person, with syslog's level for the journal, which knows the time itself."""
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal():
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every change, and so do we
    sys.excepthook = _failed
    sys.unraisablehook = lambda found: logging.getLogger("swiftd").error(
        "%s: %r", found.err_msg or "an exception that nobody could be told of", found.object, exc_info=found.exc_value
    )


class Seldom:
    """Warnings that come once at first, and then at most once a minute, with how many there were."""

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}  # by format: when the last came, how many were left out since

    def warning(self, message: str, *arguments: object) -> None:
        """One of the kind that `message` is."""
        if whole := self._due(message):
            self._log.warning(whole, *arguments)

    def failure(self, message: str, *arguments: object) -> None:
        """The same, as an error and with the exception that is being handled."""
        if whole := self._due(message):
            self._log.exception(whole, *arguments)

    def _due(self, message: str) -> str:
        """The message, with how many like it were left out; empty if it is left out, too."""
        now = self._now()
        last, left_out = self._kinds.get(message, (-math.inf, 0))
        if now - last < SELDOM:
            self._kinds[message] = last, left_out + 1
            return ""
        self._kinds[message] = now, 0
        return f"{message} ({left_out} more like it since the last time)" if left_out else message


class _Formatter(logging.Formatter):
    """Lines in which nothing is left that would do more than be read."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - as above
        # The words of an exception may have lines of their own: none of them is to pass for one of the log.
        return "\n".join("  " + escaped(line) for line in super().formatException(ei).split("\n"))


class _JournalFormatter(_Formatter):
    """Every line with syslog's number for its level before it (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        levels = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}
        prefix = f"<{levels.get(record.levelname, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def _failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught ends the program, and goes the same way as every other line."""
    logging.getLogger("swiftd").critical("swiftd failed", exc_info=(kind, error, trace))


def _is_journal() -> bool:
    """Whether stderr is the journal's own socket (systemd.exec(5), JOURNAL_STREAM)."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    if sys.stderr is None or not stream:
        return False
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"
