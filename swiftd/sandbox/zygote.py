"""A process that has imported wasmtime and does nothing but fork sandbox processes on request.

Starting Python and importing wasmtime takes 80 ms and 20 MB; a fork of this process takes a millisecond and shares
the memory. It is single-threaded, never runs a guest, and makes no Engine, so a fork of it is always whole. What
workers need that is compiled of ours (clock.py) its first child makes.

Its one connection, a SOCK_SEQPACKET pair, comes as a descriptor number on the command line. First it says what
artefacts it can load (`runtime_id`). A request is one byte, `w` for a worker or `c` for a compile child, in the
latter case with two descriptors, source and artefact. The answer is the child's number in decimal, with its
descriptors: the child's connection, its pidfd, and a worker's memory that it shares with the daemon (record.py); or `!`
and the reason why there is no child, with none. The end of the connection is the end of this process, and so of every
child.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from swiftd.sandbox import clock, worker
from swiftd.sandbox import compile as compiling
from swiftd.sandbox.engine import runtime_id
from swiftd.sandbox.hardening import detach
from swiftd.sandbox.record import make_memory
from swiftd.shortage import reason

WORKER, COMPILE = b"w", b"c"
REFUSED = b"!"

_PR_SET_PDEATHSIG = 1


def main(descriptor: int) -> None:
    """Fork children until the daemon closes its end of the socket `descriptor`."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    _die_with(os.getppid())  # it may be stopped when the daemon ends, and would never read of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the daemon's terminal is the daemon's to act on
    os.environ.clear()
    try:
        control.send(runtime_id().encode())
    except OSError:
        return  # the daemon has ended meanwhile
    clock.artefact()  # before there is a handler that takes every child's end
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()
    zygote = os.getpid()
    while True:
        request, descriptors, _flags, _address = socket.recv_fds(control, 1, 2)
        if not request:
            return
        try:
            answer, handed = _fork(control, request, descriptors, zygote)
        except OSError as error:
            answer, handed = REFUSED + reason(error).encode(), []
        try:
            socket.send_fds(control, [answer], handed)
        except OSError:
            return  # the daemon is gone, and the child sees the end of its connection
        finally:
            for number in (*descriptors, *handed):
                os.close(number)


def _fork(control: socket.socket, request: bytes, descriptors: list[int], zygote: int) -> tuple[bytes, list[int]]:
    """A new child's number, with the daemon's end of its connection, its pidfd, and a worker's shared memory.

    Raises:
        OSError: none can be made, as when the user's processes are too many.

    """
    if request == COMPILE and len(descriptors) < 2:  # noqa: PLR2004 - source and artefact
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # or both would have come
    ours, theirs = socket.socketpair()
    shared = _shared() if request == WORKER else []
    with ours, theirs:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # none must be reaped before its pidfd is open
        try:
            child = os.fork()
            if child == 0:
                ours.close()
                control.close()
                _become(request, theirs, [*descriptors, *shared], zygote)
            try:
                pidfd = os.pidfd_open(child)
                try:
                    return str(child).encode(), [os.dup(ours.fileno()), pidfd, *shared]
                except OSError:
                    os.close(pidfd)
                    raise
            except OSError:
                os.kill(child, signal.SIGKILL)
                raise
        except OSError:
            for number in shared:
                os.close(number)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _shared() -> list[int]:
    """The descriptor of a worker's shared memory; none where the system gives none, as with a low limit of files."""
    try:
        return [make_memory()]
    except OSError:
        return []


def _reap(_signal: int, _frame: object) -> None:
    """Take the ended children from the kernel. The daemon waits for them by pidfd, which needs no parent."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def _become(request: bytes, connection: socket.socket, descriptors: list[int], zygote: int) -> NoReturn:
    """What a child does, all its life. Never returns into the zygote's loop."""
    status = 1
    try:
        _die_with(zygote)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        detach([connection.fileno(), *descriptors])
        if request == WORKER:
            worker.serve(connection, *descriptors)
        else:
            compiling.serve(connection, *descriptors)
        status = 0
    except ConnectionError:
        pass  # the daemon is gone or has lost interest
    except BaseException:  # noqa: BLE001 - a child must end here, whatever happened, and say why
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, which may have happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
