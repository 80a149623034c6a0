"""A desktop session of one test: a daemon, an X server, a terminal, and everything that is started in them.

Nothing of the session around is seen, and nothing outlives the test: what is started here is ended here, by its own
process number.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import GUESTS, eventually, family, is_alive, wait_for_end

PATIENCE = 20.0
"""Seconds. Nothing here takes that long, except on a machine that is very busy."""

FAKE_CLIPBOARD = (
    '#!/bin/sh\n# In the place of xclip: keeps what it is given.\ncat >>"$HOME/copied"; echo >>"$HOME/copied"\n'
)

STAND_IN_FOR_XDG_OPEN = """#!/bin/sh
# In the place of xdg-open: keeps what it is given, in a file for each call.
printf '%s\\0' "$@" >"$HOME/part.$$" && mv "$HOME/part.$$" "$HOME/opened.$$"
"""

OTHERS = (".cache",)
"""What other programs may make in a home folder."""


def needs(*programs):
    """Skip a test where one of them is not installed."""
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


class Session:
    """Starts programs in surroundings of their own."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = Path(tempfile.mkdtemp(prefix="swift-frontend-"))
        self.home = self.folder / "home"
        self.bin = self.folder / "bin"
        self.runtime = self.folder / "run"
        for folder in (self.home, self.bin, self.runtime):
            folder.mkdir(mode=0o700)
        (self.bin / "swiftctl").symlink_to(swiftctl())
        self.environment = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{self.bin}:{os.defpath}",
            "SHELL": "/bin/sh",
            "SWIFT_SOCKET": str(daemon.socket),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        self.script("xclip", FAKE_CLIPBOARD)
        self.log = self.folder / "log"
        self.files = self.home / "it's $(touch pwned) & <b>"
        self._started = []

    def script(self, name, text):
        """Install a program that is found first."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def install_files(self, names):
        """Make a folder with files of these names, and have the real plugin list it, which is granted to read it.

        Opening one calls a script that stands in for xdg-open.
        """
        self.files.mkdir()
        for name in names:
            (self.files / name).touch()
        self.daemon.install(GUESTS / "built" / "list-files.wasm")
        folder = json.dumps(str(self.files))  # a string of TOML as well
        self.daemon.config.write_text(
            f"[plugins.list-files]\ngrants = {{ read = [{folder}] }}\nsettings = {{ folder = {folder} }}\n"
        )
        self.script("stand-in-for-xdg-open", STAND_IN_FOR_XDG_OPEN)
        (self.bin / "xdg-open").symlink_to("stand-in-for-xdg-open")
        self._made = self._everything()

    def check_opened(self, name):
        """Wait until something was opened; it was this file and no other, and nothing else has happened."""
        calls = eventually(lambda: list(self.home.glob("opened.*")), PATIENCE)
        opened = [call.read_bytes().split(b"\0")[:-1] for call in calls]
        assert opened == [[os.fsencode(self.files / name)]]
        for call in calls:
            call.unlink()
        self.check_untouched()

    def check_untouched(self):
        """No file of the home folder was made, removed or written to, and none is called `pwned` anywhere."""
        assert self._everything() == self._made
        assert not [path for place in (self.folder, self.daemon.home) for path in place.rglob("pwned")]
        assert not Path("pwned").exists()

    def _everything(self):
        """The files of the home folder and their sizes, without what programs keep there for themselves."""
        paths = (path for path in self.home.rglob("*") if path.relative_to(self.home).parts[0] not in OTHERS)
        return {path: path.lstat().st_size for path in paths if not path.is_dir()}

    def serve(self):
        """Start the daemon, if it does not run yet, and wait until its plugins serve."""
        if self.daemon.process is None:
            self.daemon.start()
        client = self.daemon.client()
        for listed in client.ask("plugins")["plugins"]:
            client.settled(listed["name"])

    def start(self, *words, **more):
        """Start a program; its output goes to the test's log."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "env": self.environment, "cwd": self.home}
        process = subprocess.Popen(words, start_new_session=True, **(how | more))
        self._started.append(process)
        return process

    def run(self, *words):
        """Run a program to its end; what it printed."""
        done = subprocess.run(words, check=True, capture_output=True, env=self.environment, timeout=PATIENCE)
        return done.stdout.decode()

    def said(self, name, enough=lambda text: text.endswith("\n")):
        """Wait for a file in the home folder, and for all that is written to it; what is in it."""
        path = self.home / name
        return eventually(lambda: path.exists() and enough(path.read_text()) and path.read_text(), PATIENCE)

    def close(self):
        """End everything that was started, and what the user has chosen in it."""
        self.close_programs()
        for path in self.home.glob("*.pid"):  # it goes on, as it should
            pid = int(path.read_text())
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_for_end([pid])
        eventually(self._is_deserted)
        shutil.rmtree(self.folder)

    def _is_deserted(self):
        """Whether nothing runs any more that was started in the session; what does is ended.

        A front end that is closed while it asks may leave a `swiftctl` behind, which would start another daemon when
        the test has ended its own. Who belongs to the session is told by the environment. The test's daemon does not.
        """
        ours = f"HOME={self.home}".encode()
        left = [pid for pid in everybody() if ours in environment_of(pid) and is_alive(pid)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def close_programs(self):
        """End everything that was started here, the last first."""
        for process in reversed(self._started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Screen:
    """An X server without a screen, and hands on its keyboard."""

    def __init__(self, session):
        self.session = session
        told, tells = os.pipe()
        with open(told) as display, session.log.open("wb") as log:
            # It takes a number that no other X server has, and says which once it can be used.
            session.start(
                "Xvfb", "-displayfd", str(tells), "-screen", "0", "800x480x24", "-noreset", "-nolisten", "tcp",
                pass_fds=[tells], stderr=log,
            )  # fmt: skip
            os.close(tells)
            number = display.readline().strip()
        assert number, "no X server could be started: " + session.log.read_text("utf-8", "replace")
        session.environment["DISPLAY"] = f":{number}"

    def window(self, name):
        """Wait for a visible window of that class."""

        def search():
            done = subprocess.run(
                ["xdotool", "search", "--onlyvisible", "--class", name],
                check=False,
                capture_output=True,
                env=self.session.environment,
            )
            return done.stdout.split()

        return eventually(search, PATIENCE)

    def type(self, text):
        self.session.run("xdotool", "type", "--clearmodifiers", "--delay", "15", "--", text)

    def paste(self, text, key):
        """Type a text and press a key without a pause anywhere."""
        self.session.run("xdotool", "type", "--delay", "0", "--args", "1", text, "key", "--delay", "0", key)

    def press(self, *keys):
        self.session.run("xdotool", "key", "--clearmodifiers", *keys)

    def picture(self):
        """What is on the screen, to see whether it changes."""
        return subprocess.run(
            ["import", "-window", "root", "rgb:-"], check=True, capture_output=True, env=self.session.environment
        ).stdout

    def settle(self, *before):
        """Wait until the screen differs from all of `before` and stands still; return it."""

        def still():
            first = self.picture()
            time.sleep(0.15)
            return first if first not in before and first == self.picture() else None

        return eventually(still, PATIENCE)

    def save(self, path):
        self.session.run("import", "-window", "root", str(path))


class Terminal:
    """A terminal in tmux, with a server of its own."""

    def __init__(self, session):
        self.session = session
        self.size = (100, 24)
        self._servers = 0

    @property
    def _socket(self):
        return self.session.folder / f"tmux-{self._servers}"

    def open(self, command):
        """Start a program in it. What was open before is closed."""
        self.close()
        self._servers += 1  # its socket is not free again at once
        environment = [f"-e{name}={value}" for name, value in self.session.environment.items()]
        columns, lines = self.size
        size = (f"-x{columns}", f"-y{lines}")
        self._tmux("-f/dev/null", "new-session", "-d", *size, *environment, "--", "sh", "-c", command)

    def _tmux(self, *words):
        return self.session.run("tmux", "-S", str(self._socket), *words)

    def type(self, text):
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys):
        self._tmux("send-keys", *keys)

    def paste(self, text):
        """As a terminal does it: marked as pasted for a program that has asked for that."""
        self._tmux("set-buffer", "--", text)
        self._tmux("paste-buffer", "-p")

    def lines(self):
        return self._tmux("capture-pane", "-p").splitlines()

    def shows(self, text):
        """Wait until a line holds the text."""
        try:
            return eventually(lambda: next((line for line in self.lines() if text in line), None), PATIENCE)
        except AssertionError:
            pytest.fail(f"{text!r} is not shown in:\n" + "\n".join(self.lines()))

    def close(self):
        """End what runs in it, all of it."""
        if not self._socket.exists():
            return
        tmux = ["tmux", "-S", str(self._socket)]
        panes = subprocess.run([*tmux, "list-panes", "-F", "#{pane_pid}"], check=False, capture_output=True).stdout
        everyone = [pid for pane in panes.split() for pid in family(int(pane))]
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)
        for pid in wait_for_end(everyone):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def everybody():
    """The numbers of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def environment_of(pid):
    """What a process was started with, as `name=value` each; nothing of one that is gone or not to be looked at."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def swiftctl():
    """The installed program."""
    return Path(sys.executable).with_name("swiftctl")
