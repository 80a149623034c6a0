"""What one run of a guest printed, logged and was denied, and how that outlives the process it ran in.

A call that is ended at its deadline, or whose process crashes, can't hand over a log: and that is the log which says
where it hangs. So each worker has a piece of memory that it shares with the daemon, where everything is written as it
comes; the daemon reads it when there is no reply. The layout:

    end   u32   where the last entry ends; written after the entry
    slot  u32   whose run it was: the number of the `Load`; written after an end of none
    then entries: kind u8, length u32, that many bytes

The daemon takes it for what a guest that broke out could have written: it replays the entries into a `Record` of its
own, which has the same limits and makes text harmless, and stops at what it can't read. Nothing here imports wasmtime.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import struct
import threading

from swiftd.text import one_line

LEVELS = ("debug", "info", "warning", "error")
CAPABILITIES = ("clock", "files", "network", "random")

LOG_LIMIT = 16 * 1024
"""Bytes that a plugin may print a call; the rest is thrown away."""

_HEADER = struct.Struct("=II")
_END = struct.Struct("=I")
_ENTRY = struct.Struct("=BI")
SHARED_SIZE = _HEADER.size + (1 + _ENTRY.size) * LOG_LIMIT + 1024
"""Bytes of the shared memory: enough if a log consists of single letters. The kernel gives what is written to."""

NOBODY = 0
"""No slot has this number."""

_PRINTED = {"stdout": len(LEVELS), "stderr": len(LEVELS) + 1}
_STREAMS = {kind: stream for stream, kind in _PRINTED.items()}
_DENIED = len(LEVELS) + 2
_ASKED = len(LEVELS) + 3
_ASKED_IN_CALL = len(LEVELS) + 4

_MFD_NOEXEC_SEAL = 0x0008
"""linux/memfd.h: never to be executed. Since Linux 6.3."""

_ABOUT_FILES = re.compile(r"(?i)no such file|pre-?opened|bad file|file ?not ?found|not capable|permission denied")

_STDERR_END = 4096
"""Bytes kept of the end of what came on stderr, whatever came before: a language's last words stand there."""


class Shared:
    """The worker's side of the shared memory, which needs no descriptor of it any more.

    Without one, where the system had no memory to share, what killed calls printed is lost.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._memory = memoryview(bytearray(SHARED_SIZE)) if descriptor is None else _mapped(descriptor)
        self._end = _HEADER.size

    def begin(self, slot: int = NOBODY) -> None:
        """Start anew: from here on it is about a run of that slot, or of none."""
        self._end = _HEADER.size
        _HEADER.pack_into(self._memory, 0, self._end, slot)

    def add(self, kind: int, data: bytes) -> None:
        """Append an entry. What there is no room for is left out."""
        start = self._end + _ENTRY.size
        if start + len(data) <= len(self._memory):
            _ENTRY.pack_into(self._memory, self._end, kind, len(data))
            self._memory[start : start + len(data)] = data
            self._end = start + len(data)
            _END.pack_into(self._memory, 0, self._end)


class Record:
    """One run's log and denials."""

    def __init__(self, room: int, shared: Shared | None = None) -> None:
        self.starting = True
        """Until the instance is made. What a language's runtime asks for meanwhile is no attempt of the plugin's."""
        self.log: list[tuple[str, str]] = []
        self.denied: list[str] = []
        self.lacking: list[str] = []
        """Granted folders that it could not be given, and why."""
        self.stderr_end = bytearray()
        """The last of what came on stderr."""
        self._room = room
        self._shared = shared
        self._open: dict[str, bytearray] = {}
        self._asked = False
        self._asked_in_call = False
        # wasmtime prints on threads of its own, also when the run is over and the shared memory is another's.
        self._lock = threading.RLock()  # `finish` may have something to deny

    def say(self, level: str, message: str) -> None:
        """Keep a message of the guest's."""
        with self._lock:
            text = message[: self._room].encode("utf-8", "replace")[: self._room]
            self._room -= len(text)
            if text:
                self.log.append((level, one_line(text.decode("utf-8", "ignore"))))
                self._share(LEVELS.index(level), text)

    def printed(self, stream: str, data: bytes) -> int:
        """Keep what the guest printed, a line at a time. Always claims to have taken everything."""
        with self._lock:
            if stream == "stderr":
                self.stderr_end = (self.stderr_end + data[-_STDERR_END:])[-_STDERR_END:]
            kept = data[: self._room]
            self._room -= len(kept)
            self._open.setdefault(stream, bytearray()).extend(kept)
            if kept:
                self._share(_PRINTED[stream], kept)
        return len(data)

    def deny(self, capability: str) -> None:
        """Note that the guest tried something it has no grant for."""
        with self._lock:
            if not self.starting and capability not in self.denied:
                self.denied.append(capability)
                self._share(_DENIED, capability.encode())

    def asked_for_folders(self) -> None:
        """Note that the guest asked which folders it has.

        Runtimes do that when they start, and WASI's adapter before the first thing a plugin prints as well as before
        the first file it opens; a file that is opened later asks for nothing any more. So it counts if nothing was
        printed but the plugin asked in its call, or if something about files was printed, whenever it asked.
        """
        with self._lock:
            if not self._asked_in_call:
                self._asked, self._asked_in_call = True, not self.starting
                self._share(_ASKED_IN_CALL if self._asked_in_call else _ASKED, b"")

    def finish(self) -> list[tuple[str, str]]:
        """Everything kept, what was printed split into lines. The shared memory is left alone from here on."""
        with self._lock:
            self._shared = None
            printed = bool(self._open)
            for stream, data in self._open.items():
                level = "info" if stream == "stdout" else "warning"
                self.log += [(level, one_line(line)) for line in data.decode("utf-8", "replace").splitlines() if line]
            self._open.clear()
            if (self._asked_in_call and not printed) or (self._asked and self._is_about_files()):
                self.deny("files")
            return self.log

    def _is_about_files(self) -> bool:
        return any(_ABOUT_FILES.search(text) for _, text in self.log)

    def _share(self, kind: int, data: bytes) -> None:
        if self._shared is not None:
            self._shared.add(kind, data)

    def replay(self, kind: int, data: bytes) -> None:
        """Take an entry of the shared memory; one that makes no sense is left out."""
        if kind < len(LEVELS):
            self.say(LEVELS[kind], data.decode("utf-8", "replace"))
        elif kind in _STREAMS:
            self.printed(_STREAMS[kind], data)
        elif kind == _DENIED and (capability := data.decode("ascii", "replace")) in CAPABILITIES:
            self.deny(capability)
        elif kind in (_ASKED, _ASKED_IN_CALL):
            self._asked = True
            self._asked_in_call = self._asked_in_call or kind == _ASKED_IN_CALL


def make_memory() -> int:
    """A descriptor of new memory to share: of a size that nobody can change, and never to be executed."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        memory = os.memfd_create("swiftd log", flags | _MFD_NOEXEC_SEAL)
    except OSError:  # a kernel that does not know the last flag; if it is something else it comes again
        memory = os.memfd_create("swiftd log", flags)
    try:
        os.ftruncate(memory, SHARED_SIZE)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(memory)
        raise
    return memory


def _mapped(descriptor: int) -> memoryview:
    """The shared memory of a descriptor. Not by Python's mmap, which keeps a descriptor of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    address = libc.mmap(None, SHARED_SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return memoryview((ctypes.c_ubyte * SHARED_SIZE).from_address(address)).cast("B")


def read_memory(memory: int) -> bytes:
    """All that the memory of this descriptor holds; nothing if it can't be read."""
    try:
        return os.pread(memory, SHARED_SIZE, 0)
    except OSError:
        return b""


def replayed(content: bytes, slot: int) -> Record:
    """What the last run left in such a memory, finished; empty if it was none of this slot's."""
    record = Record(LOG_LIMIT)
    record.starting = False
    if len(content) >= _HEADER.size:
        end, of = _HEADER.unpack_from(content)
        content = content[:end] if of == slot else b""
    at = _HEADER.size
    while at + _ENTRY.size <= len(content):
        kind, length = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size + length
        record.replay(kind, content[at - length : at])
    record.finish()
    return record
