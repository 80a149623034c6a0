"""What a sandbox process gives up before it touches anything a plugin's author wrote.

The sandbox is wasmtime; this is for the day it has a hole. Everything here is what Linux lets an ordinary user do to
himself, and can't be taken back. Where the kernel lacks a part, the rest still holds; `swiftctl stats` says what is in
force. Landlock and seccomp are spoken to by a few lines of ctypes each: their libraries for Python wrap C ones
that a user would have to install, and the interfaces are the kernel's own, stable by its promise.

There is no limit on the number of processes: the kernel counts a user's threads, all sessions together, and wasmtime
needs threads of its own. The seccomp filter refuses new processes instead, and lets threads through.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import TYPE_CHECKING

from swiftd.sandbox import bound, landlock, seccomp
from swiftd.shortage import FILE_SIZE, allowed

if TYPE_CHECKING:
    from collections.abc import Iterable

DESCRIPTORS = 4096
"""Open files at once. Each plugin that is loaded keeps one open, and one that lists folders a few dozen more."""
USUAL_DESCRIPTORS = 1024
"""What most systems allow at first, and a program may raise. Less is what somebody chose."""

DATA = 5 * 1024**3
"""Bytes of memory that a process may take, as the last limit. A call's own is lower, but a process that was taken over
could raise it up to this: the 4 GiB that the user may allow a plugin, what a call takes besides, and what is loaded."""

_LIMITS = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_DATA, DATA),
    (resource.RLIMIT_FSIZE, FILE_SIZE),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_SIGPENDING, 0),  # the user's programs share one account of these; what a fault raises needs none
    (resource.RLIMIT_NICE, 0),
    (resource.RLIMIT_RTPRIO, 0),
)

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES_VERSION = 0x20080522


def detach(keep: Iterable[int]) -> None:
    """Leave everything that was inherited: descriptors but for `keep` and stderr, and the session.

    stderr is a connection that can only be written to (last_words.py): no terminal, and no journal to lie in.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    kept = sorted({2, *keep})
    low = 3
    for descriptor in kept:
        if descriptor >= low:
            os.closerange(low, descriptor)
            low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    os.setsid()


def harden(read: Iterable[str], write: Iterable[str]) -> list[str]:
    """Give up what this process does not need. It may still read and write below these folders.

    Returns the names of what is in force.
    """
    read, write = list(read), list(write)
    bound.bind([*read, *write])
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        done.append("no-new-privileges")
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        done.append("not-dumpable")
    for limit, wanted in _LIMITS:
        value = allowed(limit, wanted)
        resource.setrlimit(limit, (value, value))
    files = _raised(DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    done.append("resource-limits")
    if write:
        # seccomp can't keep it from making a file that runs as the user, whoever starts it; but it can't be started.
        os.umask(0o077)
    if version := landlock.restrict(read, write):
        done.append(f"landlock-{version}")
    if _drop_capabilities(libc):
        done.append("no-capabilities")
    if seccomp.install(walks=bool(version and (read or write)), writes=bool(write)):
        done.append("seccomp")
    return done


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Be no more than an ordinary user, also as root."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    return bool(libc.capset(header, none) == 0)


def _raised(wanted: int) -> int:
    """The limit of open files: what is wanted, unless somebody has lowered it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if USUAL_DESCRIPTORS <= soft < wanted:
        return min(wanted, hard)
    return allowed(resource.RLIMIT_NOFILE, wanted)
