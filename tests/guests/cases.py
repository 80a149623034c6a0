"""What swiftd must make of each hostile or odd plugin of this folder.

A guest is one component as text, NAME.wat, whose first lines say what it tries. Its trigger is its file's stem and a
colon, unless the trigger is the point of it. Most are the same but for one thing, so `ok.wat` explains them all:
a result's pointer and length lie at 0 (the trigger) and 8 (the list), the one item at 16, strings from 64 on.
The compiler's own enemies are too large to be text: `BOMBS` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent

Outcome = Literal["items", "noted", "too-large", "trap", "memory", "timeout", "refused"]


@dataclass(frozen=True)
class Case:
    """One call of one guest, and what must come of it.

    A guest that is `refused` never gets to be called: that is its state after it was found. The others answer a query
    with items and no error (`items`; `noted` if the attempt was recorded too), or with the error code of that name.
    """

    name: str
    outcome: Outcome
    message: str = ""
    """Of `items` and `noted` the first item's name, empty if there is none. Else a regex that the reason matches."""
    input: str = ""
    """What is typed; by default the guest's trigger alone."""
    guest: str = ""
    """The file's stem, where one guest has several cases."""
    grant: str = ""
    """`read` or `write`: a folder with `file` (which says `text`), `fifo`, and `out`, a link to a file outside.
    `clock`: the clock."""
    denied: str = ""
    """The capability whose denial is recorded."""
    also: str = ""
    """Another outcome that is as good: where WASI has an error to return, the host may trap instead."""
    note: str = ""

    @property
    def path(self) -> Path:
        """The guest's file."""
        return HERE / f"{self.guest or self.name}.wat"

    @property
    def query(self) -> str:
        """The whole input."""
        return self.input or f"{self.guest or self.name}:"


FOUND = "expected .*found"
UNREACHABLE = "unreachable"
TRAP = r"\(wasm trap: unreachable\)$"
STACK = "call stack exhausted"
DEADLINE = "deadline|did not answer|in time"
NO_READING = "out of bounds|beyond end"
HANDLE = "unknown handle"
HANDLES = "handle limit"

WELL_BEHAVED = (
    Case("ok", "items", "fine"),
    Case("nothing", "items"),
    Case("echo", "items", "echo:"),
    Case("echo-long", "items", "echo:" + "x" * 4000, input="echo:" + "x" * 4000, guest="echo"),
    Case("echo-odd", "items", "echo:a\0\x1b\n\u202eü\U0001f600", input="echo:a\0\x1b\n\u202eü\U0001f600", guest="echo"),
    Case("utf16", "items", "ünö"),
    Case("object", "items", "fine", note="the resource form"),
    Case("object-keywords", "items", "fine"),
    Case("versioned", "items", note="its item has no name"),
    Case("import-unused", "items", "fine"),
    Case("trigger-empty", "items", "rest", input="whatever no other plugin claims"),
    Case("counter", "items", "1"),
    Case("counter-again", "items", "1", guest="counter"),
)

TIME = (
    Case("spin", "timeout"),
    Case("spin-trigger", "refused", DEADLINE),
    Case("spin-start", "refused", DEADLINE),
    Case("trigger-slow", "items", "fine"),
    Case("spin-realloc", "timeout"),
    Case("spin-tail", "timeout"),
    Case("spin-post-return", "timeout"),
    Case("nth-99", "items", "fine", input="nth:99", guest="nth"),
    Case("nth-100", "timeout", input="nth:100", guest="nth"),
    Case("object-spin", "timeout"),
    Case("object-slow", "timeout"),
    Case("object-drop-spin", "timeout"),
)

TRAPS = (
    Case("unreachable", "trap", UNREACHABLE),
    Case("recursion", "trap", STACK),
    Case("recursion-mutual", "trap", STACK),
    Case("recursion-start", "refused", STACK),
    Case("divide", "trap", "integer divide by zero"),
    Case("divide-overflow", "trap", "integer overflow"),
    Case("indirect", "trap", "indirect call type mismatch"),
    Case("indirect-null", "trap", "uninitialized element"),
    Case("load", "trap", "out of bounds memory access"),
    Case("load-far", "trap", "out of bounds memory access"),
    Case("throw", "trap", "thrown Wasm exception"),
    Case("after-trap", "trap", UNREACHABLE, input="after-trap:boom"),
    Case("after-trap-again", "items", "fresh", guest="after-trap"),
    Case("trigger-trap", "refused", UNREACHABLE),
    Case("start-trap", "refused", UNREACHABLE),
    Case("post-return-trap", "trap", UNREACHABLE),
    Case("exit-0", "trap", "exit"),
    Case("exit-1", "trap", "exit"),
    Case("words", "trap", f"^no such thing {TRAP}", input="words:no such thing\n"),
    Case("words-none", "trap", "^wasm `unreachable` instruction executed$", guest="words"),
    Case("words-escape", "trap", f"^\ufffd\\[31mred {TRAP}", input="words:\x1b[31mred", guest="words"),
    Case("words-long", "trap", f"^x{{299}}… {TRAP}", input="words:" + "x" * 4000, guest="words"),
    Case("words-exit", "trap", r"^giving up \(it called exit\(1\)\)$", input="words-exit:giving up"),
    Case("words-logged", "trap", f"^no such thing {TRAP}"),
    Case("words-memory", "memory", f"^MemoryError {TRAP}", input="words:MemoryError", guest="words"),
    Case("object-trap", "trap", UNREACHABLE),
    Case("object-drop-trap", "trap", UNREACHABLE),
    Case("object-twice", "trap", HANDLE),
    Case("object-dropped", "trap", HANDLE),
    Case("object-same", "trap", HANDLE),
    Case("object-forged", "trap", HANDLE),
    Case("stream-dropped", "trap", HANDLE),
)

MEMORY = (
    Case("memory-bomb", "trap", UNREACHABLE),
    Case("memory-grow", "items", "64"),
    Case("memory-4g", "refused", "memory"),
    Case("memory-1g", "refused", "memory"),
    Case("memory-64bit", "refused", "memory"),
    Case("memory-shared", "refused", "shared|threads"),
    Case("memories", "refused", "memory count"),
    Case("memories-grow", "refused", "memory count", note="wasmtime limits each memory, not their sum"),
    Case("table-bomb", "trap", UNREACHABLE),
    Case("table-100m", "refused", "table"),
    Case("tables", "refused", "table count"),
    Case("gc-bomb", "trap", "GC heap out of memory"),
    Case("instances", "refused", "instance count"),
    Case("instances-20m", "refused", note="the compiler takes 4 GiB and more; it aborts where it can't have them"),
    Case("object-handles", "trap", HANDLES),
    Case("streams-many", "trap", HANDLES, also="timeout"),
)

ANSWERS = (
    Case("items-1001", "too-large", "1,?001|1,?000"),
    Case("items-100k", "too-large", "100,?000|1,?000"),
    Case("items-million", "too-large"),
    Case("items-shared", "too-large"),
    Case("items-wide", "too-large"),
    Case("object-many", "too-large", "10,?000|1,?000"),
    Case("name-10m", "too-large"),
    Case("name-long", "too-large", note="its first item is as long as may be, the second is cut"),
    Case("exec-1m", "too-large"),
    Case("keywords-1m", "too-large"),
    Case("name-control", "items", "a\nb\x1b[31mc\0d\x1fe\u202ef"),
    Case("name-markup", "items", "<b>&amp;</b><script>", note="its exec is `$(touch /tmp/x)`: nobody may run it"),
    Case("name-utf8", "trap", "utf-8"),
    Case("name-surrogate", "trap", "utf-8"),
    Case("utf16-half", "trap", "surrogate"),
    Case("object-utf8", "trap", "utf-8"),
    Case("object-bounds", "trap", NO_READING),
    Case("list-null", "trap", NO_READING),
    Case("list-bounds", "trap", NO_READING),
    Case("list-length", "trap", NO_READING),
    Case("list-wrap", "trap", NO_READING),
    Case("list-misaligned", "trap", "not aligned"),
    Case("result-bounds", "trap", NO_READING),
    Case("result-misaligned", "trap", "not aligned"),
    Case("string-bounds", "trap", NO_READING),
    Case("string-length", "trap", NO_READING),
    Case("realloc-bounds", "trap", NO_READING),
    Case("realloc-null", "trap", NO_READING),
    Case("realloc-trap", "trap", UNREACHABLE),
)

TRIGGERS = (
    Case("trigger-1m", "refused", "trigger|string of"),
    Case("trigger-newline", "refused", "trigger"),
    Case("trigger-escape", "refused", "trigger"),
    Case("trigger-utf8", "refused", "utf-8"),
    Case("trigger-bounds", "refused", NO_READING),
)

# fmt: off
MISTYPED = (
    "handle-u32", "handle-two", "handle-none", "handle-void", "handle-string", "handle-strings", "handle-item",
    "handle-option", "handle-result", "record-two", "record-four", "record-type", "record-list", "record-names",
    "record-order", "record-tuple", "trigger-param", "trigger-u32", "object-u32",
)
# fmt: on

CONTRACTS = (
    Case("core-module", "refused", "core module.*wasm32-wasip2.*--adapt.*jco new"),
    Case("command", "refused", "wasi:cli/run.*it is a command"),
    Case("handle-async", "refused", "async func.*built with an async export.*[Tt]ake `async` out"),
    Case("no-runner", "refused", "expected .*swift:launcher/runner"),
    Case("no-exports", "refused", "expected .*swift:launcher/runner"),
    Case("runner-empty", "refused", "expected .*(get-trigger|handle)"),
    Case("no-handle", "refused", "expected .*handle"),
    Case("no-trigger", "refused", "expected .*get-trigger"),
    Case("version-2", "refused", r"runner@2\.0\.0"),
    *(Case(name, "refused", FOUND) for name in MISTYPED),
    Case("object-no-exec", "refused", "expected .*get-exec"),
    Case("import-func", "refused", "conjure"),
    Case("import-instance", "refused", "evil:corp/keylogger"),
    Case("import-wasi", "refused", "wasi:cli/environment"),
    Case("import-wasi-3", "refused", r"wasi:cli/environment@9\.0\.0"),
    Case("import-wasi-03", "refused", r"built for WASI 0\.3 .*wasi:cli/environment@0\.3\.0.*wasm32-wasip2"),
    Case("import-wasi-rc", "refused", "wasi:cli/environment@0.2.0-rc-2023-11-10.*wasm32-wasip2"),
    Case("import-module", "refused", "gadget"),
    Case("import-host-extra", "refused", "swift:launcher/host"),
    Case("import-host-result", "refused", "get-user-config", note="wasmtime does not check a Python function's type"),
    Case("import-host-params", "refused", "log"),
    Case("import-host-option", "refused", "get-user-config"),
)

HOST = (
    Case("log", "items", "logged"),
    Case("log-10m", "items", "logged"),
    Case("log-often", "items", "logged"),
    Case("log-endless", "timeout"),
    Case("log-level", "items", "logged"),
    Case("log-level-10m", "items", "logged"),
    Case("log-levels", "items", "logged"),
    Case("log-utf8", "trap", "utf-8"),
    Case("log-bounds", "trap", NO_READING),
    Case("config", "items", "{}"),
    Case("config-often", "trap", NO_READING, also="timeout"),
    Case("stdout-flood", "items", "printed"),
    Case("stderr-flood", "items", "printed"),
    Case("stdout-endless", "timeout"),
    Case("stdout-binary", "items", "printed"),
    Case("stdout-late", "items", "printed"),
    Case("stream-big", "trap", "4096"),
    Case("stdin", "items", "closed"),
    Case("env", "items", "LANG,TZ,", note="where the daemon has LANG and TZ, and of the other harmless ones none"),
    Case("args", "items", "0"),
)

CAPABILITIES = (
    Case("random", "items", "random"),
    Case("random-1g", "trap", "64 KiB", denied="random"),
    Case("random-max", "trap", "64 KiB", denied="random"),
    Case("random-often", "trap", NO_READING),
    Case("clock-monotonic", "items", "still"),
    Case("clock-monotonic-granted", "items", "runs", guest="clock-monotonic", grant="clock"),
    Case("clock-old", "items", "still"),
    Case("clock-wall", "noted", "still", denied="clock"),
    Case("clock-wall-granted", "items", "runs", guest="clock-wall", grant="clock"),
    Case("clock-block", "noted", "moved", denied="clock"),
    Case("clock-block-granted", "timeout", guest="clock-block", grant="clock"),
    Case("clock-instant", "noted", "moved", denied="clock"),
    Case("clock-poll", "noted", "ready", denied="clock"),
    Case("clock-forever", "noted", "moved", denied="clock"),
    Case("clock-both", "noted", "moved", denied="clock"),
    Case("clock-versions", "noted", "moved", denied="clock"),
    Case("clock-often", "noted", "moved", denied="clock"),
    Case("clock-moment", "items", "moved"),
    Case("clock-start", "items", "begun"),
    Case("clock-busy", "timeout"),
    Case("clock-busy-granted", "timeout", guest="clock-busy", grant="clock"),
    Case("files-none", "noted", "0", denied="files"),
    Case("files-print", "items", "printed"),
    Case("files-missing", "noted", "FileNot", denied="files"),
    Case("files-start", "items", "begun"),
    Case("files-read", "noted", "none", denied="files"),
    Case("files-read-granted", "items", "text", guest="files-read", grant="read"),
    Case("files-huge-read", "items", "text", grant="read"),
    Case("files-fifo", "timeout", grant="read"),
    Case("files-parent", "items", "not-permitted", grant="read"),
    Case("files-parent-deep", "items", "not-permitted", grant="read", note="the folder has a folder `sub`"),
    Case("files-absolute", "items", "not-permitted", grant="read"),
    Case("files-link", "items", "not-permitted", grant="read"),
    Case("files-link-write", "items", "not-permitted", guest="files-link", grant="write"),
    Case("files-create", "items", "not-permitted", grant="read"),
    Case("files-write", "items", "not-permitted", grant="read"),
    Case("files-truncate", "items", "not-permitted", grant="read"),
    Case("files-create-granted", "items", "opened", guest="files-create", grant="write"),
    Case("files-forged", "trap", HANDLE, grant="read"),
    Case("tcp", "noted", "refused", denied="network", also="trap"),
    Case("tcp-listen", "noted", "refused", denied="network", also="trap"),
    Case("udp", "noted", "refused", denied="network", also="trap"),
    Case("resolve", "noted", "refused", denied="network", also="trap"),
    Case("http", "trap", "network", denied="network", also="noted"),
    Case("http-unused", "items", "unused"),
)

CASES = WELL_BEHAVED + TIME + TRAPS + MEMORY + ANSWERS + TRIGGERS + CONTRACTS + HOST + CAPABILITIES


# ---- bombs for the compiler: modules that nobody calls, appended to a plugin that is well behaved ---------------


def with_module(plugin: bytes, module: bytes) -> bytes:
    """A component (as bytes, not text) that carries one core module more, which is compiled and never used."""
    return plugin + _section(1, module)


def producers(fields: dict[str, list[str]]) -> bytes:
    """A custom section, to be appended to a module or component, that names what it was made with."""

    def name(text: str) -> bytes:
        return _leb(len(text.encode())) + text.encode()

    listed = [
        name(field) + _leb(len(values)) + b"".join(name(value) + name("1.0") for value in values)
        for field, values in fields.items()
    ]
    return _section(0, name("producers") + _leb(len(listed)) + b"".join(listed))


def huge_function(steps: int) -> bytes:
    """One function of `steps` multiplications, each of which needs the one before: 6 bytes a step."""
    return _module(b"\x41\x01" + b"\x41\x03\x6c\x41\x07\x73" * steps)


def many_functions(count: int) -> bytes:
    """`count` functions that return 1: 6 bytes each."""
    return _module(b"\x41\x01", count)


def deep_blocks(depth: int) -> bytes:
    """One function of `depth` nested blocks: 3 bytes each."""
    return _module(b"\x02\x40" * depth + b"\x0b" * depth + b"\x41\x01")


def nested_loops(depth: int) -> bytes:
    """One function of `depth` nested loops that all change 200 variables: the compiler's time is depth times 200."""
    change = b"".join(b"\x20" + _leb(n) + b"\x41\x01\x6a\x21" + _leb(n) for n in range(200))
    loops = b"\x03\x40" * depth + change + b"\x20\x00\x0d\x00\x0b" * depth
    return _module(loops + b"\x20\x00", variables=200)


def _module(code: bytes, count: int = 1, variables: int = 0) -> bytes:
    """A core module of `count` functions that take nothing and return an i32."""
    body = (_leb(1) + _leb(variables) + b"\x7f" if variables else b"\x00") + code + b"\x0b"
    types = _section(1, b"\x01\x60\x00\x01\x7f")
    functions = _section(3, _leb(count) + b"\x00" * count)
    return b"\0asm\x01\0\0\0" + types + functions + _section(10, _leb(count) + (_leb(len(body)) + body) * count)


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + _leb(len(content)) + content


def _leb(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _leb(high) if high else bytes([low])


BOMBS: dict[str, tuple[Callable[[], bytes], Literal["ready", "refused", "either"]]] = {
    "huge-function": (lambda: huge_function(100_000), "ready"),  # 0.6 MB: 1 s, 185 MB
    "many-functions": (lambda: many_functions(50_000), "ready"),  # 0.3 MB: 1 s, 300 MB
    "deep-blocks": (lambda: deep_blocks(100_000), "ready"),  # 0.3 MB: 0.2 s, 115 MB
    "deeper-blocks": (lambda: deep_blocks(3_000_000), "refused"),  # 9 MB: a function may have 7.6 MB
    "nested-loops": (lambda: nested_loops(2_000), "refused"),  # 18 KB: minutes, whatever the limit is
    "million-functions": (lambda: many_functions(999_000), "refused"),  # 6 MB: aborts with less than 5 GB
}
"""Modules for `with_module`, and what must come of the plugin. Sizes, times and memory: of one core and wasmtime 50."""
