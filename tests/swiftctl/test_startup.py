"""`swiftctl query` and `swiftctl rofi` start fast: what they must not import on their way."""

from __future__ import annotations

import subprocess
import sys

import pytest
from swiftctl_answers import item, line, results

PROGRAM = """
import sys
before = set(sys.modules)
from swiftctl.__main__ import main
assert main(sys.argv[1:]) == 0
sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
"""

ODD = "é\x1b\n"
"""What is not shown as it is: for that the daemon's rule is asked."""

BARE = {"os", "stat", "_stat", "posixpath", "genericpath", "_collections_abc"}
PLUGINS = line(type="plugins", id=1, done=True, plugins=[])
ALLOWED = {"__future__", "_socket", "_json", "time", "swiftctl"}


def imported(*words):
    """The packages that a command imports."""
    program = f"import sys; sys.path[:0] = {sys.path!r}; {PROGRAM}".replace("; \n", "\n")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The interpreter's own start without site is barer than usual: these come with it anyway.
    return {name.split(".")[0] for name in done.stderr.split()} - BARE


@pytest.mark.parametrize("form", [[], ["--json"], ["--tsv"], ["--fzf"]])
@pytest.mark.parametrize(("name", "more"), [("é 👍", set()), (ODD, {"swiftd"})])
def test_a_query_imports_only_what_it_needs(daemon, form, name, more):
    daemon.says(results(item(name)))
    assert imported("query", *form, ">a") <= ALLOWED | more


def test_the_rule_for_odd_text_imports_nothing():
    program = "import sys; before = set(sys.modules); import swiftd.text; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"__future__", "swiftd", "swiftd.text"}


@pytest.mark.parametrize("words", [["rofi"], ["rofi", "--live"]])
@pytest.mark.parametrize(("retv", "text"), [("0", []), ("2", ["--help"])])
def test_an_answer_to_rofi_does_so_too(daemon, monkeypatch, words, retv, text):
    monkeypatch.setenv("ROFI_RETV", retv)
    daemon.replies(lambda request: results(item("a")) if request["op"] == "query" else PLUGINS)
    assert imported(*words, *text) <= ALLOWED
