"""What a client that asks without pause notices of a plugin that is saved over an old one.

Prints, for each round, the time from the save to the first new answer, what of it compiling took, and the rest, which
should be a second at most. Then p50 and p99 of the round trips and the longest time between two answers, in
microseconds, while the plugin was replaced, and the same in quiet; and the longest gap as a multiple of the quiet p99,
which should be 2 at most (the longest of as many round trips in quiet shows what the machine itself adds).
Every answer is looked at: first all old, then all new, none missing.

    python bench/reload.py [ROUNDS]
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import stand

if TYPE_CHECKING:
    import socket
    from pathlib import Path

LIMIT = 60.0
"""Seconds for one round."""
QUIET = 3000
"""Round trips in quiet, before each save."""
AFTER = 1000
"""Round trips after the first new answer."""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    stand.begin()
    from msgspec import msgpack  # noqa: PLC0415 - only a fresh install is sure to have it

    with stand.temporary() as (place, stack):
        (place / "plugins").mkdir()
        plugin = place / "plugins" / "echo.wasm"
        plugin.write_bytes(stand.version(0))
        _, path = stack.enter_context(stand.daemon(place))
        client = stack.enter_context(stand.connect(path))
        query = {"id": 100, "op": "query", "input": ">hello"}
        stand.first_answer(client, msgpack.encode(query | {"wait_ms": 30_000}) + b"\n", b"Vers.   0")
        frame = msgpack.encode(query) + b"\n"
        print(f"{'':38} |  while replaced, µs   |  in quiet, µs         | longest gap")
        print("round  save to answer  compile   rest   |   p50    p99  longest |   p50    p99  longest | / quiet p99")
        for number in range(1, rounds + 1):
            measure(client, frame, plugin, path, number)


def measure(client: socket.socket, frame: bytes, plugin: Path, path: Path, number: int) -> None:
    old, new = (f"Vers. {n:3}: ".encode() for n in (number - 1, number))
    quiet = [stand.ask(client, frame, old) for _ in range(QUIET)]
    aside = plugin.with_name("aside")
    aside.write_bytes(stand.version(number))
    saved = time.perf_counter()
    aside.rename(plugin)
    took = []
    left = None
    last = saved
    gaps = []
    while left is None or left > 0:
        started = time.perf_counter()
        answer = stand.round_trip(client, frame)
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
    compiled = compile_time(path) / 1000
    p50, _, p99 = stand.percentiles(took)
    quiet50, _, quiet99 = stand.percentiles(quiet)
    print(
        f"{number:5} {first * 1000:12.0f} ms {compiled * 1000:5.0f} ms {(first - compiled) * 1000:5.0f} ms "
        f"|{p50:6.0f} {p99:6.0f} {max(gaps) * 1e6:8.0f} |{quiet50:6.0f} {quiet99:6.0f} {max(quiet) * 1e6:8.0f} "
        f"|{max(gaps) * 1e6 / quiet99:6.1f}"
    )


def compile_time(path: Path) -> float:
    """What the daemon says that the last compilation took, in milliseconds."""
    with stand.connect(path) as client:
        plugins = json.loads(stand.round_trip(client, b'{"id": 101, "op": "plugins"}\n'))["plugins"]
    return float(next(plugin["times"]["compile_ms"] for plugin in plugins if plugin["name"] == "echo"))


if __name__ == "__main__":
    main()
