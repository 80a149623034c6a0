"""A seccomp filter: this process starts no program, opens no socket, makes no process and touches no other.

A list of what is denied rather than of what is allowed: which calls Python, glibc and wasmtime make changes with each
of their releases, and a filter that kills a worker after an update of glibc would be turned off. What is denied is
what an attacker would need to get out; files are Landlock's part.

`clone` is let through for threads only, and `tgkill` for this process's own: glibc's abort() needs it. `clone3` hides
its flags in memory, where a filter can't look: it is answered as on a kernel without it, and glibc uses `clone`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000
_CLONE_THREAD = 0x00010000

# The classic BPF that the kernel takes: load a word, jump if equal, jump if any bit is set, jump if greater, return.
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = (
    0,
    4,
    16,
    24,
)  # offsets in struct seccomp_data; little-endian machines

_X86_64, _AARCH64 = "x86_64", "aarch64"
_AUDIT = {_X86_64: 0xC000003E, _AARCH64: 0xC00000B7}
_X32_BIT = 0x40000000
"""The second set of numbers for the same calls that x86_64 kernels may have."""

_CLONE = {_X86_64: 56, _AARCH64: 220}
_CLONE3 = 435
_TGKILL = {_X86_64: 234, _AARCH64: 131}
_PRLIMIT = {_X86_64: 302, _AARCH64: 261}
_FCNTL = {_X86_64: 72, _AARCH64: 25}
_IOCTL = {_X86_64: 16, _AARCH64: 29}
_OWNERS = (8, 10, 15)
"""F_SETOWN, F_SETSIG and F_SETOWN_EX of fcntl: who gets which signal for a descriptor, which is a way to kill."""
_OWNERS_BY_IOCTL = (0x8901, 0x8902)
"""FIOSETOWN and SIOCSPGRP: the same."""
_DENIED: dict[str, dict[str, tuple[int, ...]]] = {
    # execve, execveat, fork, vfork
    "programs": {_X86_64: (59, 322, 57, 58), _AARCH64: (221, 281)},
    # socket, connect, accept, bind, listen, socketpair, accept4, sendmmsg
    "sockets": {
        _X86_64: (41, 42, 43, 49, 50, 53, 288, 307),
        _AARCH64: (198, 203, 202, 200, 201, 199, 242, 269),
    },
    # ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_open, pidfd_getfd, process_madvise, pidfd_send_signal,
    # kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, setpriority, sched_setaffinity, sched_setscheduler,
    # sched_setparam, sched_setattr, ioprio_set, process_mrelease
    "other processes": {
        _X86_64: (101, 310, 311, 312, 434, 438, 440, 424, 62, 200, 129, 297, 141, 203, 144, 142, 314, 251, 448),
        _AARCH64: (117, 270, 271, 272, 434, 438, 440, 424, 129, 130, 138, 240, 140, 122, 119, 118, 274, 30, 448),
    },
    # unshare, setns, mount, umount2, pivot_root, chroot, open_tree, move_mount, fsopen, mount_setattr
    "namespaces": {
        _X86_64: (272, 308, 165, 166, 155, 161, 428, 429, 430, 442),
        _AARCH64: (97, 268, 40, 39, 41, 51, 428, 429, 430, 442),
    },
    # bpf, perf_event_open, userfaultfd, io_uring_setup, add_key, request_key, keyctl, open_by_handle_at
    "the kernel's attack surface": {
        _X86_64: (321, 298, 323, 425, 248, 249, 250, 304),
        _AARCH64: (280, 241, 282, 425, 217, 218, 219, 265),
    },
    # init_module, finit_module, delete_module, kexec_load, kexec_file_load, reboot, swapon, swapoff
    "the machine": {
        _X86_64: (175, 313, 176, 246, 320, 169, 167, 168),
        _AARCH64: (105, 273, 106, 104, 294, 142, 224, 225),
    },
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install() -> bool:
    """Put the filter in force for this process and its threads. Needs PR_SET_NO_NEW_PRIVS. False: it can't be."""
    machine = platform.machine()
    if machine not in _AUDIT:
        return False
    program = build(machine, os.getpid())
    handed = _Program(len(program) // 8, program)
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(handed), 0, 0) == 0)


def build(machine: str, process: int) -> bytes:
    """The filter's instructions for a process on a machine, eight bytes each."""
    denied = [number for group in _DENIED.values() for number in group[machine]]
    refuse = _instruction(_RETURN, _ERRNO | errno.EPERM)
    allow = _instruction(_RETURN, _ALLOW)
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _AUDIT[machine], then=1),
        _instruction(_RETURN, _KILL_PROCESS),  # a program of another architecture has no business here
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32_BIT, otherwise=1),
        refuse,
        _instruction(_EQUAL, _CLONE3, otherwise=1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number in denied:
        program += [_instruction(_EQUAL, number, otherwise=1), refuse]
    for numbers, test, value in ((_CLONE, _ANY_BIT, _CLONE_THREAD), (_TGKILL, _EQUAL, process)):
        program += [
            _instruction(_EQUAL, numbers[machine], otherwise=4),
            _instruction(_LOAD, _FIRST_ARGUMENT),
            _instruction(test, value, then=1),
            refuse,
            allow,
        ]
    program += [
        _instruction(_EQUAL, _PRLIMIT[machine], otherwise=5),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_EQUAL, 0, then=2),
        _instruction(_EQUAL, process, then=1),
        refuse,
        allow,
    ]
    for table, requests in ((_FCNTL, _OWNERS), (_IOCTL, _OWNERS_BY_IOCTL)):
        program += [
            _instruction(_EQUAL, table[machine], otherwise=2 + 2 * len(requests)),
            _instruction(_LOAD, _SECOND_ARGUMENT),
            *(part for request in requests for part in (_instruction(_EQUAL, request, otherwise=1), refuse)),
            allow,
        ]
    program.append(allow)
    return b"".join(program)


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One of the kernel's struct sock_filter; `then` and `otherwise` are how many instructions a jump skips."""
    return struct.pack("<HBBI", code, then, otherwise, value)
