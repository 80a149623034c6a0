"""`swiftctl query --stdin`: a line in, a line out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from swiftctl_answers import RESULTS, item, line


class Client:
    """The program, with pipes."""

    def __init__(self, *options):
        words = [sys.executable, "-m", "swiftctl", "query", "--stdin", *options]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        """Close the input; the status, and the rest of the answers."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(each) for each in out.splitlines()], err.decode()


@pytest.fixture
def client(daemon):
    clients = []

    def start(*options):
        clients.append(Client(*options))
        return clients[-1]

    yield start
    for each in clients:
        each.process.kill()
        each.process.communicate()


def echo(request):
    return line(**(RESULTS | {"id": request["id"], "items": [item(request["input"])]}))


def test_a_line_in_gives_a_line_out_over_one_connection(daemon, client):
    daemon.replies(echo)
    asked = client()
    for number, text in enumerate(["=1", "é😀", '"\\\t', "--help", ""], 1):
        asked.write(text.encode() + b"\n")
        answer = asked.answer()
        assert (answer["id"], answer["items"][0]["name"]) == (number, text)
    assert asked.end() == (0, [], "")
    assert not any("supersede" in request for request in daemon.requests)


def test_lines_that_come_at_once_are_answered_each_in_their_order(daemon, client):
    daemon.replies(echo)
    asked = client()
    asked.write(b"a\nb\nc")
    status, answers, _ = asked.end()
    assert [(answer["id"], answer["items"][0]["name"]) for answer in answers] == [(1, "a"), (2, "b"), (3, "c")]
    assert status == 0


def test_with_supersede_a_line_is_asked_at_once_and_ends_the_one_before(daemon, client):
    """The answers come in another order here: the last line's first."""
    kept = []

    def reply(request):
        kept.append(echo(request))
        return b"" if len(kept) < 3 else b"".join(reversed(kept))

    daemon.replies(reply)
    asked = client("--supersede")
    asked.write(b"a\nb\nc\n")
    status, answers, _ = asked.end()
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert all(request["supersede"] for request in daemon.requests)
    assert status == 0


def test_a_line_s_time_begins_when_it_is_asked(daemon, client):
    daemon.replies(lambda request: b"" if request["input"] == "a" else echo(request))
    asked = client("--timeout", "1")
    asked.write(b"a\nb\n")
    status, answers, _ = asked.end()
    assert [answer["type"] for answer in answers] == ["error", "results"]
    assert status == 0


def test_the_last_line_needs_no_newline_and_bytes_that_are_no_text_are_replaced(daemon, client):
    daemon.replies(echo)
    asked = client("--limit", "3")
    asked.write(b"a\n\xffb")
    status, answers, err = asked.end()
    assert (status, [answer["items"][0]["name"] for answer in answers], err) == (0, ["a", "\ufffdb"], "")
    assert [request["limit"] for request in daemon.requests] == [3, 3]


def test_without_any_line_there_is_no_answer(daemon, client):
    assert client().end() == (0, [], "")


def test_events_are_not_answers_and_errors_are(daemon, client):
    event = line(type="event", id=1, done=False, event="compiling", plugin="x")
    daemon.replies(lambda request: event + line(type="error", id=request["id"], done=True, code="busy", message="m"))
    asked = client()
    asked.write(b"a\n")
    status, answers, _ = asked.end()
    assert (status, [answer["code"] for answer in answers]) == (4, ["busy"])


def test_a_query_that_is_too_long_is_refused_here(daemon, client):
    daemon.replies(echo)
    asked = client()
    asked.write(b"x" * 100_000 + b"\nb\n")
    assert asked.answer()["code"] == "input-too-long"
    assert asked.answer()["items"][0]["name"] == "b"
    assert asked.end()[0] == 0


def test_a_daemon_that_went_away_is_met_again_by_the_next_line(daemon, client):
    daemon.replies(lambda request: echo(request) if request["input"] != "die" else None)
    asked = client()
    for text, expected in [("a", "results"), ("die", "error"), ("b", "results")]:
        asked.write(text.encode() + b"\n")
        assert asked.answer()["type"] == expected
    assert asked.end()[0] == 0


def test_an_answer_that_does_not_come_is_told(daemon, client):
    daemon.replies(lambda request: b"")
    asked = client("--timeout", "0.3")
    asked.write(b"a\n")
    status, answers, _ = asked.end()
    assert (status, answers[0]["code"], answers[0]["id"]) == (4, "late", 1)


@pytest.mark.parametrize("options", [[], ["--supersede"]])
def test_a_file_of_queries_does_not_flood_the_daemon(daemon, client, options):
    daemon.replies(echo)
    asked = client(*options)
    asked.write(b"a\n" * 1000)
    status, answers, _ = asked.end()
    assert (status, [answer["id"] for answer in answers]) == (0, list(range(1, 1001)))


def test_a_reader_that_went_away_ends_it(daemon, client):
    daemon.replies(echo)
    asked = client()
    asked.process.stdout.close()
    asked.write(b"a\n" * 10)
    assert asked.process.wait(30) == 0


def test_without_a_daemon_it_ends_at_once(session):
    done = subprocess.run(
        [sys.executable, "-m", "swiftctl", "--no-start", "query", "--stdin"],
        check=False,
        input=b"a\n",
        capture_output=True,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (3, b"")


def test_a_closed_input_is_said_and_not_waited_for(session):
    done = subprocess.run(
        ["sh", "-c", '"$0" -m swiftctl query --stdin <&-', sys.executable],
        check=False,
        capture_output=True,
        timeout=60,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"standard input is closed" in done.stderr


def test_a_byte_order_mark_before_the_first_line_is_none_of_it(daemon, client):
    daemon.replies(echo)
    asked = client()
    asked.write(b"\xef\xbb\xbfa\nb\n")
    asked.end()
    assert [request["input"] for request in daemon.requests] == ["a", "b"]
