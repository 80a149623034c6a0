"""What the benches stand on: a fresh install of this checkout, a daemon of their own, and the machine, named.

An editable install has hooks that slow every start of its interpreter, and a developer's environment has more in it
than a user's: so a bench runs itself again in a new environment, into which the checkout is installed as a user would.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
BUNDLED = CHECKOUT / "plugins" / "bundled"
START_LIMIT = 30.0
"""Seconds for a process to listen, and for an answer."""
_FRESH = "SWIFTD_BENCH_FRESH"


def begin() -> None:
    """Go on in a fresh environment, and say on which machine. Call it before swiftd's own dependencies are needed."""
    if _FRESH not in os.environ:
        with tempfile.TemporaryDirectory(prefix="swiftd-bench-") as place:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            venv.create(place, with_pip=True)
            python = Path(place) / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "-q", CHECKOUT], env=environment, check=True)
            environment[_FRESH] = place
            sys.exit(subprocess.run([python, *sys.argv], env=environment, check=False).returncode)
    print(
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


@contextmanager
def process(*command: str | Path, **more: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    running = subprocess.Popen(command, **more)
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


@contextmanager
def daemon(place: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A swiftd with nothing of the user's: its plugins and config.toml are in `place`. The process, and its socket."""
    path = place / "swift.sock"
    arguments = (
        "--log-level", "warning", "--socket", path, "--cache-dir", place / "cache",
        "--plugins-dir", place / "plugins", "--config", place / "config.toml",
    )  # fmt: skip
    # A home of its own: else it would remember there what is disabled.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    with process(sys.executable, "-m", "swiftd", *arguments, env=environment | {"HOME": str(place)}) as running:
        yield running, path


@contextmanager
def temporary() -> Iterator[tuple[Path, ExitStack]]:
    """A folder that goes again, and a stack for what is to end before."""
    with tempfile.TemporaryDirectory(prefix="swiftd-bench-") as place, ExitStack() as stack:
        yield Path(place), stack


def connect(path: Path) -> socket.socket:
    """A connection, as soon as somebody listens."""
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
    """Send a frame, and the bytes of its answer. Enough where no answer holds another newline."""
    client.sendall(frame)
    answer = b""
    while not answer.endswith(b"\n"):
        received = client.recv(65536)
        if not received:
            raise SystemExit(f"hung up after {answer!r}")
        answer += received
    return answer


def first_answer(client: socket.socket, frame: bytes, expected: bytes) -> None:
    """Ask with `wait_ms`, and take the answer: before it may come frames that say what is compiled."""
    answer = round_trip(client, frame)
    while expected not in answer:
        received = client.recv(65536)
        if not received or b'"error"' in answer:
            raise SystemExit(f"expected {expected!r} in {answer!r}")
        answer += received


def ask(client: socket.socket, frame: bytes, expected: bytes) -> float:
    """The seconds of a round trip whose answer must hold what is expected."""
    started = time.perf_counter()
    answer = round_trip(client, frame)
    took = time.perf_counter() - started
    if expected not in answer:
        raise SystemExit(f"expected {expected!r} in {answer!r}")
    return took


def version(number: int) -> bytes:
    """The bundled echo with another text of the same length: `Vers. ` and the number in three places."""
    wasm = (BUNDLED / "echo.wasm").read_bytes()
    found = b"You typed: "
    if found not in wasm:
        raise SystemExit(f"the bundled echo does not say {found!r} any more")
    return wasm.replace(found, f"Vers. {number:3}: ".encode())


def percentiles(seconds: list[float]) -> list[float]:
    """p50, p90 and p99, in microseconds."""
    ordered = sorted(seconds)
    return [ordered[int(share * (len(ordered) - 1))] * 1e6 for share in (0.50, 0.90, 0.99)]
