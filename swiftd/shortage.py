"""What a machine can be short of: how much may be used, and words for what went wrong, with what helps.

The daemon and its child processes both go by this: they inherit the same limits. A limit lower than what swiftd would
set itself is whoever's who started it, and is kept.
"""

from __future__ import annotations

import errno
import resource
import threading

from swiftd import files

COMPILE_MEMORY = 4 * 1024**3
"""Bytes of address space to compile one plugin. One in Python (18 MB) needs 0.5 GB; threads reserve more than that."""
COMPILE_SECONDS = 60
"""Seconds of processor time to compile one. That plugin takes 10."""
FILE_SIZE = 512 * 1024 * 1024
"""Bytes of a file that is written: an artefact, or whatever a plugin with a write grant writes."""

_PASSING = {
    errno.ENOSPC: "no space is left where the cache is",
    errno.EDQUOT: "your quota is used up where the cache is",
    errno.EMFILE: "too many files are open at once (`ulimit -n`)",
    errno.ENFILE: "too many files are open in the whole system",
    errno.ENOMEM: "the system has no memory left",
    errno.EAGAIN: "no process or thread is to be had (`ulimit -u`)",
}
"""What ends without anybody changing the plugin or starting swiftd anew."""


def allowed(limit: int, wanted: int) -> int:
    """As much of a resource as is wanted, or the less that is allowed already. `limit` is a `resource.RLIMIT_...`."""
    return min(wanted, *(value if value != resource.RLIM_INFINITY else wanted for value in resource.getrlimit(limit)))


def of(error: OSError) -> tuple[str, bool]:
    """What an error means for a compilation, and whether it is worth another try without anybody's doing."""
    if error.errno in _PASSING:
        return f"{_PASSING[error.errno]}: it is tried again by itself", True
    if error.errno == errno.EFBIG:
        size = allowed(resource.RLIMIT_FSIZE, FILE_SIZE)
        return f"its compiled form is larger than {_bytes(size)}{_by_limit('-f', size, FILE_SIZE)}", False
    return reason(error), True


def can_start(count: int) -> bool:
    """Whether so many threads are to be had at once. Native code aborts the process where they are not."""
    done = threading.Event()
    started = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        return False
    finally:
        done.set()
        for thread in started:
            thread.join()
    return True


def reason(error: OSError) -> str:
    """An error in words, with the limit that it may come from."""
    return _PASSING.get(error.errno or 0) or files.reason(error)


def of_memory() -> str:
    """Compiling took more memory than it may."""
    size = allowed(resource.RLIMIT_AS, COMPILE_MEMORY)
    data = allowed(resource.RLIMIT_DATA, size)
    option = "-d" if data < size else "-v"
    return f"compiling it takes more than {_bytes(data)} of memory{_by_limit(option, data, COMPILE_MEMORY)}"


def of_time() -> str:
    """Compiling took more processor time than it may."""
    seconds = allowed(resource.RLIMIT_CPU, COMPILE_SECONDS)
    limit = _by_limit("-t", seconds, COMPILE_SECONDS)
    return f"compiling it takes more than {seconds} s of processor time{limit}"


def _by_limit(option: str, found: int, wanted: int) -> str:
    """Whose limit it is, if it is not ours, and what helps."""
    return f", which `ulimit {option}` allows here: start swiftd with a higher limit" if found < wanted else ""


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2)):
        if count >= size:
            return f"{count / size:.1f} {unit}".replace(".0 ", " ")
    return f"{count / 1024:.0f} KiB"
