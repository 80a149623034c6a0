"""What starting the client costs beside starting an interpreter.

Prints, from one run, the median wall time of `python -c pass` and of `swiftctl query ">hello"` (as the installed
script, and with -m) of the same interpreter, and the ratios. They are run in turn, so that a slower moment is
slower for all, and every answer is looked at.

    python bench/client.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import stand


def run(command: list[str], environment: dict[str, str], expected: str) -> float:
    started = time.perf_counter()
    ended = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=stand.START_LIMIT
    )
    took = (time.perf_counter() - started) * 1000
    if ended.stdout != expected:
        raise SystemExit(f"{command} said {ended.stdout!r}")
    return took


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    stand.begin()
    with stand.temporary() as (place, stack):
        _, path = stack.enter_context(stand.daemon(place))
        stack.enter_context(stand.connect(path))
        environment = os.environ | {"SWIFT_SOCKET": str(path), "HOME": str(place)}
        query = ["query", ">hello"]
        answer = "You typed: hello\n"
        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], ""),
            "swiftctl query": ([str(Path(sys.executable).with_name("swiftctl")), *query], answer),
            "python -m swiftctl query": ([sys.executable, "-m", "swiftctl", *query], answer),
        }
        for command, expected in commands.values():  # until the plugins and the client itself are compiled
            run(command, environment, expected)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, expected) in commands.items():
                times[name].append(run(command, environment, expected))
    base = statistics.median(times["python -c pass"])
    print(f"{rounds} runs each, median wall time")
    for name, samples in times.items():
        median = statistics.median(samples)
        print(f"{name:26} {median:7.1f} ms   {median / base:5.2f}")


if __name__ == "__main__":
    main()
