"""What went wrong in a run, said so that a plugin's author and its user can do something about it.

A trap alone says little: whatever the language, an error that nobody caught ends in `unreachable`. Its own words came
before, on stderr or in the log, in the form its runtime prints them; they come first here, and the trap behind them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wasmtime import ExitTrap

from swiftd.sandbox.messages import Failed
from swiftd.text import beginning

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmtime import WasmtimeError

    from swiftd.protocol import PluginErrorCode
    from swiftd.sandbox.messages import Limits
    from swiftd.sandbox.record import Record

LONGEST_WORDS = 300
"""Characters of a language's own words. They stand in a row of a launcher; the whole of them is in the log."""

_UNREACHABLE = "wasm `unreachable` instruction executed"
"""How every language ends a program that has failed."""
_PAGE = 64 * 1024
_MIB = 1024**2
_LARGEST_MEMORY = 4096
"""MiB that config.toml can give."""


def failed(error: WasmtimeError, record: Record, limits: Limits, *, starting: bool) -> Failed:
    """A failure's code and message.

    Of a trap the last line of wasmtime's message says what happened. When an instance can't be made it is the first,
    which names the import that is missing, or what is too large, unless a start function trapped.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or ["unknown error"]
    numbered, _, cause = lines[-1].partition(": ")
    last = cause if numbered.isdigit() else lines[-1]
    if isinstance(error, ExitTrap):
        called = f"called exit({error.code})"
        return _trap(record, f"the plugin {called}", f"it {called}", was_on_purpose=True)
    if "fuel allocated for hostcalls" in last:
        return Failed(code="too-large", message="the answer is too large to be read out of the plugin")
    if starting and "wasm backtrace" not in str(error):
        reason = last.removeprefix("wasm trap: ")
        code: PluginErrorCode = "memory" if re.search(r"memory|table|instance count", reason) else "contract"
        return Failed(code=code, message=beginning(_unmakeable(lines[0], reason, limits)))
    if last.startswith("wasm trap: "):
        reason = last.removeprefix("wasm trap: ")
        on_purpose = reason == _UNREACHABLE
        behind = f"wasm trap: {'unreachable' if on_purpose else reason}"
        return _trap(record, reason, behind, was_on_purpose=on_purpose)
    return Failed(code="trap", message=beginning(last))


def _trap(record: Record, alone: str, behind: str, *, was_on_purpose: bool) -> Failed:
    """What is known of a trap. One that the code did not make itself, such as a division by zero, speaks for itself."""
    stderr = bytes(record.stderr_end).decode("utf-8", "replace")
    words = last_words(stderr, record.log, anything=was_on_purpose)
    code: PluginErrorCode = "memory" if _OUT_OF_MEMORY.match(words) else "trap"
    return Failed(code=code, message=beginning(f"{words} ({behind})" if words else alone))


def _unmakeable(first: str, last: str, limits: Limits) -> str:
    """Why an instance can't be made, in words of config.toml where there is a key for it."""
    if found := re.search(r"memory minimum size of (\d+) pages exceeds memory limits", last):
        return _too_much_memory(int(found[1]) * _PAGE, limits.memory)
    if found := re.search(r"table minimum size of (\d+) elements exceeds table limits", last):
        return (
            f"it needs a table of {found[1]} functions from its start, and a plugin may have"
            f" {limits.table_elements} ({last})"
        )
    if found := re.search(r"(instance|table|memory) count too high at \d+", last):
        most = {"instance": limits.instances, "table": limits.tables, "memory": limits.memories}[found[1]]
        kind = {"instance": "instances", "table": "tables", "memory": "memories"}[found[1]]
        return f"it has more than the {most} {kind} that a plugin may have ({last})"
    if found := re.match(r"component imports \w+ `([^`]+)`, but a matching implementation was not found", first):
        return f"it needs `{found[1]}`, which swiftd does not have, or has otherwise ({last})"
    return first if first == last else f"{first}: {last}"


def _too_much_memory(needed: int, limit: int) -> str:
    enough = 1
    while enough * _MIB <= needed:
        enough *= 2
    if enough > _LARGEST_MEMORY:
        return f"it needs {_mebibytes(needed)} of memory from its start: more than any plugin may have"
    shown, allowed = f"{round(needed / _MIB)} MiB", _mebibytes(limit)
    return (
        f"it needs {shown if shown != allowed else _mebibytes(needed)} from its start, and its limit is"
        f' {allowed}: `memory = "{enough}MiB"` in its section of config.toml'
    )


def _mebibytes(size: int) -> str:
    return f"{size / _MIB:.1f}".removesuffix(".0") + " MiB"


# ---- what the runtimes print ------------------------------------------------------------------------------------

_NOISE = re.compile(
    r"\s|thread '|note: |stack backtrace:|Stack:|goroutine |exit status|Redirecting call|\[signal |Caused by:"
)
"""How lines begin that are not the words themselves."""

_OUT_OF_MEMORY = re.compile(
    r"""(?i)fatal error: .*out of memory|memory allocation of|(?:\w+\.)*MemoryError\b|["']?out of memory"""
)
"""How the runtimes begin to say that there is no memory left: Go, Rust, Python, JavaScript."""


def last_words(stderr: str, log: list[tuple[str, str]], *, anything: bool = True) -> str:
    """Why a run failed, by what its language's runtime printed on stderr, or else the plugin logged as an error.

    Where no form of a runtime's is found, the last line is taken that could be one, if `anything` will do. Empty if
    there is nothing of the sort.
    """
    lines = [line.rstrip() for line in stderr.splitlines() if line.strip()]
    for find in _FINDERS:
        if words := find(lines):
            return beginning(words, LONGEST_WORDS)
    if anything and (words := _anything(lines)):
        return beginning(words, LONGEST_WORDS)
    errors = [text for level, text in log if anything and level == "error"]
    return beginning(errors[-1].strip(), LONGEST_WORDS) if errors else ""


def _python(lines: list[str]) -> str:
    """A traceback's last line, that of the last one if several are chained."""
    starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    for line in lines[starts[-1] + 1 :] if starts else ():
        if line.startswith("object type name: "):  # it had no memory left to say more
            return line.rpartition(" ")[2]
        if not line.startswith((" ", "\t", "object ")):
            return line
    return ""


def _rust(lines: list[str]) -> str:
    """What follows `thread 'main' panicked at src/lib.rs:1:2:`, or, before Rust 1.73, stands in that line."""
    for at in range(len(lines) - 1, -1, -1):
        if found := re.match(r"thread '.*' (?:\(\d+\) )?panicked at (.*)", lines[at]):
            if old := re.match(r"'(.*)', \S+:\d+:\d+$", found[1]):
                return old[1]
            words: list[str] = []
            for line in lines[at + 1 :]:
                if re.match(r"note: |stack backtrace:|thread '|\s+\d+: ", line):
                    break
                words.append(line.strip())
            return " ".join(words)
    return ""


def _quickjs(lines: list[str]) -> str:
    """The message in what componentize-qjs prints of an exception, which is Rust's way to show a structure."""
    for line in reversed(lines):
        if found := re.search(r'(?:Exception \{ message: Some|Value\(String\(Ok)\("((?:[^"\\]|\\.)*)"\)', line):
            return re.sub(r"\\(.)", lambda escaped: " " if escaped[1] in "nrt" else escaped[1], found[1])
    return ""


def _said(pattern: str) -> Callable[[list[str]], str]:
    """The last line that the pattern matches."""
    compiled = re.compile(pattern)
    return lambda lines: next((found[1] for line in reversed(lines) if (found := compiled.match(line))), "")


def _first(pattern: str) -> Callable[[list[str]], str]:
    """The first line that the pattern matches: what follows is the consequence."""
    compiled = re.compile(pattern)
    return lambda lines: next((found[1] for line in lines if (found := compiled.match(line))), "")


def _anything(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if not _NOISE.match(line)), "")


_FINDERS: tuple[Callable[[list[str]], str], ...] = (
    _python,
    _quickjs,
    _first(r"((?:panic|fatal error): .+)"),  # Go
    _said(r"(?:thread \d+ )?(panic: .+)"),  # Zig
    _rust,
    _said(r"(?:Uncaught )?((?:[\w$]+\.)*[\w$]*(?:Error|Exception|Exit|Interrupt)(?:: .+)?)$"),  # Python and JavaScript
    _said(r"((?:.*Assertion failed|terminating|libc\+\+abi: |.* was thrown in -fno-exceptions mode).*)"),  # C and C++
)
"""The runtimes by how sure their form is. Python's comes before Rust's, which carries it and panics after it."""
