"""Starting what the user chose, so that it outlives the front end and holds nothing of it.

A command gets a new session, /dev/null as its three standard streams (rofi reads its script's output to the end, so
whoever keeps it open hangs rofi), the home folder, and the front end's environment without rofi's own variables. Many
items run `swiftctl copy` or `swiftctl open`: if there is no swiftctl in PATH, this one is put at its end.

Where systemd's user manager runs, the command also gets a transient scope, so that nothing dies with the front end's
own unit. `systemd-run --scope` becomes the command and fails like one, so the shell in between says that it has been
reached before it goes on: without that word the command is started without a scope. It is handed over in the
environment, since systemd-run may replace `${NAME}` in arguments.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import subprocess

from swiftctl import SwiftctlError, own

COMMAND_MAX = (128 << 10) - 1
"""Bytes of one argument of a program: Linux's MAX_ARG_STRLEN, less its final NUL."""

PATIENCE = 2.0
"""Seconds for systemd to make a scope. It takes some 20 ms."""

HANDED_OVER = "SWIFT_COMMAND"
RELAY = f'command=${HANDED_OVER}; unset {HANDED_OVER}; echo; exec >/dev/null; exec sh -c "$command"'


def start(command: bytes) -> None:
    """Start a command of the shell.

    Raises:
        SwiftctlError: it can't be started.

    """
    if len(command) > COMMAND_MAX:
        raise SwiftctlError(f"a command of {len(command)} bytes is too long to be started")
    if b"\0" in command:
        raise SwiftctlError("a command with a NUL character can't be started")
    environment = _environment()
    if not (_has_user_manager() and _start_in_scope(command, environment)):
        _leave(_popen([b"sh", b"-c", command], environment, subprocess.DEVNULL))


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROFI_")}
    if not shutil.which("swiftctl") and (folder := own.folder()):
        environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), folder])
    return environment


def _has_user_manager() -> bool:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    there = os.path.isabs(runtime) and os.path.exists(os.path.join(runtime, "systemd", "private"))  # noqa: PTH110, PTH117, PTH118
    return there and shutil.which("systemd-run") is not None


def _start_in_scope(command: bytes, environment: dict[str, str]) -> bool:
    """Whether the command was started."""
    scope = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--slice=app.slice"]
    name = f"--unit=app-swift-{secrets.token_hex(8)}.scope"
    handed_over = {os.fsencode(key): os.fsencode(value) for key, value in environment.items()}
    handed_over[HANDED_OVER.encode()] = command
    reader, writer = os.pipe()
    try:
        try:
            process = _popen([*scope, name, "--", "sh", "-c", RELAY], handed_over, writer)
        except SwiftctlError:
            return False
        finally:
            os.close(writer)
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        if not ready:
            process.kill()
            process.wait()
        if os.read(reader, 1):
            _leave(process)
            return True
        process.wait()
        return False
    finally:
        os.close(reader)


def _popen(
    words: list[str] | list[bytes], environment: dict[str, str] | dict[bytes, bytes], stdout: int
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=_home(),
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise SwiftctlError(f"the command can't be started: {error.strerror}") from None


def _leave(process: subprocess.Popen[bytes]) -> None:
    """From here on it is on its own; to Popen, one whose status is known needs no waiting for."""
    process.returncode = 0


def _home() -> str:
    home = os.path.expanduser("~")  # noqa: PTH111 - never raises
    return home if os.access(home, os.X_OK) and os.path.isdir(home) else "/"  # noqa: PTH112
