"""What a query costs beside the least that a trio server can cost.

Prints, from one run, p50, p90 and p99 of a round trip over a Unix socket to a bare trio echo server and to swiftd with
the bundled echo plugin, and the ratio. The two are asked in turn, so that a machine that gets slower slows both.

    python bench/latency.py [ROUNDS]
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgpack

ECHO_SERVER = """
import sys, trio

async def echo(stream):
    while data := await stream.receive_some(65536):
        await stream.send_all(data)

async def main():
    with trio.socket.socket(trio.socket.AF_UNIX) as server:
        await server.bind(sys.argv[1])
        server.listen()
        await trio.serve_listeners(echo, [trio.SocketListener(server)])

trio.run(main)
"""
START_LIMIT = 30.0
WARM_UP = 200


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(START_LIMIT)
    until = time.monotonic() + START_LIMIT
    while True:
        try:
            client.connect(str(path))
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return client


def round_trip(client: socket.socket, frame: bytes) -> bytes:
    client.sendall(frame)
    answer = b""
    while not answer.endswith(b"\n"):  # enough here: neither frame holds another newline
        answer += client.recv(65536)
    return answer


def percentiles(seconds: list[float]) -> list[float]:
    ordered = sorted(seconds)
    return [ordered[int(share * (len(ordered) - 1))] * 1e6 for share in (0.50, 0.90, 0.99)]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        commands = {
            "echo.sock": [sys.executable, "-c", ECHO_SERVER, str(place / "echo.sock")],
            "swift.sock": [
                sys.executable, "-m", "swiftd", "--log-level", "warning",
                "--socket", str(place / "swift.sock"), "--cache-dir", str(place / "cache"),
                "--plugins-dir", str(place / "none"), "--config", str(place / "none.toml"),
            ],
        }  # fmt: skip
        for command in commands.values():
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        bare, swift = (stack.enter_context(connect(place / name)) for name in commands)
        query = {"id": 100, "op": "query", "input": ">hello"}
        answer = round_trip(swift, msgpack.packb(query | {"wait_ms": 30_000}) + b"\n")
        while b"You typed: hello" not in answer:  # it says first that it compiles
            answer += swift.recv(65536)
        frame = msgpack.packb(query) + b"\n"
        times: dict[str, list[float]] = {"bare": [], "swift": []}
        for number in range(rounds + WARM_UP):
            for name, client, sent in (("bare", bare, frame), ("swift", swift, frame)):
                started = time.perf_counter()
                round_trip(client, sent)
                if number >= WARM_UP:
                    times[name].append(time.perf_counter() - started)
    print(f"{rounds} round trips each, microseconds   p50    p90    p99")
    rows = {name: percentiles(samples) for name, samples in times.items()}
    for name, label in (("bare", "a bare trio echo server"), ("swift", "swiftd, `>hello` to echo")):
        print(f"{label:34}" + "".join(f"{value:7.0f}" for value in rows[name]))
    print(f"{'ratio':34}" + "".join(f"{b / a:7.2f}" for a, b in zip(rows["bare"], rows["swift"], strict=True)))


if __name__ == "__main__":
    main()
