"""Why a run failed, in the language's own words. What the runtimes print was taken from real ones."""

from __future__ import annotations

import pytest

from swiftd.sandbox.failures import last_words

PYTHON_PANICS = """\
thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1280:25:
Python function threw an unexpected exception
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
TRACEBACK = 'Traceback (most recent call last):\n  File "/0/probe.py", line 16, in handle\n    {}\n'


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (TRACEBACK + "ValueError: no such thing: 'throw'\n" + PYTHON_PANICS, "ValueError: no such thing: 'throw'"),
        (TRACEBACK + "probe.NoSuch: ü my own\n" + PYTHON_PANICS, "probe.NoSuch: ü my own"),
        (TRACEBACK + "probe.NoSuch\n" + PYTHON_PANICS, "probe.NoSuch"),
        (
            TRACEBACK
            + "KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
            + TRACEBACK
            + "RuntimeError: second\n"
            + PYTHON_PANICS,
            "RuntimeError: second",
        ),
        (
            TRACEBACK
            + "  [Previous line repeated 996 more times]\nRecursionError: maximum recursion depth exceeded\n"
            + PYTHON_PANICS,
            "RecursionError: maximum recursion depth exceeded",
        ),
        (
            TRACEBACK
            + "object address  : 0x480cc8\nobject refcount : 2\nobject type     : 0x373230\n"
            + "object type name: MemoryError\nobject repr     : MemoryError()\nlost sys.stderr\n"
            + PYTHON_PANICS,
            "MemoryError",
        ),
        (
            (
                "panic: runtime error: invalid memory address or nil pointer dereference\n"
                "[signal 0xb code=0x0 addr=0x0 pc=0x0]\n\ngoroutine 1 [running]:\n"
                "wit_component/export_swift_launcher_runner.Handle({0x20e040, 0x6})\n"
                "\t/tmp/go/echo.go:20 +0xad\n"
            ),
            "panic: runtime error: invalid memory address or nil pointer dereference",
        ),
        ("panic: first [recovered]\n\tpanic: second\n\ngoroutine 1 [running]:\n", "panic: first [recovered]"),
        (
            (
                "runtime: out of memory: cannot allocate 200278016-byte block (393216 in use)\n"
                "fatal error: out of memory\n\ngoroutine 1 [running]:\nruntime.throw({0x2e6cf, 0xd})\n"
            ),
            "fatal error: out of memory",
        ),
        (
            "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\n",
            "fatal error: all goroutines are asleep - deadlock!",
        ),
        (
            (
                "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\nFailed to call 'handle': "
                "Exception(Exception { message: Some(\"cannot read property 'name' of undefined\"), "
                'stack: Some("    at handle (/probe.js:7:50)\\n") })\nnote: run with `RUST_BACKTRACE=1`\n'
            ),
            "cannot read property 'name' of undefined",
        ),
        (
            (
                "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\n"
                'Failed to call \'handle\': Value(String(Ok("just \\"a\\" string")))\n'
            ),
            'just "a" string',
        ),
        (
            (
                'can\'t access property "name", x is undefined\nStack:\n  handle@probe.js:7:43\n'
                "  export_runner$handle@/tmp/c/sources/initializer.js:62:21\n"
                "Redirecting call to abort() to mozalloc_abort\n"
            ),
            'can\'t access property "name", x is undefined',
        ),
        (
            (
                "thread '<unnamed>' panicked at src/lib.rs:32:20:\nno such thing: \"crash\"\n"
                "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
            ),
            'no such thing: "crash"',
        ),
        (
            (
                "a warning\nthread 'main' panicked at src/lib.rs:1:2:\nassertion `left == right` failed\n  left: 1\n"
                " right: 2\nnote: run with `RUST_BACKTRACE=1`\n"
            ),
            "assertion `left == right` failed left: 1 right: 2",
        ),
        ("thread 'main' panicked at 'the old way', src/main.rs:2:5\nnote: run with\n", "the old way"),
        ("memory allocation of 200000000 bytes failed\n", "memory allocation of 200000000 bytes failed"),
        ("thread 1 panic: index out of bounds: index 5, len 3\n", "panic: index out of bounds: index 5, len 3"),
        ("panic: start index 11 is larger than end index 6\n", "panic: start index 11 is larger than end index 6"),
        ("Assertion failed: x > 0 (probe.c: handle: 53)\n", "Assertion failed: x > 0 (probe.c: handle: 53)"),
        (
            'out_of_range was thrown in -fno-exceptions mode with message "vector"\n',
            'out_of_range was thrown in -fno-exceptions mode with message "vector"',
        ),
        ("Uncaught TypeError: x is not a function\n    at f (a.js:1:2)\n", "TypeError: x is not a function"),
        ("loading\ncan't go on\n", "can't go on"),
        ("  indented only\n\n", ""),
        ("", ""),
    ],
)
def test_they_are_found_in_what_each_language_prints(stderr, words):
    assert last_words(stderr, []) == words


def test_where_there_is_no_stderr_the_last_error_of_the_log_speaks():
    log = [("error", "first"), ("error", "panicked at src/lib.rs:1:2: no such thing"), ("info", "after")]
    assert last_words("", log) == "panicked at src/lib.rs:1:2: no such thing"
    assert last_words("", [("warning", "nothing")]) == ""


def test_what_a_plugin_printed_for_itself_is_no_reason_where_the_trap_is_one():
    log = [("error", "an error that was dealt with")]
    assert last_words("loading\n", log, anything=False) == ""
    assert last_words("panic: no such thing\n", log, anything=False) == "panic: no such thing"


def test_they_are_short_and_harmless():
    words = last_words("panic: " + "x" * 10_000 + "\n", [])
    assert len(words) == 300
    assert words.endswith("x…")
    assert last_words("panic: \x1b[31m\u202ered\n", []) == "panic: \ufffd[31m\ufffdred"
