"""A seccomp filter: a list of the system calls that this process may still make (syscalls.py), and nothing else.

What is not on it gets an error. For a call that came with Linux 5.1 or later that is ENOSYS, as on a kernel older than
the call, which every library has to manage on: so a newer glibc, Python or wasmtime does without instead of failing.
For an older one it is EPERM.

A filter sees numbers, not what they point to. So `clone3` and io_uring, whose flags lie in memory, are out; `clone` is
let through for threads only, and `tgkill` for this process's own: abort() needs it. `openat2` hides its flags, too:
where no Landlock looks at what is opened it is left out, and plain `openat` is let through for reading alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from swiftd.sandbox.syscalls import ALWAYS, CHECKED, WALKING, WRITING

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

# The classic BPF that the kernel takes: load a word, jump if equal, jump if any bit is set, jump if at least, return.
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data. The arguments are of 64 bits each; on these machines the low half comes first."""

_COLUMN = {"x86_64": 0, "aarch64": 1}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SHARED_NUMBERS = 424
"""From here on, which is Linux 5.1, a call has the same number on all machines. x86_64's second set of numbers for the
same calls, x32, lies above, too."""

_UNCOUNTED = 0x010D
"""MAP_SHARED and its kin, and MAP_GROWSDOWN: memory that RLIMIT_DATA does not count."""
_THREAD = 0x00010000
_THREADS_FLAGS = 0x007D0F00
"""CLONE_THREAD, and with it all that glibc and musl ask for: no namespace, no other parent, no tracer."""
_NAMES = (15, 0x53564D41)
"""PR_SET_NAME and PR_SET_VMA: how a thread and a piece of memory are called."""
_DESCRIPTORS = (1, 2, 3, 4, 1030, 1033, 1034)
"""Of fcntl: F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS."""
_OF_ANY_FILE = (0x5401, 0x5413, 0x5421, 0x5450, 0x5451)
"""Of ioctl: TCGETS and TIOCGWINSZ, which ask whether a file is a terminal; FIONBIO, FIONCLEX, FIOCLEX."""
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(*, walks: bool, writes: bool) -> bool:
    """Put the filter in force for this process and its threads. Needs PR_SET_NO_NEW_PRIVS. False: it can't be.

    With `walks` folders may be walked, which Landlock must limit; with `writes` changed as well.
    """
    machine = platform.machine()
    if machine not in _AUDIT:
        return False
    program = build(machine, os.getpid(), walks=walks, writes=writes)
    handed = _Program(len(program) // 8, program)
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(handed), 0, 0) == 0)


def build(machine: str, process: int, *, walks: bool, writes: bool) -> bytes:
    """The filter's instructions for a process on a machine, eight bytes each."""
    column = _COLUMN[machine]
    calls = ALWAYS | (WALKING if walks else {}) | (WRITING if writes else {})
    checks = {
        "mmap": _lacks_bits(3, _UNCOUNTED),
        "clone": _has_bits(0, _THREAD) + _lacks_bits(0, ~_THREADS_FLAGS),
        "tgkill": _is_one_of(0, (process,)),
        "tkill": _is_one_of(0, (process,)),  # the first thread, whose number is the process's: musl's abort()
        "prlimit64": _is_one_of(0, (0, process)),
        "prctl": _is_one_of(0, _NAMES),
        "fcntl": _is_one_of(1, _DESCRIPTORS),
        "ioctl": _is_one_of(1, _OF_ANY_FILE),
        "open": [] if writes else _lacks_bits(1, _CHANGES),
        "openat": [] if writes else _lacks_bits(2, _CHANGES),
        # Of an open file alone: of one that is named, Landlock lets anybody set the times. It costs a plugin those of a
        # link, and of a file that it opened itself; by its name it can set them.
        "utimensat": _is_zero(1) if writes else [_refuse(errno.EPERM)],
        # Memory past the limit, too. wasmtime does without where a kernel has none.
        "memfd_create": [_refuse(errno.ENOSYS)],
    }
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _AUDIT[machine], then=1),
        _instruction(_RETURN, _KILL_PROCESS),  # a program of another architecture has no business here
        _instruction(_LOAD, _NUMBER),
    ]
    for name, check in checks.items():
        if (number := CHECKED[name][column]) is not None:
            body = [*check, _instruction(_RETURN, _ALLOW)]
            program += [_instruction(_EQUAL, number, otherwise=len(body)), *body]
    for numbers in calls.values():
        if (number := numbers[column]) is not None:
            program += [_instruction(_EQUAL, number, otherwise=1), _instruction(_RETURN, _ALLOW)]
    program += [
        _instruction(_AT_LEAST, _SHARED_NUMBERS, otherwise=1),
        _refuse(errno.ENOSYS),
        _refuse(errno.EPERM),
    ]
    return b"".join(program)


# ---- what an argument must be: instructions that go on after themselves, or refuse --------------------------------


def _is_one_of(argument: int, values: tuple[int, ...]) -> list[bytes]:
    """An argument of 32 bits is one of these."""
    last = len(values)
    jumps = [_instruction(_EQUAL, value, then=last - at) for at, value in enumerate(values)]
    return [_load(argument), *jumps, _refuse(errno.EPERM)]


def _is_zero(argument: int) -> list[bytes]:
    """An argument of 64 bits is zero."""
    high = _load(argument, high=True)
    refuse = _refuse(errno.EPERM)
    return [*_is_one_of(argument, (0,)), high, _instruction(_EQUAL, 0, then=1), refuse]


def _has_bits(argument: int, bits: int) -> list[bytes]:
    return [_load(argument), _instruction(_ANY_BIT, bits, then=1), _refuse(errno.EPERM)]


def _lacks_bits(argument: int, bits: int) -> list[bytes]:
    return [_load(argument), _instruction(_ANY_BIT, bits & 0xFFFFFFFF, otherwise=1), _refuse(errno.EPERM)]


def _load(argument: int, *, high: bool = False) -> bytes:
    return _instruction(_LOAD, _ARGUMENTS + 8 * argument + 4 * high)


def _refuse(error: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | error)


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One of the kernel's struct sock_filter; `then` and `otherwise` are how many instructions a jump skips."""
    return struct.pack("<HBBI", code, then, otherwise, value)
