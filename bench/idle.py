"""What the daemon costs while nothing happens.

Prints, over half a minute with 20 plugins, wake-ups a second (voluntary context switches of every thread) and the share
of one core, of the daemon, its zygote and its workers. The target is 6 wake-ups a second and 0.2 % in all.

    python bench/idle.py [SECONDS]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import stand

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
    stand.begin()
    from msgspec import msgpack  # noqa: PLC0415 - only a fresh install is sure to have it

    with stand.temporary() as (place, stack):
        (place / "plugins").mkdir()
        asked = {">hello": b"You typed: hello", "=1+1": b"1+1 = 2"}
        for number in range(PLUGINS):
            (place / "plugins" / f"p{number}.wasm").write_bytes(stand.version(number))
            with (place / "config.toml").open("a") as config:
                config.write(f'[plugins.p{number}]\ntrigger = "t{number}:"\n')
            asked[f"t{number}:"] = f"Vers. {number:3}: ".encode()
        process, path = stack.enter_context(stand.daemon(place))
        with stand.connect(path) as client:
            for text, expected in asked.items():
                query = {"id": 100, "op": "query", "input": text, "wait_ms": 60_000}
                stand.first_answer(client, msgpack.encode(query) + b"\n", expected)
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
