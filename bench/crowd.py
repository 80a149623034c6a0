"""How fair and how fast the daemon is when many queries are under way at once.

Prints, for each number of queries in flight to the bundled echo plugin, with the two workers of the default, answers a
second, the median and the worst wait, and how many were told that all workers are busy. The queries come over as many
connections as it takes, 8 on each; an answer is followed by the next question at once.

    python bench/crowd.py [IN_FLIGHT ...]
"""

from __future__ import annotations

import json
import selectors
import sys
import time
from typing import TYPE_CHECKING

import stand

if TYPE_CHECKING:
    from pathlib import Path

IN_FLIGHT = [4, 32, 128, 512, 1024, 1600]
EACH = 8
"""Queries of one connection that the daemon answers at the same time."""
SECONDS = 4.0
"""How long new questions are asked, for each number in flight."""


class Client:
    """One connection with some queries under way."""

    def __init__(self, path: Path, count: int) -> None:
        self.socket = stand.connect(path)
        self.count = count
        self._rest = b""
        self._asked: dict[int, float] = {}
        self._number = 100

    def ask(self) -> None:
        """Ask one more."""
        self._number += 1
        self._asked[self._number] = time.perf_counter()
        query = {"id": self._number, "op": "query", "input": f">{self._number}"}
        self.socket.sendall(json.dumps(query).encode() + b"\n")

    def answers(self) -> list[tuple[float, str]]:
        """The wait of each answer that has come, and the code of its error, if it is one."""
        *lines, self._rest = (self._rest + self.socket.recv(65536)).split(b"\n")
        found = []
        for frame in map(json.loads, lines):
            wait = time.perf_counter() - self._asked.pop(frame["id"])
            errors = frame.get("errors") or []
            right = bool(errors) or frame["items"][0]["name"] == f"You typed: {frame['id']}"
            found.append((wait, errors[0]["code"] if errors else "" if right else "wrong"))
        return found


def run(path: Path, in_flight: int) -> tuple[list[tuple[float, str]], float]:
    """The answers to that many queries at a time, and the seconds they took."""
    sizes = [EACH] * (in_flight // EACH) + ([in_flight % EACH] if in_flight % EACH else [])
    clients = [Client(path, size) for size in sizes]
    answers: list[tuple[float, str]] = []
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        started = time.perf_counter()
        for _ in range(EACH):
            for client in clients:
                if client.count > 0:
                    client.count -= 1
                    client.ask()
        left = in_flight
        while left:
            for key, _ in selector.select(stand.START_LIMIT):
                for answer in key.data.answers():
                    answers.append(answer)
                    if time.perf_counter() - started < SECONDS:
                        key.data.ask()
                    else:
                        left -= 1
        took = time.perf_counter() - started
    for client in clients:
        client.socket.close()
    return answers, took


def main() -> None:
    numbers = list(map(int, sys.argv[1:])) or IN_FLIGHT
    stand.begin()
    with stand.temporary() as (place, stack):
        _, path = stack.enter_context(stand.daemon(place))
        with stand.connect(path) as client:
            query = {"id": 100, "op": "query", "input": ">hello", "wait_ms": 30_000}
            stand.first_answer(client, json.dumps(query).encode() + b"\n", b"You typed: hello")
        print("in flight   answers/s   median ms   worst ms     busy   of answers")
        for number in numbers:
            answers, took = run(path, number)
            waits = sorted(wait * 1000 for wait, _ in answers)
            errors = [code for _, code in answers if code]
            served = len(answers) - len(errors)
            busy = errors.count("busy")
            print(
                f"{number:9} {served / took:11.0f} {waits[len(waits) // 2]:11.1f} {waits[-1]:10.1f} {busy:8} "
                f"{len(answers):12}" + (f"   other errors: {len(errors) - busy}" if len(errors) > busy else "")
            )


if __name__ == "__main__":
    main()
