"""What the daemon costs while nothing happens.

Prints, over half a minute with 20 plugins, wake-ups a second (voluntary context switches of every thread) and the share
of one core, of the daemon, its zygote and its workers. The target is 6 wake-ups a second and 0.2 % in all.

    python bench/idle.py [SECONDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgpack
from latency import connect, round_trip

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from daemons import component  # noqa: E402 - where the tests' plugins are made

PLUGINS = 18
"""Beside the two bundled ones."""
SETTLE = 12.0
"""Seconds for what a start leaves behind: a thread that trio has no more work for ends after ten."""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cost(pid: int) -> tuple[int, float]:
    """Wake-ups and seconds of processor time of a process, so far."""
    wake_ups = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for line in (thread / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                wake_ups += int(line.split()[1])
    return wake_ups, time.clock_gettime(~pid << 3 | 2)  # the kernel's number for that process's own clock


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (place / "plugins").mkdir()
        for number in range(PLUGINS):
            (place / "plugins" / f"p{number}.wasm").write_text(component(f"n{number}", f"t{number}:"))
        process = subprocess.Popen([
            sys.executable, "-m", "swiftd", "--log-level", "warning",
            "--socket", str(place / "swift.sock"), "--cache-dir", str(place / "cache"),
            "--plugins-dir", str(place / "plugins"), "--config", str(place / "config.toml"),
        ])  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.terminate)
        with connect(place / "swift.sock") as client:
            for trigger in (">", "=1+", *(f"t{number}:" for number in range(PLUGINS))):
                query = {"id": 100, "op": "query", "input": f"{trigger}1", "wait_ms": 60_000}
                answer = round_trip(client, msgpack.packb(query) + b"\n")
                while b"items" not in answer:  # it says first that it compiles
                    answer += client.recv(65536)
        time.sleep(SETTLE)
        (zygote,) = children(process.pid)
        family = {"daemon": [process.pid], "zygote": [zygote], "workers": children(zygote)}
        before = {pid: cost(pid) for pids in family.values() for pid in pids}
        started = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - started
        after = {pid: cost(pid) for pids in family.values() for pid in pids}
    print(f"{passed:.0f} s with {PLUGINS + 2} plugins    wake-ups/s   % of a core")
    total = [0.0, 0.0]
    for name, pids in family.items():
        wake_ups = sum(after[pid][0] - before[pid][0] for pid in pids) / passed
        share = sum(after[pid][1] - before[pid][1] for pid in pids) / passed * 100
        total = [total[0] + wake_ups, total[1] + share]
        print(f"{f'{name} ({len(pids)})':24} {wake_ups:10.2f} {share:13.3f}")
    print(f"{'in all':24} {total[0]:10.2f} {total[1]:13.3f}   on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
