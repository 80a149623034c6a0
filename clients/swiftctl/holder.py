"""Which process is the daemon of a socket, also where it does not answer, or its socket is gone.

What a process says of itself is no proof. That it holds the lock beside the socket is one: the kernel shows it
(`/proc/PID/fdinfo`) to the process's own user, and takes it back with the process. /proc/locks would tell the same
with less to read, but it names the file by the device of its file system, which is not what `stat` gives on btrfs.
"""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def find(path: str) -> Process | None:
    """The process of this user that holds the lock of the socket at `path`; None if there is none in sight."""
    try:
        lock = os.lstat(f"{path}.lock")
    except OSError:
        return None
    if not stat.S_ISREG(lock.st_mode) or lock.st_uid != os.geteuid():
        return None
    for pid in _numbers("/proc"):
        if _holds(pid, lock):
            with contextlib.suppress(ProcessLookupError):
                process = Process(pid)
                if _holds(pid, lock):  # still: the number was not given to another one meanwhile
                    return process
                process.close()
    return None


class Process:
    """A process that stays what it is: signals go to it, or to nobody.

    Raises:
        ProcessLookupError: it has ended.

    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """The descriptor that becomes readable when it ends."""
        return self._pidfd

    def send(self, number: int) -> None:
        """Signal it, if it has not ended."""
        import signal  # noqa: PLC0415 - with enum, which costs more than the rest of this module

        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def descendants(self) -> list[Process]:
        """The processes that it and these have started and that still are theirs."""
        found = []
        for pid in _children(self.pid):
            with contextlib.suppress(ProcessLookupError):
                child = Process(pid)
                if pid in _children(self.pid):
                    found += [child, *child.descendants()]
                else:
                    child.close()
        return found

    def close(self) -> None:
        """Forget it."""
        os.close(self._pidfd)


def _holds(pid: int, lock: os.stat_result) -> bool:
    """Whether a process of this user has that file open, and it was this one that locked it."""
    with contextlib.suppress(OSError):  # it ends, or is not ours to look at
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116 - as below
            return False
        for number in _numbers(f"/proc/{pid}/fd"):
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), lock):  # noqa: PTH116 - opens nothing
                with open(f"/proc/{pid}/fdinfo/{number}") as about:  # noqa: PTH123
                    return any(line.startswith("lock:") and _locker(line) == str(pid) for line in about)
    return False


def _locker(line: str) -> str:
    """Of `lock: 1: FLOCK  ADVISORY  WRITE 1234 00:1b:5678 0 EOF` the 1234; nothing for another kind of lock."""
    words = line.split()
    return words[5] if "FLOCK" in words and len(words) > 5 else ""  # noqa: PLR2004


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in _numbers(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as listed:  # noqa: PTH123
                found += [int(child) for child in listed.read().split()]
    return found


def _numbers(folder: str) -> Iterator[int]:
    return (int(name) for name in os.listdir(folder) if name.isdigit())  # noqa: PTH208
