"""What a sandbox process gives up before it touches anything a plugin's author wrote.

The sandbox is wasmtime; this is for the day it has a hole. Everything here is what Linux lets an ordinary user do to
himself, and can't be taken back. Where the kernel lacks a part, the rest still holds; `swiftctl stats` shows what is
in force. Landlock and seccomp are spoken to by a few lines of ctypes each: their libraries for Python wrap C ones
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

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def detach(keep: Iterable[int]) -> None:
    """Leave everything that was inherited: descriptors but for `keep` and stderr, the session, the terminal."""
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
    for limit, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        value = _raised(wanted) if limit == resource.RLIMIT_NOFILE else allowed(limit, wanted)
        resource.setrlimit(limit, (value, value))
    done.append("resource-limits")
    if version := landlock.restrict(read, write):
        done.append(f"landlock-{version}")
    if seccomp.install():
        done.append("seccomp")
    return done


def _raised(wanted: int) -> int:
    """The limit of open files: what is wanted, unless somebody has lowered it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if USUAL_DESCRIPTORS <= soft < wanted:
        return min(wanted, hard)
    return allowed(resource.RLIMIT_NOFILE, wanted)
