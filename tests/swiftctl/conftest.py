"""A daemon that says what a test has written down, and a session of its own for each test."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from swiftctl_answers import results


class FakeDaemon:
    """A Unix socket that answers every request of a connection with the same canned bytes, in given pieces.

    It shows what the client makes of an answer, the odd ones too. That the real daemon gives such answers is shown
    elsewhere: test_end_to_end.py runs against the real daemon.
    """

    def __init__(self, path):
        self.path = str(path)
        self.pieces = [results()]
        self.reply = None
        self.hang_up = True
        self.requests = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def says(self, *pieces, hang_up=True):
        self.pieces, self.hang_up = list(pieces), hang_up

    def replies(self, reply):
        """Give each request what `reply` makes of it, until that is None, which means to hang up."""
        self.reply = reply

    def _serve(self):
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as requests:
                if self._ended.is_set():
                    return
                with contextlib.suppress(OSError):  # the client hung up first
                    self._answer(connection, requests)

    def _answer(self, connection, requests):
        for request in requests:
            self.requests.append(json.loads(request))
            if self.reply:
                if (piece := self.reply(self.requests[-1])) is None:
                    return
                connection.sendall(piece)
                continue
            for piece in self.pieces:
                connection.sendall(piece)
            if not self.hang_up:
                self._ended.wait(10)
            if len(self.requests) >= 2 or self.requests[-1]["op"] != "hello":
                return

    def stop(self):
        self._ended.set()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self.path)
        self._thread.join()
        self._listener.close()


@pytest.fixture
def session(monkeypatch):
    """A folder with a short path, as runtime, state and home folder; nothing of the session around is seen."""
    folder = Path(tempfile.mkdtemp(prefix="swiftctl-"))
    for name in ("SWIFT_SOCKET", "NO_COLOR", "WAYLAND_DISPLAY", "DISPLAY", "NOTIFY_SOCKET", "ROFI_RETV", "ROFI_INFO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TERM", "xterm")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def daemon(session):
    (session / "swift").mkdir(mode=0o700, exist_ok=True)
    fake = FakeDaemon(session / "swift" / "swiftd.sock")
    yield fake
    fake.stop()
