"""From a .wasm file to a finished artefact: the cache, and the child process that compiles what is not in it.

An entry is two files in the private cache folder. `<key>.json` says what is known of one source: its contract and
its artefact's digest, or why it was refused. The key is made of everything the artefact depends on: the source's
bytes, wasmtime's version, the engine's settings and the processor. `<digest>.cwasm` is the artefact, named by its
own SHA-256, so that two daemons which compile the same source at once can't mix their halves. Both appear by rename,
whole or not at all. The worker checks the digest before it loads one; what fails that is compiled anew.

Only what the compiler itself says of a file is remembered. A full disk, a limit or a process that was killed says
nothing of it: that is a `TroubleError`, kept by nobody.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import trio

from swiftd import files, shortage
from swiftd.cache import Cache
from swiftd.children import LostError
from swiftd.errors import DaemonError
from swiftd.paths import printable
from swiftd.sandbox.messages import Compiled, Contract, Refused, Trouble, decode_report
from swiftd.sweep import LARGEST_ENTRY, mark_used, sweep
from swiftd.text import brief
from swiftd.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from swiftd.children import Zygote

COMPILE_LIMIT = 90.0
"""Seconds for one compilation. A Python plugin takes 10; the child's limit is 60 of processor time."""
LONGEST_WORDS = 300
"""Characters of a crashed compiler's last words that are shown."""
MOST_IMPORTS = 1000
"""Imports of a component that are told of. One made by the usual tools has some 30."""

_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True):
    """What the cache knows of one source."""

    digest: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""
    """The artefact's SHA-256; empty where it was refused."""
    size: int = 0
    """The artefact's bytes."""
    contract: Contract | None = None
    language: str | None = None
    imports: list[str] = []
    refused: str | None = None

    def __post_init__(self) -> None:
        """Take no more of a compiler's words than can be shown: it has seen a hostile file."""
        said = {
            "language": None if self.language is None else brief(self.language),
            "imports": [brief(name) for name in self.imports[:MOST_IMPORTS]],
            "refused": None if self.refused is None else brief(self.refused),
        }
        for field, value in said.items():
            msgspec.structs.force_setattr(self, field, value)


class ChangedError(Exception):
    """The file changed while it was looked at."""


class TroubleError(Exception):
    """It can't be compiled, and nothing is known against the file."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again
        """Whether it is worth another try without anybody's doing."""


class Compiler:
    """Finds artefacts in the cache, and makes those that are missing."""

    def __init__(self, cache: Cache | Path, zygote: Zygote) -> None:
        self._place = cache if isinstance(cache, Cache) else Cache(cache)
        self._zygote = zygote
        self._under_way: dict[str, trio.Event] = {}

    def artefact(self, entry: Entry) -> Path:
        """Where an entry's artefact lies."""
        return self._place.folder / f"{entry.digest}.cwasm"

    def cached(self, source: str) -> Entry | None:
        """What the cache has for the source with this SHA-256, if it is whole. Blocks for a read of one small file."""
        try:
            check, _, body = files.read(self._path(source), LARGEST_ENTRY, links=False).partition(b"\n")
            if check.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
                return None
            entry = msgspec.json.decode(body, type=Entry)
            if msgspec.json.decode(body, type=_Named).key != self._path(source).stem:
                return None
            if entry.refused is None and not self._is_whole(entry):
                return None
            mark_used(self._path(source), time.time())
        except (OSError, ValueError, RecursionError):  # msgspec's errors are of the second kind
            return None
        return entry

    def _is_whole(self, entry: Entry) -> bool:
        """Whether an entry is that of a plugin, and its artefact is there. What is in it the worker looks at."""
        status = self.artefact(entry).lstat()
        return entry.contract is not None and stat.S_ISREG(status.st_mode) and status.st_size == entry.size

    def forget(self, source: str) -> None:
        """Drop an entry whose artefact turned out not to be what it was."""
        _remove(self._path(source))

    def sweep(self, sources: Collection[str]) -> None:
        """Rid the cache of what none of these sources needs and nobody has used for long. Blocks: for a thread."""
        try:
            sweep_unfinished(self._place.folder)
            sweep(self._place.folder, {self._path(source).stem for source in sources}, time.time())
        except OSError as error:
            _log.warning("the cache can't be swept now: %s", error)

    async def compile(self, path: Path, source: str) -> Entry:
        """Compile the file at `path`, whose SHA-256 was `source`, and put the result, also a refusal, in the cache.

        Raises:
            ChangedError: the file is another one by now.
            TroubleError: it could not be compiled.

        """
        while (under_way := self._under_way.get(source)) is not None:  # another plugin has the same content
            await under_way.wait()
        if entry := self.cached(source):
            return entry
        self._under_way[source] = done = trio.Event()
        try:
            entry = await self._compile(path, source)
            try:
                await in_thread(self._write, source, entry)
            except OSError as error:
                _log.warning("what was found out of %s can't be kept, and is again at the next start: %s", path, error)
        except OSError as error:
            what, again = shortage.of(error)
            raise TroubleError(f"it can't be compiled: {what}", again=again) from error
        except DaemonError as error:
            raise TroubleError(f"it can't be compiled now: {error}", again=True) from error
        finally:
            del self._under_way[source]
            done.set()
        return entry

    async def _compile(self, path: Path, source: str) -> Entry:
        with ExitStack() as stack:
            wasm, _ = stack.enter_context(files.opened(path))
            folder = self._place.ready()
            artefact = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".new-", delete=False))
            stack.callback(_remove, artefact.name)
            child = await self._zygote.fork("c", [wasm, artefact.fileno()])
            stack.callback(child.close)
            try:
                with trio.move_on_after(COMPILE_LIMIT):
                    report = await child.answer(decode_report)
                    if isinstance(report, Trouble):
                        raise TroubleError(report.message, again=report.again)
                    if report.source != source:
                        raise ChangedError(str(path))
                    if isinstance(report, Refused):
                        return Entry(refused=report.message)
                    return self._keep(report, artefact.name)
            except LostError as error:
                words = error.said + await child.rest()
                _log.warning("%s: the compiler ended: %s", path, words.decode("utf-8", "replace") or "killed")
                raise _ended(words) from error
            raise TroubleError(f"compiling it takes longer than {COMPILE_LIMIT:.0f} s here", again=False)

    def _keep(self, report: Compiled, temporary: str) -> Entry:
        entry = Entry(
            digest=report.digest,
            size=os.stat(temporary).st_size,  # noqa: PTH116 - a name, used once
            contract=report.contract,
            language=report.language,
            imports=report.imports,
        )
        _put(temporary, self.artefact(entry))
        return entry

    def _write(self, source: str, entry: Entry) -> None:
        body = msgspec.json.encode({"key": self._path(source).stem} | msgspec.to_builtins(entry))
        with tempfile.NamedTemporaryFile(dir=self._place.folder, prefix=".new-", delete=False) as file:
            try:
                file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
                _put(file.name, self._path(source))
            except BaseException:
                _remove(file.name)
                raise

    def _path(self, source: str) -> Path:
        key = hashlib.sha256(f"{source}\n{self._zygote.runtime_id}".encode()).hexdigest()
        return self._place.folder / f"{key}.json"


def _ended(words: bytes) -> TroubleError:
    """Why the compiler ended, by its last words: those of Rust, of Python, or none."""
    text = words.decode("utf-8", "replace")
    if not text:
        killed = "the compiler was killed from outside, as the kernel does when memory runs out"
        return TroubleError(f"{killed}: it is tried again by itself", again=True)
    if "memory allocation of" in text or "Cannot allocate memory" in text or "MemoryError" in text:
        return TroubleError(shortage.of_memory(), again=False)
    if "Fatal Python error" not in text and "most recent call first" in text:
        return TroubleError(shortage.of_time(), again=False)
    if "(os error 11)" in text or "WouldBlock" in text:
        return TroubleError("the compiler got no thread (`ulimit -u`): it is tried again by itself", again=True)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return TroubleError(f"it makes the compiler crash: {printable(first[:LONGEST_WORDS])}", again=False)


class _Named(msgspec.Struct):
    """What an entry says of itself: it is not enough that it lies in the right place."""

    key: str


def _put(temporary: str, place: Path) -> None:
    """Let a finished file appear in its place, whatever is there."""
    if place.is_dir() and not place.is_symlink():  # nothing of ours; but the cache is
        shutil.rmtree(place)
    os.replace(temporary, place)  # noqa: PTH105 - a name


def _remove(path: Path | str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a name


def sweep_unfinished(cache: Path, older_than: float = 3600) -> None:
    """Remove what a daemon that was killed in mid-write left behind. `older_than` is in seconds."""
    for path in cache.glob(".new-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()
