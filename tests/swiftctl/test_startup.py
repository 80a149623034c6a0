"""`swiftctl query` starts fast: what it must not import on its way."""

from __future__ import annotations

import subprocess
import sys

import pytest
from swiftctl_answers import item, results

PROGRAM = """
import sys
before = set(sys.modules)
from swiftctl.__main__ import main
assert main(sys.argv[1:]) == 0
sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
"""

ALLOWED = {"__future__", "_socket", "_json", "time", "swiftctl"}


@pytest.mark.parametrize("form", [[], ["--json"], ["--tsv"]])
def test_a_query_imports_only_what_it_needs(daemon, form):
    daemon.says(results(item("é\x1b\n")))
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path[:0] = {sys.path!r}; {PROGRAM}".replace("; \n", "\n"),
            "query",
            *form,
            ">a",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    imported = {name.split(".")[0] for name in done.stderr.split()}
    # The interpreter's own start without site is barer than usual: these come with it anyway.
    imported -= {"os", "stat", "_stat", "posixpath", "genericpath", "_collections_abc"}
    assert imported <= ALLOWED
