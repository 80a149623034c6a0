"""The daemon's own log: one line is one line, drives no terminal, and does not come as often as a stranger likes."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from swiftd import log
from swiftd.log import Seldom
from swiftd.text import is_harmless

NASTY = "a\x1b]0;title\x07b\u202ec\nINFO forged\r\x9b2J\U000e0041\ud800é"

SAY = f"""
import logging, sys
from swiftd import log
log.start("INFO")
logger = logging.getLogger("swiftd.any")
nasty = {NASTY!a}
logger.info("%s", nasty)
logger.warning(nasty)
logging.getLogger("another").error("%r %s", nasty, nasty)
try:
    raise ValueError(nasty)
except ValueError:
    logger.exception("it failed: %s", nasty)
class Last:
    def __del__(self):
        raise ValueError(nasty)
Last()
raise OSError(2, nasty, nasty)
"""


@pytest.fixture
def said(tmp_path, request):
    """What a program says that logs nasty text in every way, as a person or the journal gets it."""
    path = tmp_path / "log"
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": ""}
    with path.open("w+b") as file:
        if request.param == "journal":
            status = path.stat()
            environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        done = subprocess.run([sys.executable, "-c", SAY], env=environment, stderr=file, check=False)
    assert done.returncode == 1
    return path.read_text()


@pytest.mark.parametrize("said", ["person", "journal"], indirect=True)
def test_no_line_drives_a_terminal_or_passes_for_another(said):
    lines = said.splitlines()
    assert said.split("\n")[:-1] == lines
    assert all(map(is_harmless, lines))
    assert not any(line.lstrip("<>0123456789").startswith("INFO forged") for line in lines)
    escaped = r"a\x1b]0;title\x07b\u202ec\nINFO forged\r\x9b2J\U000e0041\ud800é"
    assert sum(escaped in line for line in lines) >= 5


@pytest.mark.parametrize("said", ["journal"], indirect=True)
def test_each_line_for_the_journal_has_its_level(said):
    assert {line[:3] for line in said.splitlines()} == {"<6>", "<4>", "<3>", "<2>"}


@pytest.mark.parametrize("said", ["person"], indirect=True)
def test_a_traceback_keeps_its_lines(said):
    assert said.count('\n    File "<string>", line ') >= 3
    assert "swiftd failed" in said


def test_a_kind_of_line_comes_once_a_minute_with_how_many_there_were(caplog):
    now = 1000.0
    seldom = Seldom(logging.getLogger("any"), lambda: now)
    for name in "abc":
        seldom.warning("%s came", name)
    seldom.warning("another kind")
    now += log.SELDOM
    for name in "de":
        seldom.warning("%s came", name)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        seldom.failure("%s failed", "f")
        seldom.failure("%s failed", "f")
    assert caplog.messages == ["a came", "another kind", "d came (2 more like it since the last time)", "f failed"]
    assert caplog.text.count("Traceback") == 1
