"""Landlock: this process may open files only below certain folders (landlock(7), Linux 5.13 and later).

Rights that a newer kernel knows are handled as well, so that they are denied: what is not handled is allowed.
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import TYPE_CHECKING

from swiftd.sandbox import bound

if TYPE_CHECKING:
    from collections.abc import Iterable

# The same numbers on every architecture that has been added to Linux since 2019, and on x86_64.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_READ = _READ_FILE | _READ_DIR
_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""File rights by the kernel's Landlock version: refer came with 2, truncate with 3, ioctl on devices with 5."""
_EXECUTE, _IOCTL = 1 << 0, 1 << 15
_MAKE_DEVICES = (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11)  # character device, socket, FIFO, block device
_FOR_FILES = _EXECUTE | (1 << 1) | _READ_FILE | (1 << 14) | _IOCTL  # the rights that a rule on a file may name
_ALL_TCP = 3  # bind and connect, since version 4
_ALL_SCOPES = 3  # abstract Unix sockets and signals, since version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(read: Iterable[str], write: Iterable[str]) -> int:
    """Allow reading below `read`, and reading and writing below `write`; nothing else can be opened from now on.

    A path that is not there is left out. Returns the version of the kernel's Landlock, 0 where it has none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))
    if version < 1:
        return 0
    every = _ALL_BY_VERSION[min(version, max(_ALL_BY_VERSION))]
    ruleset = _Ruleset(every, _ALL_TCP if version >= 4 else 0, _ALL_SCOPES if version >= 6 else 0)  # noqa: PLR2004
    size = 24 if version >= 6 else 16 if version >= 4 else 8  # noqa: PLR2004 - the kernel's versions
    rules = int(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), size, 0))
    if rules < 0:
        return 0
    try:
        for paths, rights in ((read, _READ), (write, every & ~(_EXECUTE | _IOCTL | _MAKE_DEVICES))):
            for path in paths:
                _allow(libc, rules, path, rights)
        return version if libc.syscall(_RESTRICT_SELF, rules, 0) == 0 else 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Paths are real ones: one that leads through a link since is left out."""
    try:
        parent = bound.opened(path)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _FOR_FILES
        rule = _PathBeneath(rights, parent)
        libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
