"""What a run leaves in memory that is shared, and what is made of it when anything may stand there."""

from __future__ import annotations

import os
import random
import struct
import sys
import threading

import pytest

from swiftd.sandbox.record import LOG_LIMIT, SHARED_SIZE, Record, Shared, make_memory, read_memory, replayed


@pytest.fixture
def memory():
    descriptor = make_memory()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def record(memory):
    """A record of slot 7, of which the other side can read."""
    shared = Shared(memory)
    shared.begin(7)
    record = Record(LOG_LIMIT, shared)
    record.starting = False
    return record


def left(memory, slot=7):
    record = replayed(read_memory(memory), slot)
    return record.log, record.denied


def test_all_that_was_said_printed_and_denied_is_there_before_the_run_ends(memory, record):
    record.say("error", "sáid")
    record.printed("stdout", b"one\ntw")
    record.printed("stderr", "hällo".encode())
    record.printed("stdout", b"o\n")
    record.deny("clock")
    expected = [("error", "sáid"), ("info", "one"), ("info", "two"), ("warning", "hällo")]
    assert left(memory) == (expected, ["clock"])
    assert (record.finish(), record.denied) == (expected, ["clock"])


def test_it_is_of_one_slot_and_no_other(memory, record):
    record.say("info", "x")
    assert left(memory, 8) == ([], [])
    Shared(memory).begin(8)
    assert left(memory) == left(memory, 8) == ([], [])


def test_what_comes_after_the_run_is_not_written(memory, record):
    record.say("info", "x")
    record.finish()
    record.printed("stdout", b"late")
    record.say("info", "late")
    assert left(memory) == ([("info", "x")], [])


def test_a_full_log_of_single_letters_has_room(memory, record):
    for _ in range(LOG_LIMIT + 100):
        record.say("info", "x")
    assert left(memory)[0] == [("info", "x")] * LOG_LIMIT


def test_more_than_the_limit_is_kept_by_neither(memory, record):
    record.printed("stdout", b"x" * (LOG_LIMIT + 5))
    record.printed("stderr", b"x")
    assert [len(text) for _, text in left(memory)[0]] == [LOG_LIMIT]
    assert [len(text) for _, text in record.finish()] == [LOG_LIMIT]


def test_the_end_of_stderr_is_kept_beyond_the_limit(record):
    record.printed("stderr", b"x" * 100_000)
    record.printed("stderr", b"\nlast words\n")
    assert record.stderr_end.endswith(b"\nlast words\n")
    assert len(record.stderr_end) <= 4096


def test_the_memory_has_one_size_and_is_never_executed(memory):
    for size in (0, SHARED_SIZE + 1):
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(memory, size)
    assert os.fstat(memory).st_size == SHARED_SIZE
    assert os.get_inheritable(memory) is False


def test_memory_that_can_not_be_read_is_empty():
    assert read_memory(-1) == b""
    assert replayed(b"", 7).log == []


def entry(kind, data, length=None):
    return struct.pack("=BI", kind, len(data) if length is None else length) + data


@pytest.mark.parametrize(
    ("content", "log", "denied"),
    [
        (entry(1, "\x1b]0;x\x07\u202e".encode()), [("info", "\ufffd]0;x\ufffd\ufffd")], []),
        (entry(1, b"\xff\xfe"), [("info", "\ufffd\ufffd")], []),
        (entry(99, b"x") + entry(1, b"y"), [("info", "y")], []),
        (entry(1, b"x", length=2**32 - 1), [("info", "x")], []),
        (entry(6, b"clock") + entry(6, b"clock") + entry(6, b"everything") + entry(6, b"\xff"), [], ["clock"]),
        (entry(1, b"x" * 20_000), [("info", "x" * LOG_LIMIT)], []),
        (b"\1", [], []),
    ],
)
def test_whatever_stands_there_is_taken_for_no_more_than_a_log(content, log, denied):
    for end in (8 + len(content), 2**32 - 1):
        record = replayed(struct.pack("=II", end, 7) + content, 7)
        assert (record.log, record.denied) == (log, denied)


def test_rubbish_is_read_to_its_end():
    chance = random.Random(8)
    for _ in range(300):
        rubbish = struct.pack("=II", chance.randrange(2**32), 7) + chance.randbytes(chance.randrange(500))
        record = replayed(rubbish, 7)
        assert sum(len(text.encode()) for _, text in record.log) <= 3 * LOG_LIMIT


def test_asking_for_folders_counts_unless_something_else_was_printed():
    for printed, denied in ((b"", ["files"]), (b"hello\n", []), (b"[Errno 44] No such file or directory\n", ["files"])):
        record = Record(LOG_LIMIT)
        record.starting = False
        record.asked_for_folders()
        if printed:
            record.printed("stderr", printed)
        record.finish()
        assert record.denied == denied


@pytest.mark.parametrize("shares", [False, True])
def test_what_is_asked_for_at_the_start_does_not_count_unless_files_are_then_missed(memory, shares):
    for printed, denied in (("", []), ("hello", []), ("open: Bad file descriptor", ["files"])):
        shared = Shared(memory)
        shared.begin(7)
        record = Record(LOG_LIMIT, shared)
        record.asked_for_folders()
        record.deny("clock")
        record.starting = False
        record.printed("stderr", printed.encode())
        if shares:
            assert left(memory)[1] == denied
        record.finish()
        assert record.denied == denied


def test_where_there_is_no_memory_to_share_a_run_is_recorded_all_the_same():
    shared = Shared(None)
    shared.begin(7)
    record = Record(LOG_LIMIT, shared)
    record.say("info", "x")
    assert record.finish() == [("info", "x")]


def test_what_threads_print_at_the_same_time_as_something_is_denied_stays_whole(memory):
    """wasmtime prints on threads of its own."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            shared = Shared(memory)
            shared.begin(7)
            record = Record(LOG_LIMIT, shared)
            record.starting = False
            printer = threading.Thread(target=lambda r=record: [r.printed("stdout", b"line\n") for _ in range(200)])
            printer.start()
            for capability in ("clock", "files", "network", "random"):
                record.deny(capability)
            record.asked_for_folders()
            printer.join()
            replay = replayed(read_memory(memory), 7)
            assert [text for _, text in replay.log] == ["line"] * 200
            assert sorted(replay.denied) == ["clock", "files", "network", "random"]
    finally:
        sys.setswitchinterval(before)
