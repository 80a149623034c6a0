"""Starting the daemon in the background, and waiting until it is ready.

The daemon gets a session of its own, no terminal, `/` as its working directory and a log file. It says that it
listens by systemd's readiness protocol: a datagram with the line `READY=1` to the socket that `NOTIFY_SOCKET` names.
Several clients may start one at the same time: the daemons settle it between them, and whoever's daemon gave way
connects to the other one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import select
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from swiftctl import NoDaemonError, SwiftctlError, show
from swiftctl.wire import Connection, unreachable
from swiftd import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from swiftctl import Options

STATUS_ALREADY_SERVED = 3
"""With it swiftd says that another daemon serves the socket."""

OTHERS_START = 2.0
"""Seconds that the other daemon gets until it accepts connections."""

LOG_MAX = 1 << 20
"""Bytes; a longer log becomes `swiftd.log.1` before the next start."""

OF_OTHERS = stat.S_ISVTX | stat.S_IWGRP | stat.S_IWOTH
"""What the mode of a folder has none of, in which only we have files."""

LAST_LINES = 8
"""Lines of the log to show of a daemon that did not start."""

NOT_FOR_CHILDREN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC", "NOTIFY_SOCKET")
"""What a service manager may have said to us and did not mean for the daemon."""


def start(path: str, options: Options, deadline: float) -> Connection:
    """Start swiftd and connect to it.

    Raises:
        NoDaemonError: it did not start, or not in time.

    """
    chosen = _is_chosen(options)
    if path == session_socket() and not chosen and (connection := _through_systemd(path, deadline)) is not None:
        return connection
    command = find() + (["--socket", path] if chosen else [])
    for note in [*_notes(options), paths.cache_note()]:
        if note:
            show.complain(note)
    progress = show.Progress()
    progress.say("starting swiftd …")
    log = _open_log(paths.defaults().state, path)
    begin = log.tell() if log else 0
    try:
        status = _start(command, log, deadline)
        # A daemon of another client may have been faster, and ours gave way to it.
        connection = _connect(path, deadline, OTHERS_START if status == STATUS_ALREADY_SERVED else 0)
        if connection is None:
            raise NoDaemonError(_why(path, command, status, log, begin))
        return connection
    finally:
        progress.clear()
        if log:
            log.close()


def not_started(path: str, options: Options) -> NoDaemonError:
    """What to say if nobody listens, and none is to be started."""
    how = f"`swiftd --socket {options.socket} &`" if options.socket else "`swiftd &` or `systemctl --user start swiftd`"
    return NoDaemonError("\n".join([f"nobody listens at {path}: start the daemon with {how}", *_notes(options)]))


def _notes(options: Options) -> list[str]:
    """Why the socket is not where the environment says."""
    return [] if _is_chosen(options) else paths.socket_notes()


def _is_chosen(options: Options) -> bool:
    return bool(options.socket or os.environ.get("SWIFT_SOCKET"))


def session_socket() -> str:
    """Where systemd listens: in the session's own runtime folder."""
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), "swift", "swiftd.sock")  # noqa: PTH118 - as wire.py has it


def _through_systemd(path: str, deadline: float) -> Connection | None:
    """Have the user's systemd start it, where its units are installed, and listen from then on.

    The service is started, not just its socket, to learn here whether it can be. If not, systemd must not listen
    either: each connection would be accepted and then dropped.

    Raises:
        NoDaemonError: there was no time to wait for it.

    """
    from swiftctl import service  # noqa: PLC0415 - it imports this module

    if not (service.is_installed() and service.has_manager()):
        return None

    def tell(what: str) -> None:
        left = max(0.01, deadline - time.monotonic())
        service.systemctl(what, *service.UNITS, patience=min(service.PATIENCE, left))

    try:
        tell("start")
    except SwiftctlError as error:
        if time.monotonic() >= deadline:
            raise NoDaemonError(f"{error}: try again, or give more time with --timeout") from None
        show.complain(f"{error}\nstarting swiftd without systemd")
        with contextlib.suppress(SwiftctlError):
            tell("stop")
        return None
    return _connect(path, deadline, OTHERS_START)


def find() -> list[str]:
    """How to call the swiftd that belongs to this swiftctl.

    Raises:
        NoDaemonError: there is none.

    """
    script = Path(sys.argv[0]).absolute()
    for ours in (script, script.resolve(), Path(sys.executable)):
        beside = ours.parent / "swiftd"
        if beside.is_file() and os.access(beside, os.X_OK):
            return [str(beside)]
    if importlib.util.find_spec("swiftd"):
        return [sys.executable, "-m", "swiftd"]
    raise NoDaemonError("nobody listens, and there is no swiftd to start beside this swiftctl: install it")


def _start(command: list[str], log: BinaryIO | None, deadline: float) -> int | None:
    """Start the daemon and wait; its exit status if it ended, None once it is ready.

    Raises:
        NoDaemonError: neither happened in time, or it can't be started at all.

    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        name = f"swiftctl-{os.getpid()}-{secrets.token_hex(16)}"  # abstract: no file is left behind
        notifications.bind(f"\0{name}")
        environment = {key: value for key, value in os.environ.items() if key not in NOT_FOR_CHILDREN}
        environment["NOTIFY_SOCKET"] = f"@{name}"
        try:
            daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log or subprocess.DEVNULL,
                stderr=log or subprocess.DEVNULL,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise NoDaemonError(f"cannot start {command[0]}: {error.strerror}") from None
        try:
            return _wait(daemon, notifications, deadline)
        finally:
            # From here on it is on its own; to Popen, one whose status is known needs no waiting for.
            daemon.returncode = daemon.returncode or 0


def _wait(daemon: subprocess.Popen[bytes], notifications: socket.socket, deadline: float) -> int | None:
    ended = os.pidfd_open(daemon.pid)
    try:
        poll = select.poll()
        poll.register(notifications, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if notifications.fileno() in ready and b"READY=1" in notifications.recv(4096).split(b"\n"):
                return None
            if ended in ready:
                return daemon.wait()
    finally:
        os.close(ended)
    raise NoDaemonError("swiftd was started, but is not ready yet: try again, or give more time with --timeout")


def _connect(path: str, deadline: float, patience: float) -> Connection | None:
    """Connect, for that many seconds; None if nobody listens."""
    give_up = min(deadline, time.monotonic() + patience)
    while True:
        try:
            return Connection(path, deadline)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() >= give_up:
                return None
            time.sleep(0.02)
        except OSError as error:
            raise unreachable(path, error) from None


def _why(path: str, command: list[str], status: int | None, log: BinaryIO | None, begin: int) -> str:
    """What to say of a daemon that is not there after all."""
    happened = f"ended with status {status}" if status is not None else "is ready"
    text = f"nobody listens at {path}; {' '.join(command)} was started and {happened}"
    if log is None:
        return f"{text}. No log could be kept: run it in a terminal to see why"
    log.seek(begin)
    lines = log.read().decode(errors="replace").strip().split("\n")[-LAST_LINES:]
    return "\n  ".join([f"{text}. The end of its log, {log.name}:", *filter(None, lines)])


def _open_log(state: Path, path: str) -> BinaryIO | None:
    """The daemon's log, at its end: in the state folder, or else beside the socket; None if neither can be written."""
    beside = Path(path).parent
    for folder in (state, beside):
        with contextlib.suppress(OSError):
            if folder == state or not beside.exists():
                paths.make_private(folder)
            elif paths.refusal(beside) or beside.stat().st_mode & OF_OTHERS:
                continue  # another's, or /tmp: a name that all know would be in everybody's way
            return _append(folder / "swiftd.log")
    return None


def _append(path: Path) -> BinaryIO:
    """Open a log of ours, at its end.

    Raises:
        OSError: it can't be opened, or is not ours, or no file.

    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_MAX:
            path.replace(f"{path}.1")
    return open(path, "a+b", buffering=0, opener=_open_ours)


def _open_ours(path: str, _: int) -> int:
    log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    found = os.fstat(log)
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):  # left while others could write in the folder
        os.close(log)
        raise PermissionError(path)
    os.fchmod(log, 0o600)
    return log
