"""The daemon's side of its sandbox processes: have one forked, talk to it, wait for its end, kill it.

All of them come from the zygote (sandbox/zygote.py), which is started at need and again if it is lost.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import trio

from swiftd.errors import DaemonError
from swiftd.last_words import LastWords
from swiftd.sandbox.messages import HEADER, Ran, pack
from swiftd.sandbox.record import read_memory, replayed
from swiftd.shortage import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_LIMIT = 20.0
"""Seconds for the zygote to start. It takes 0.1 on an idle machine; a cold disk takes the rest."""

FORK_LIMIT = 3.0
"""Seconds for a fork, which takes a millisecond. A zygote that is stopped holds up the end of the daemon, too."""

LONGEST_MESSAGE = 64 * 1024 * 1024
"""Bytes that a child may say at once: an answer of 4 MiB, and then some. It may be a child that was taken over."""

LAST_WORDS_LIMIT = 1.0
"""Seconds for the last words of a child that crashes."""
LONGEST_LAST_WORDS = 64 * 1024
"""Bytes of them that are worth reading."""

REFUSED = b"!"
"""What a zygote's answer starts with where there is no child."""

Kind = Literal["w", "c"]


class LostError(Exception):
    """The process ended before it had said all of a message."""

    def __init__(self, pid: int, said: bytes = b"") -> None:
        super().__init__(f"process {pid} has ended")
        self.said = said
        """Bytes that are no message: a crashing child's last words, or their beginning."""


class RefusedForkError(Exception):
    """There is no new process now; the zygote and the children that there are live on."""


class Child:
    """One sandbox process: a connection, and a handle that means this very process and never another.

    Whoever has it must `close` it in the end.
    """

    def __init__(self, pid: int, pidfd: int, connection: socket.socket, memory: int = -1) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._memory = memory
        self._remains = b""
        connection.setblocking(False)
        # Not a trio stream: that passes through the scheduler at every send and receive, also when the kernel takes
        # or has the bytes at once. Here that is the rule, and each pass costs a tenth of a query.
        self._socket = connection

    async def ask(self, job: Any, decode: Callable[[bytes], Any]) -> Any:
        """Send one job and wait for its answer. The caller bounds the time, and kills the child if it is cancelled.

        Raises:
            LostError: it ended before it answered.

        """
        await self.tell(job)
        return await self.answer(decode)

    async def tell(self, job: Any) -> None:
        """Send a job that has no answer.

        Raises:
            LostError: it has ended.

        """
        left = memoryview(pack(job))
        try:
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._socket)
        except (OSError, trio.ClosedResourceError) as error:
            raise LostError(self.pid) from error

    async def answer(self, decode: Callable[[bytes], Any]) -> Any:
        """Wait for the next message.

        Raises:
            LostError: it ended before.

        """
        buffer = bytearray()
        needed = HEADER.size
        while len(buffer) < needed:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                data = self._socket.recv(1 << 20)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise LostError(self.pid, bytes(buffer)) from error
            if not data:
                raise LostError(self.pid, bytes(buffer))
            buffer += data
            if len(buffer) >= HEADER.size:
                needed = HEADER.size + HEADER.unpack_from(buffer)[0]
            if needed > LONGEST_MESSAGE:
                raise LostError(self.pid, bytes(buffer))
        try:
            return decode(bytes(buffer[HEADER.size : needed]))
        except msgspec.MsgspecError as error:
            raise LostError(self.pid, bytes(buffer)) from error

    async def rest(self) -> bytes:
        """What else it says before it ends, for as long as last words take."""
        said = bytearray()
        with trio.move_on_after(LAST_WORDS_LIMIT):
            while len(said) < LONGEST_LAST_WORDS:
                try:
                    await trio.lowlevel.wait_readable(self._socket)
                    data = self._socket.recv(LONGEST_LAST_WORDS)
                except BlockingIOError:
                    continue
                except (OSError, trio.ClosedResourceError):
                    break
                if not data:
                    break
                said += data
        return bytes(said)

    async def wait(self) -> None:
        """Return when the process has ended."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def kill(self) -> None:
        """End the process now, in whatever state. Harmless if it has ended, or was closed."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def left_behind(self, slot: int) -> Ran:
        """What a worker's last run printed and was denied, if it was one of that slot: for a run that gave no reply."""
        record = replayed(self._remains or read_memory(self._memory), slot)
        return Ran(log=record.log, denied=record.denied)

    def close(self) -> None:
        """End the process and give back all that is held for it. May be called again."""
        if self._pidfd >= 0:
            self.kill()
            trio.lowlevel.notify_closing(self._pidfd)
            trio.lowlevel.notify_closing(self._socket)
            os.close(self._pidfd)
            self._pidfd = -1
            self._socket.close()
        if self._memory >= 0:
            self._remains = read_memory(self._memory)  # whoever waits for its answer learns of its end after us
            os.close(self._memory)
            self._memory = -1


class Zygote:
    """Makes sandbox processes. Its methods may be called by several tasks; one fork is done at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: trio.socket.SocketType | None = None
        self._lock = trio.Lock()
        self._last_words = LastWords()
        self.runtime_id = ""
        """What artefacts the children can load; known when the first fork is done or `start` has returned."""

    async def start(self) -> None:
        """Start the zygote unless it runs.

        Raises:
            DaemonError: it can't be started.

        """
        async with self._lock:
            if self._process is None:
                try:
                    await self._start()
                except OSError as error:
                    raise DaemonError(f"no sandbox process can be made: {reason(error)}") from error

    async def fork(self, kind: Kind, descriptors: Sequence[int] = ()) -> Child:
        """A new child, of the kind and with the descriptors that zygote.py describes.

        Raises:
            DaemonError: none can be made, even by a new zygote.

        """
        async with self._lock:
            for last_try in (False, True):
                try:
                    if self._process is None:
                        await self._start()
                    return await self._fork(kind, descriptors)
                except RefusedForkError as error:
                    raise DaemonError(f"no sandbox process can be made: {error}") from error
                except OSError as error:
                    self.close()
                    if last_try:
                        raise DaemonError(f"no sandbox process can be made: {reason(error)}") from error
        raise AssertionError("not reached")

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = trio.socket.from_stdlib_socket(ours)  # closed with the rest, also if what follows fails
        with theirs, self._last_words.open() as stderr:
            # Not trio's open_process: that forks in a thread, and with the thread's end the kernel would deliver
            # the parent-death signal to anything that asked for one.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, once
                [sys.executable, "-m", "swiftd.sandbox.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr.fileno(),
                cwd="/",
                env={"PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path))), "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        hello = b""
        try:
            with trio.move_on_after(START_LIMIT):
                hello = await self._control.recv(4096)
        except BaseException:
            self.close()  # or the next to ask would take the hello for its own answer, and so on for ever
            raise
        if not hello:
            self.close()
            raise DaemonError("the process that makes sandbox processes did not start; the log has its last words")
        self.runtime_id = hello.decode()

    async def _fork(self, kind: Kind, descriptors: Sequence[int]) -> Child:
        control = self._control
        assert control is not None  # noqa: S101 - _start sets it
        self._last_words.pass_on()
        # From here to the answer nothing may cut in, or the next caller would get this one's child.
        with trio.CancelScope(shield=True), trio.move_on_after(FORK_LIMIT):
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed(descriptors))] if descriptors else []
            await control.sendmsg([kind.encode()], ancillary)
            data, received, _flags, _address = await control.recvmsg(256, socket.CMSG_SPACE(3 * 4))
            if not data:
                raise OSError("it ended")
            if data.startswith(REFUSED):
                raise RefusedForkError(data[len(REFUSED) :].decode("utf-8", "replace"))
            handed = [number for _, _, packed in received for number in _unpacked(packed)]
            if len(handed) < 2:  # noqa: PLR2004 - without its connection the child ends
                for number in handed:
                    os.close(number)
                raise RefusedForkError(reason(OSError(errno.EMFILE, "")))
            connection, pidfd, *memory = handed
            return Child(int(data), pidfd, socket.socket(fileno=connection), *memory)
        raise OSError("it does not answer")

    def close(self) -> None:
        """End the zygote, and with it every child that is still there. A later fork starts another."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()  # it was killed: this takes no time
            self._process = None
        self._last_words.close()


def _packed(descriptors: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)


def _unpacked(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]
