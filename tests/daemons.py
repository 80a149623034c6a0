"""Real daemons in real processes, and a client as others would write one: with a streaming msgpack library."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

PATIENCE = 30.0
"""Seconds. Nothing here takes that long; on a loaded machine it may take more than one would think."""

CAP_SYS_PTRACE = 1 << 19

GUESTS = Path(__file__).with_name("guests")
BUNDLED = Path(__file__).parents[1] / "plugins" / "bundled"


class WireClient:
    """One connection. Drops the integers between the maps, as any streaming unpacker lets one do."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._unpacker = msgpack.Unpacker(max_buffer_size=256 * 1024 * 1024)
        self._ids = 0

    def send(self, **message):
        """Send one request and return its id."""
        if "id" not in message:
            self._ids += 1
            message["id"] = self._ids
        self.socket.sendall(msgpack.packb(message) + b"\n")
        return message["id"]

    def frames(self):
        """Every frame that comes, until the daemon closes the connection."""
        while True:
            yield from (frame for frame in self._unpacker if isinstance(frame, dict))
            data = self.socket.recv(1 << 16)
            if not data:
                return
            self._unpacker.feed(data)

    def frame(self):
        """The next frame; None at the connection's end."""
        return next(self.frames(), None)

    def last(self, request):
        """The final frame of a request; the frames of others are dropped."""
        return next(frame for frame in self.frames() if frame["id"] == request and frame["done"])

    def ask(self, op, **fields):
        """Send a request and return its final frame."""
        return self.last(self.send(op=op, **fields))

    def query(self, text, **fields):
        """A query that waits for what is compiling."""
        return self.ask("query", input=text, **{"wait_ms": 20_000, **fields})

    def names(self, text, **fields):
        """The names of a query's items."""
        return [item["name"] for item in self.query(text, **fields)["items"]]

    def plugin(self, name):
        """What the daemon says of one plugin; None if it has none of that name."""
        return next((p for p in self.ask("plugins")["plugins"] if p["name"] == name), None)

    def settled(self, name):
        """The same, once the plugin is neither found nor compiling."""
        until = time.monotonic() + PATIENCE
        while (plugin := self.plugin(name)) is None or plugin["state"] in ("found", "compiling"):
            assert time.monotonic() < until, plugin
            time.sleep(0.02)
        return plugin

    def close(self):
        self.socket.close()


class Daemon:
    """A daemon with everything of its own below `home`, but for the cache, which the tests share."""

    def __init__(self, home, cache):
        self.home = Path(home)
        self.cache = Path(cache)
        self.plugins = self.home / "plugins"
        self.plugins.mkdir(exist_ok=True)
        self.config = self.home / "config.toml"
        # Not below `home`: pytest's folders are too deep for a socket's path.
        self._run = Path(tempfile.mkdtemp(prefix="swiftd-test-"))
        self.socket = self._run / "swift" / "swiftd.sock"
        self.log = self.home / "swiftd.log"
        self.process = None
        self._clients = []

    def install(self, source, name=None):
        """Put a file, or a component's text or bytes, into the plugin folder."""
        if isinstance(source, Path):
            name = name or source.stem
            source = source.read_bytes()
        elif isinstance(source, str):
            source = source.encode()
        target = self.plugins / f"{name}.wasm"
        target.write_bytes(source)
        return target

    def start(self, *options, env=None, wait=True, under=()):
        """Start it, by way of the command `under` if there is one, and wait until it accepts connections."""
        command = [
            *under, sys.executable, "-m", "swiftd",
            "--socket", str(self.socket), "--plugins-dir", str(self.plugins), "--config", str(self.config),
            "--cache-dir", str(self.cache), "--log-level", "debug", *options,
        ]  # fmt: skip
        environment = os.environ | {"HOME": str(self.home), "PYTHONWARNINGS": "error"} | (env or {})
        environment = {name: value for name, value in environment.items() if value is not None}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=environment)
        if wait:
            self.wait_for_socket()
        return self

    def wait_for_socket(self):
        until = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(self.socket))
                except OSError:
                    time.sleep(0.02)
                else:
                    return

    def client(self):
        client = WireClient(self.socket)
        self._clients.append(client)
        return client

    def said(self):
        """What it wrote to its log."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def family(self):
        """The process numbers of the daemon, its zygote and their children."""
        return family(self.process.pid)

    def workers(self):
        """The process numbers of the workers and compile children."""
        zygotes = children(self.process.pid)
        return [child for zygote in zygotes for child in children(zygote)]

    def idle_workers(self, count=2):
        """The process numbers of the workers, once every plugin is compiled and there are as many as are configured.

        While plugins are compiled there are others, too, which are about to end, and workers beyond that number.
        """
        with closing(WireClient(self.socket)) as client:
            for plugin in client.ask("plugins")["plugins"]:
                client.settled(plugin["name"])

            def alone():
                pids = [pid for pid in self.workers() if is_alive(pid)]
                return pids if len(pids) == client.ask("stats")["workers"] == count else None

            return eventually(alone)

    def stop(self, number=signal.SIGTERM):
        """End it and return its exit status. What it leaves behind is ended too, and complained about."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self.process is None:
            return None
        everyone = self.family() if self.process.poll() is None else []
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.process = None
        left = wait_for_end(everyone)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes left behind: {left}"
        return status

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self._run)


def children(pid):
    """The direct children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def family(pid):
    """A process and all that descend from it."""
    return [pid, *(member for child in children(pid) for member in family(child))]


def in_view():
    """Words to start a command under, so that this test may look into the sandbox processes that it starts.

    These are not dumpable: their descriptors, maps and environment are shown only to one who may trace any process of
    the user namespace they come from. That is root, or whoever has made the namespace.
    """
    capabilities = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)[1]
    if os.geteuid() == 0 and int(capabilities, 16) & CAP_SYS_PTRACE:
        return ()
    words = ("unshare", "--user", "--map-root-user")
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("to look into a sandbox process takes root, or a user namespace, which can't be made here")
    return words


def is_alive(pid):
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pids, patience=PATIENCE):
    """Wait until the processes have ended; those that have not by then."""
    until = time.monotonic() + patience
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def eventually(condition, patience=PATIENCE):
    """Wait until `condition()` is true, and return it."""
    until = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)
    return result


def component(name, trigger, command="", count=1):
    """A plugin that answers with `count` times one item, as text: to have many that differ in no more than that.

    What it is asked is written from 4096 on; the strings and the list lie clear of it.
    """
    strings = [(1024, trigger.encode()), (16 << 10, name.encode()), (24 << 10, command.encode())]
    rows = 96 << 10
    numbers = [number for at, text in strings[1:] for number in (at, len(text))] + [0, 0]
    strings.append((rows, struct.pack("<6i", *numbers) * count))
    plugin = (GUESTS / "ok.wat").read_text().replace('(memory (export "memory") 1)', '(memory (export "memory") 4)')
    plugin = plugin.replace("(i32 64 3  16 1)", f"(i32 1024 {len(strings[0][1])}  {rows} {count})")
    data = (f'(data (i32.const {at}) "' + re.sub("(..)", r"\\\1", text.hex()) + '")' for at, text in strings)
    return plugin.replace('(data (i32.const 64) "ok:")', "".join(data))
