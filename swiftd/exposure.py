"""Who else could put something of his own where a path leads.

What is ours can be swapped by whoever may write in the folder that holds it, or in one above that. So, as sshd's
StrictModes has it, every folder that the kernel passes on the way, links followed, must belong to this user or to root,
and nobody else may write there. Two things are ordinary and do no harm:

- A sticky folder, such as /tmp: each may add, but nobody renames or removes what another added.
- A folder that its group may write, where the group is the user's own: it has his name and no other member, as with
  distributions whose umask is 002. Root's group counts as root. An access list (ACL) may name others, and counts as
  them.

A user namespace, such as a container's or systemd's `PrivateUsers`, shows every user that it does not know as one and
the same number, root of outside among them. What belongs to that number is taken for root's there.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from swiftd.links import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = 65534
"""The number that stands for all whom a user namespace does not know (`/proc/sys/kernel/overflowuid`)."""

ALL_USERS = 2**32 - 1
"""How many users a namespace knows that knows them all."""

ACCESS_LIST = "system.posix_acl_access"


def exposed(path: str) -> str | None:
    """Why somebody else could change what `path`, which is absolute, leads to; None if nobody can.

    What is not there yet, and what would lie below it, is not judged.

    Raises:
        OSError: it can't be looked at.

    """
    for passed, found in _way(path):
        if found.st_uid not in (0, os.geteuid()) and (found.st_uid != UNKNOWN or knows_all_users()):
            return f"{passed} belongs to user {found.st_uid}, not to {os.geteuid()}"
        is_folder = stat.S_ISDIR(found.st_mode)
        if not (is_folder or stat.S_ISREG(found.st_mode)) or (is_folder and found.st_mode & stat.S_ISVTX):
            continue  # such as a link, whose mode says nothing
        if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_one_s_own(passed, found.st_gid)):
            return f"others can write to {passed} (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def knows_all_users() -> bool:
    """Whether each number of a user stands for one user alone."""
    with suppress(OSError), open("/proc/self/uid_map", "rb") as known:  # noqa: PTH123
        return sum(int(line.split()[2]) for line in known) >= ALL_USERS
    return True


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything that the kernel passes on its way to `path`, from / on, as far as it is there."""
    yield "/", os.lstat("/")
    for step in steps(path):
        if isinstance(step.found, FileNotFoundError | NotADirectoryError):
            return
        if isinstance(step.found, OSError) and step.found.errno == errno.ELOOP:
            return  # the kernel goes no further either
        if isinstance(step.found, Exception):
            raise step.found
        yield step.path, step.found


def _is_one_s_own(path: str, group: int) -> bool:
    """Whether nobody but this user and root has the rights of a folder's group."""
    import grp  # noqa: PLC0415 - rarely asked
    import pwd  # noqa: PLC0415

    with suppress(OSError):  # such as: there is none, or the file system knows none
        os.getxattr(path, ACCESS_LIST)
        return False
    if group == 0:
        return True
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (group, found.gr_name) == (user.pw_gid, user.pw_name) and set(found.gr_mem) <= {user.pw_name}
