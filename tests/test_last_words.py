"""What sandbox processes write to stderr, on its way to the daemon's log."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from swiftd.children import Zygote
from swiftd.errors import DaemonError
from swiftd.last_words import LONGEST_LINE, MOST_LINES, LastWords


@pytest.fixture
def words():
    words = LastWords()
    yield words
    words.close()


@pytest.fixture
def end(words):
    with words.open() as end:
        yield end.fileno()


def fill(end, line=b"x" * 1000 + b"\n"):
    """Write until there is no more room, which takes no time."""
    with pytest.raises(BlockingIOError):
        write_for_ever(end, line)


def write_for_ever(end, line):
    while True:
        os.write(end, line)


def said(caplog):
    return [record.getMessage().partition("says: ")[2] for record in caplog.records]


def test_what_was_written_is_in_the_log_line_by_line(words, end, caplog):
    words.pass_on()
    assert said(caplog) == []
    os.write(end, b"thread panicked at\n\nsomewhere")
    words.pass_on()
    words.pass_on()
    assert said(caplog) == ["thread panicked at", "somewhere"]
    assert caplog.records[0].levelno == logging.WARNING


def test_it_drives_no_terminal(words, end, caplog):
    os.write(end, "\x1b]0;owned\x07 \u202eevil \xff\n".encode() + b"\xff\n")
    words.pass_on()
    assert not any(set(line) & set("\x1b\x07\u202e\n") for line in said(caplog))
    assert said(caplog)[1] == "\ufffd"


def test_a_flood_waits_for_nobody_and_leaves_a_few_lines(words, end, caplog):
    for _ in range(20):
        fill(end)
        words.pass_on()
    assert len(said(caplog)) == MOST_LINES + 1
    assert "the rest is left out" in caplog.records[-1].getMessage()
    assert max(map(len, said(caplog))) == LONGEST_LINE


def test_the_end_that_is_handed_over_can_not_be_read(end):
    os.write(end, b"somebody else's\n")
    assert os.read(end, 100) == b""  # its end
    with pytest.raises(OSError, match="No such device or address"):
        os.open(f"/proc/self/fd/{end}", os.O_RDONLY | os.O_NONBLOCK)


def test_a_new_one_takes_the_place_of_the_last(words, end, caplog):
    os.write(end, b"the first's\n")
    with words.open() as second:
        os.write(second.fileno(), b"the second's\n")
    words.close()
    assert said(caplog) == ["the first's", "the second's"]
    words.close()


def test_all_that_fits_is_read_at_once(words, end):
    fill(end)
    words.pass_on()
    with pytest.raises(BlockingIOError):
        words._ours.recv(1)


async def test_why_no_sandbox_process_starts_is_in_the_log(monkeypatch, caplog):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.setattr(sys, "executable", sys._base_executable)  # a venv's has a path of its own
    zygote = Zygote()
    with pytest.raises(DaemonError, match="last words"):
        await zygote.start()
    assert any("swiftd" in line for line in said(caplog))
