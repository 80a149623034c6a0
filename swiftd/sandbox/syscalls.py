"""The system calls that a sandbox process may make, by name, with their numbers on x86_64 and on aarch64.

What was seen in use: by CPython 3.11 and 3.13, glibc, and wasmtime with plugins in all the languages that there are
recipes for, in the tests and in crashes; and what musl's functions of the same names come down to. What is not here is
refused with an error, never by the process's end: a newer library that tries something else first finds its way.
"""

from __future__ import annotations

Numbers = tuple[int, int | None]
"""On x86_64 and on aarch64; None where aarch64 never had the call, being younger than what came in its place."""

ALWAYS: dict[str, Numbers] = {
    # memory, compiled code included
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "membarrier": (324, 283),
    # threads of this process
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # signals: wasmtime's traps are some
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    # time
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    # what is open already
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "write": (1, 64),
    "writev": (20, 66),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "pwritev2": (328, 287),
    "lseek": (8, 62),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup": (32, 23),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fadvise64": (221, 223),
    "getdents64": (217, 61),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    # the one connection: no descriptor can come or go by it
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    # waiting, as the runtime below wasmtime's WASI does
    "poll": (7, None),
    "ppoll": (271, 73),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    # looking at names, which Landlock lets anybody do
    "newfstatat": (262, 79),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "statfs": (137, 43),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getcwd": (79, 17),
    # what this process is
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
}
"""In every process, whatever the arguments."""

WALKING: dict[str, Numbers] = {
    "openat2": (437, 437),
}
"""Opens a file without leaving a folder, for a plugin that was granted one."""

WRITING: dict[str, Numbers] = {
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "ftruncate": (77, 46),
}
"""Changes a folder that a plugin may write to."""

CHECKED: dict[str, Numbers] = {
    "mmap": (9, 222),
    "clone": (56, 220),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "open": (2, None),
    "openat": (257, 56),
    "utimensat": (280, 88),
    "memfd_create": (319, 279),
}
"""Allowed with some arguments only, or refused in a way of its own: see seccomp.py."""
