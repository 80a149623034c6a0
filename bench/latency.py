"""What a query costs beside the least that a trio server can cost.

Prints, from one run, p50, p90 and p99 of a round trip over a Unix socket to a bare trio echo server and to swiftd with
the bundled echo plugin, and the ratio. The two are asked in turn, so that a machine that gets slower slows both, and
every answer is looked at.

    python bench/latency.py [ROUNDS]
"""

from __future__ import annotations

import sys

import stand

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
WARM_UP = 200
EXPECTED = b"You typed: hello"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    stand.begin()
    from msgspec import msgpack  # noqa: PLC0415 - only a fresh install is sure to have it

    with stand.temporary() as (place, stack):
        stack.enter_context(stand.process(sys.executable, "-c", ECHO_SERVER, place / "echo.sock"))
        _, path = stack.enter_context(stand.daemon(place))
        bare, swift = (stack.enter_context(stand.connect(name)) for name in (place / "echo.sock", path))
        query = {"id": 100, "op": "query", "input": ">hello"}
        stand.first_answer(swift, msgpack.encode(query | {"wait_ms": 30_000}) + b"\n", EXPECTED)
        frame = msgpack.encode(query) + b"\n"
        times: dict[str, list[float]] = {"bare": [], "swift": []}
        for number in range(rounds + WARM_UP):
            for name, client, expected in (("bare", bare, frame), ("swift", swift, EXPECTED)):
                took = stand.ask(client, frame, expected)
                if number >= WARM_UP:
                    times[name].append(took)
    print(f"{rounds} round trips each, microseconds   p50    p90    p99")
    rows = {name: stand.percentiles(samples) for name, samples in times.items()}
    for name, label in (("bare", "a bare trio echo server"), ("swift", "swiftd, `>hello` to echo")):
        print(f"{label:34}" + "".join(f"{value:7.0f}" for value in rows[name]))
    print(f"{'ratio':34}" + "".join(f"{b / a:7.2f}" for a, b in zip(rows["bare"], rows["swift"], strict=True)))


if __name__ == "__main__":
    main()
