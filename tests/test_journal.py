"""What is kept of what plugins say: bounded for each, for all together, and for those that are gone."""

from __future__ import annotations

import pytest

from swiftd import journal as module
from swiftd.journal import KEPT_IN_ALL, KEPT_LINES, MOST_GONE, Journal
from swiftd.sandbox.messages import Ran
from swiftd.sandbox.record import CAPABILITIES, LOG_LIMIT
from swiftd.stats import Stats
from swiftd.text import is_harmless


@pytest.fixture
def journal():
    return Journal()


def size(journal):
    return sum(len(line.text) + module.LINE_COST for line in journal.lines())


def test_each_log_has_its_last_lines(journal):
    for number in range(KEPT_LINES + 10):
        journal.write("a", "info", str(number))
    assert [line.text for line in journal.lines("a")] == [str(number) for number in range(10, KEPT_LINES + 10)]


def test_all_logs_together_have_a_limit_and_the_longest_loses(journal):
    journal.write("small", "info", "stays")
    for number in range(20):
        journal.ran(f"large{number}", Ran(log=[("info", "x" * LOG_LIMIT)] * KEPT_LINES))
    assert KEPT_IN_ALL / 3 < size(journal) <= KEPT_IN_ALL
    assert [line.text for line in journal.lines("small")] == ["stays"]
    assert journal.lines("large19")


def test_what_is_counted_is_what_is_kept(journal):
    for round_ in range(5):
        for number in range(10):
            journal.ran(f"p{number}", Ran(log=[("info", "x" * 100 * round_)] * 300))
        journal.forget("p3")
        journal.keep_only([f"p{number}" for number in range(5)])
    assert journal._size == size(journal) == sum(journal._sizes.values())


def test_of_what_is_gone_a_little_is_kept(journal):
    stats = Stats()
    there = [f"there{number}" for number in range(3)]
    for name in [*there, *(f"gone{number}" for number in range(200))]:
        journal.ran(name, Ran(log=[("info", "x")], denied=["clock"]))
        stats.answered(name, 0.1)
        stats.failed(name, "trap")
        journal.keep_only(there)
        stats.keep_only(there)
    expected = {*there, *(f"gone{number}" for number in range(200 - MOST_GONE, 200))}
    assert {line.plugin for line in journal.lines()} == expected
    assert {entry.plugin for entry in stats.plugins()} == expected
    assert {name for name in expected if journal.denials(name)} == set(there)
    assert len(stats._errors) == len(stats._latencies) == len(expected)


def test_the_words_of_a_process_that_was_taken_over_become_a_log_like_any_other(journal):
    wild = [("\x1b[31m", "x" * 1_000_000), ("info", "a\x1b]0;b\x07\u202e\nERROR c\ud800")] * 1000
    journal.ran("p", Ran(log=wild, denied=[f"name{number}" for number in range(100_000)] + ["clock"]))
    lines = journal.lines("p")
    assert len(lines) <= KEPT_LINES
    assert all(len(line.text) <= LOG_LIMIT and is_harmless(line.text) for line in lines)
    assert {line.level for line in lines} == {"info"}
    assert [denial.capability for denial in journal.denials("p")] == ["clock"]
    assert set(CAPABILITIES) > {"clock"}


async def test_a_follower_gets_the_lines_of_one_run_together(journal):
    with journal.following() as new:
        journal.ran("p", Ran(log=[("info", "a"), ("error", "b")]))
        journal.ran("p", Ran(denied=["clock"]))
        journal.write("p", "error", "c")
        assert [[line.text for line in new.receive_nowait()] for _ in range(2)] == [["a", "b"], ["c"]]
        assert new.statistics().current_buffer_used == 0
