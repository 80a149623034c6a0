"""`swiftctl query --stdin`: a query a line in, an answer a line out, over one connection.

For editors, status bars and scripts that stay open. Each line read gets exactly one line of JSON, in the order of the
lines; its `id` is the line's number, from 1. A line is asked when the one before it has its answer. With `--supersede`,
for those who pass on what is being typed, it is asked at once and ends the query before it, if unfinished: that one's
answer then has the status `superseded`. If the daemon goes away, what it has not answered gets an error, and the next
line connects again. The end of the input ends the program, once the last answer is out.
"""

from __future__ import annotations

import math
import os
import select
import sys
import time

from swiftctl import STATUS_ANSWER, STATUS_DAEMON_ERROR, DaemonError, SwiftctlError, show
from swiftctl.jsonlines import encode
from swiftctl.wire import LATE, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message
    from swiftctl.wire import Connection

STDIN = 0
CHUNK = 64 << 10
BOM = b"\xef\xbb\xbf"
"""What some editors and shells put before the first line."""

REQUEST_MAX = 64 << 10
"""Bytes of a request; the daemon skips a longer one, and its error names no id."""

UNFINISHED_MAX = 16
"""Superseding queries under way. More are read only then: a file as input must not flood the daemon."""


def run(options: Options) -> int:
    """Read, ask and print until the input and the answers have ended."""
    return Exchange(options).run()


class Exchange:
    """One run of the program."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._connection: Connection | None = None
        self._lines: list[bytes] = []
        """Read and not yet asked."""
        self._rest = b""
        self._ended = False
        self._number = 0
        self._waiting: dict[int, float] = {}
        """By number, when an answer is too late."""
        self._unfinished_max = UNFINISHED_MAX if options.supersede else 1
        self._answers: dict[int, tuple[bytes, int]] = {}
        """By number, answers that came before an earlier line's, each with the status that it makes."""
        self._printed = 0
        self._status = STATUS_ANSWER

    def run(self) -> int:
        """The exit status is that of the last line's answer."""
        if sys.stdin is None:
            raise SwiftctlError("standard input is closed: there is nothing to read what to ask from")
        self._connect()
        try:
            while not self._ended or self._lines or self._waiting:
                if self._lines and len(self._waiting) < self._unfinished_max:
                    self._ask(self._lines.pop(0))
                else:
                    self._wait()
        finally:
            self._hang_up()
        return self._status

    def _connect(self) -> Connection:
        deadline = time.monotonic() + self._options.timeout
        if self._connection is None:
            self._connection = connect(self._options, deadline)
        self._connection.deadline = deadline
        return self._connection

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _wait(self) -> None:
        """Wait for something, and deal with it."""
        reading = not self._ended and not self._lines
        sources: list[Connection | int] = [self._connection] if self._connection else []
        if reading:
            sources.append(STDIN)
        late = min(self._waiting.values(), default=math.inf)
        patience = None if late == math.inf else max(0.0, late - time.monotonic())
        ready, _, _ = select.select(sources, [], [], patience)
        if self._connection in ready:
            self._receive()
        if STDIN in ready:
            self._read()
        for number in [number for number, until in self._waiting.items() if until <= time.monotonic()]:
            self._fail(number, "late", LATE)

    def _read(self) -> None:
        data = os.read(STDIN, CHUNK)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            self._ended = True
            lines = [self._rest] if self._rest else []
        self._lines += lines

    def _ask(self, line: bytes) -> None:
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(BOM)
        request: Message = {"id": self._number, "op": "query", "input": line.decode(errors="replace")}
        request["wait_ms"] = int(self._options.timeout * 900)
        if self._options.supersede:
            request["supersede"] = True
        if self._options.limit is not None:
            request["limit"] = self._options.limit
        if len(encode(request)) > REQUEST_MAX:
            self._fail(self._number, "input-too-long", f"a query of {len(line)} bytes is too long")
            return
        self._waiting[self._number] = time.monotonic() + self._options.timeout
        self._connect().send(request)

    def _receive(self) -> None:
        connection = self._connect()
        lines = connection.receive()
        if lines is None:
            self._hang_up()
            for number in list(self._waiting):
                self._fail(number, "no-daemon", f"the daemon at {connection.path} hung up: its log says why")
            return
        for line in lines:
            answer = connection.understand(line)
            if answer.get("id") is None:
                raise DaemonError(f"{answer.get('message')} ({answer.get('code')})")
            if answer.get("done", True) and self._waiting.pop(answer["id"], None):
                failed = answer["type"] == "error"
                self._print(answer["id"], show.json_line(line), STATUS_DAEMON_ERROR if failed else STATUS_ANSWER)

    def _fail(self, number: int, code: str, message: str) -> None:
        self._waiting.pop(number, None)
        error: Message = {"type": "error", "id": number, "done": True, "code": code, "message": message}
        self._print(number, encode(error), STATUS_DAEMON_ERROR)

    def _print(self, number: int, line: bytes, status: int) -> None:
        """Print the answer to a line, and those to later ones that waited for it; or keep it until its turn."""
        self._answers[number] = line, status
        while (answer := self._answers.pop(self._printed + 1, None)) is not None:
            self._printed += 1
            line, self._status = answer
            if not show.write(line):  # nobody reads any more
                self._lines, self._waiting, self._answers, self._ended = [], {}, {}, True
