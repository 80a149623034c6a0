"""What a client that asks without pause notices of a plugin that is saved over an old one.

Prints, for each round, the time from the save to the first new answer, what of it compiling took, and the rest, which
should be a second at most. Then p50 and p99 of the round trips and the longest time between two answers, in
microseconds, while the plugin was replaced, and the same in quiet; and the longest gap as a multiple of the quiet p99,
which should be 2 at most (the longest of as many round trips in quiet shows what the machine itself adds).
Every answer is looked at: first all old, then all new, none missing.

    python bench/reload.py [ROUNDS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
from latency import connect, percentiles, round_trip

if TYPE_CHECKING:
    import socket

BUNDLED = Path(__file__).parents[1] / "plugins" / "bundled" / "echo.wasm"
LIMIT = 60.0
"""Seconds for one round."""
QUIET = 3000
"""Round trips in quiet, before each save."""
AFTER = 1000
"""Round trips after the first new answer."""


def version(number: int) -> bytes:
    """The bundled echo with another text of the same length."""
    wasm = BUNDLED.read_bytes()
    found = b"You typed: "
    if found not in wasm:
        raise SystemExit(f"{BUNDLED} does not say {found!r} any more")
    return wasm.replace(found, f"Vers. {number:3}: ".encode())


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (place / "plugins").mkdir()
        plugin = place / "plugins" / "echo.wasm"
        plugin.write_bytes(version(0))
        process = subprocess.Popen([
            sys.executable, "-m", "swiftd", "--log-level", "warning",
            "--socket", str(place / "swift.sock"), "--cache-dir", str(place / "cache"),
            "--plugins-dir", str(place / "plugins"), "--config", str(place / "none.toml"),
        ])  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.terminate)
        client = stack.enter_context(connect(place / "swift.sock"))
        query = {"id": 100, "op": "query", "input": ">hello"}
        answer = round_trip(client, msgpack.packb(query | {"wait_ms": 30_000}) + b"\n")
        while b"Vers.   0" not in answer:  # it says first that it compiles
            answer += client.recv(65536)
        frame = msgpack.packb(query) + b"\n"
        print(f"{'':38} |  while replaced, µs   |  in quiet, µs         | longest gap")
        print("round  save to answer  compile   rest   |   p50    p99  longest |   p50    p99  longest | / quiet p99")
        for number in range(1, rounds + 1):
            measure(client, frame, plugin, number)


def measure(client: socket.socket, frame: bytes, plugin: Path, number: int) -> None:
    old, new = (f"Vers. {n:3}: ".encode() for n in (number - 1, number))
    quiet = [ask(client, frame, old) for _ in range(QUIET)]
    aside = plugin.with_name("aside")
    aside.write_bytes(version(number))
    saved = time.perf_counter()
    aside.rename(plugin)
    took = []
    left = None
    last = saved
    gaps = []
    while left is None or left > 0:
        started = time.perf_counter()
        answer = round_trip(client, frame)
        now = time.perf_counter()
        took.append(now - started)
        gaps.append(now - last)
        last = now
        if now - saved > LIMIT:
            raise SystemExit(f"no new answer within {LIMIT:.0f} s")
        if left is not None:
            left -= 1
        if new in answer:
            if left is None:
                first, left = now - saved, AFTER
        elif old not in answer or left is not None:
            raise SystemExit(f"neither the old answer nor the new one: {answer!r}")
    compiled = compile_time(client) / 1000
    p50, _, p99 = percentiles(took)
    quiet50, _, quiet99 = percentiles(quiet)
    print(
        f"{number:5} {first * 1000:12.0f} ms {compiled * 1000:5.0f} ms {(first - compiled) * 1000:5.0f} ms "
        f"|{p50:6.0f} {p99:6.0f} {max(gaps) * 1e6:8.0f} |{quiet50:6.0f} {quiet99:6.0f} {max(quiet) * 1e6:8.0f} "
        f"|{max(gaps) * 1e6 / quiet99:6.1f}"
    )


def ask(client: socket.socket, frame: bytes, expected: bytes) -> float:
    started = time.perf_counter()
    answer = round_trip(client, frame)
    took = time.perf_counter() - started
    if expected not in answer:
        raise SystemExit(f"expected {expected!r} in {answer!r}")
    return took


def compile_time(client: socket.socket) -> float:
    """What the daemon says that the last compilation took, in milliseconds."""
    client.sendall(msgpack.packb({"id": 101, "op": "plugins"}) + b"\n")
    unpacker = msgpack.Unpacker()
    while True:
        unpacker.feed(client.recv(65536))
        for message in unpacker:
            if isinstance(message, dict):
                return next(p["times"]["compile_ms"] for p in message["plugins"] if p["name"] == "echo")


if __name__ == "__main__":
    main()
