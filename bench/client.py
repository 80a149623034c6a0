"""What starting the client costs beside starting an interpreter.

Prints, from one run, the median wall time of `python -c pass` and of `swiftctl query ">hello"` (as the installed
script, and with -m) of the same interpreter, and the ratios. They are run in turn, so that a slower moment is
slower for all.

    python bench/client.py [ROUNDS]
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

START_LIMIT = 60.0


def run(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=START_LIMIT)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = os.environ | {"SWIFT_SOCKET": str(place / "swift.sock"), "HOME": str(place)}
        environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
        daemon = subprocess.Popen([sys.executable, "-m", "swiftd", "--log-level", "warning"], env=environment)
        stack.callback(daemon.wait)
        stack.callback(daemon.send_signal, signal.SIGTERM)
        until = time.monotonic() + START_LIMIT
        while not (place / "swift.sock").exists() and time.monotonic() < until:
            time.sleep(0.02)
        query = ["query", ">hello"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "swiftctl query": [str(Path(sys.executable).with_name("swiftctl")), *query],
            "python -m swiftctl query": [sys.executable, "-m", "swiftctl", *query],
        }
        run(commands["swiftctl query"], environment)  # until the plugins are compiled
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(run(command, environment))
    base = statistics.median(times["python -c pass"])
    print(f"{rounds} runs each, median wall time")
    for name, samples in times.items():
        median = statistics.median(samples)
        print(f"{name:26} {median:7.1f} ms   {median / base:5.2f}")


if __name__ == "__main__":
    main()
