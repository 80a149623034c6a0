"""How fair and how fast the daemon is when many queries are under way at once.

Prints, for each number of queries in flight to the bundled echo plugin, with the two workers of the default, answers a
second, the median and the worst wait, and how many were told that all workers are busy. The queries come over as many
connections as it takes, 8 on each; an answer is followed by the next question at once.

    python bench/crowd.py [IN_FLIGHT ...]
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgpack
from latency import START_LIMIT, connect, round_trip

IN_FLIGHT = [4, 32, 128, 512, 1024, 1600]
EACH = 8
"""Queries of one connection that the daemon answers at the same time."""
SECONDS = 4.0
"""How long new questions are asked, for each number in flight."""


class Client:
    """One connection with some queries under way."""

    def __init__(self, path: Path, count: int) -> None:
        self.socket = connect(path)
        self.count = count
        self._unpacker = msgpack.Unpacker()
        self._asked: dict[int, float] = {}
        self._number = 100

    def ask(self) -> None:
        """Ask one more."""
        self._number += 1
        self._asked[self._number] = time.perf_counter()
        self.socket.sendall(msgpack.packb({"id": self._number, "op": "query", "input": f">{self._number}"}) + b"\n")

    def answers(self) -> list[tuple[float, str]]:
        """The wait of each answer that has come, and the code of its error, if it is one."""
        self._unpacker.feed(self.socket.recv(65536))
        found = []
        for frame in self._unpacker:
            if isinstance(frame, dict):  # between the frames are newlines, which are numbers to msgpack
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
            for key, _ in selector.select(START_LIMIT):
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
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = subprocess.Popen([
            sys.executable, "-m", "swiftd", "--log-level", "error",
            "--socket", str(place / "swift.sock"), "--cache-dir", str(place / "cache"),
            "--plugins-dir", str(place / "none"), "--config", str(place / "none.toml"),
        ])  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.terminate)
        with connect(place / "swift.sock") as client:
            query = {"id": 100, "op": "query", "input": ">hello", "wait_ms": 30_000}
            answer = round_trip(client, msgpack.packb(query) + b"\n")
            while b"You typed: hello" not in answer:  # it says first that it compiles
                answer += client.recv(65536)
        print("in flight   answers/s   median ms   worst ms     busy   of answers")
        for number in numbers:
            answers, took = run(place / "swift.sock", number)
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
