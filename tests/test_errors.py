"""Messages quote what others chose: they are short, and drive no terminal, whoever shows them."""

from __future__ import annotations

import pytest

from swiftd.catalog import Catalog, Plugin
from swiftd.compiler import Entry
from swiftd.errors import DaemonError, PluginFault, PutOffFault, RemadeFault, RequestError
from swiftd.journal import Journal
from swiftd.text import LONGEST, is_harmless

NASTY = "expected \x1b]0;a\x07 \u202e\n" + "x" * 10_000_000 + "\r\x9b, found none"


def fine(text):
    return is_harmless(text) and len(text) <= LONGEST and text.startswith("expected") and text.endswith("found none")


@pytest.mark.parametrize(
    "error",
    [
        RequestError("bad-request", NASTY),
        PluginFault("trap", NASTY),
        PutOffFault("trap", NASTY),
        RemadeFault("compiling", NASTY),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_message_of_each_error_is_fit_to_be_shown(error):
    assert fine(str(error))


def test_the_last_words_of_the_daemon_are_one_line_and_whole():
    assert str(DaemonError("/long/" + "x" * 4000 + "\x1b\n: not found")) == "/long/" + "x" * 4000 + "\ufffd : not found"


async def test_a_refusal_is_fit_to_be_shown_whoever_says_it(caplog, tmp_path):
    journal = Journal()
    catalog = Catalog(journal)
    plugin = catalog.plugins["p"] = Plugin("p", tmp_path / "p.wasm", bundled=False)
    with catalog.changes() as changes:
        catalog.set_state(plugin, "refused", NASTY)
        change = changes.receive_nowait()
    texts = [plugin.error, change.error, journal.lines("p")[0].text, (await catalog.listing())[0].error]
    assert all(map(fine, texts))
    assert fine(caplog.messages[0].removeprefix("p: refused: "))


def test_so_is_what_a_compiler_says_and_what_it_said_long_ago():
    entry = Entry(refused=NASTY, language=NASTY, imports=[NASTY] * 10_000)
    assert fine(entry.refused)
    assert fine(entry.language)
    assert all(map(fine, entry.imports))
    assert len(entry.imports) <= 1000
    plain = Entry(digest="d", size=5, language="Rust", imports=["a", "b"])
    assert (plain.language, plain.imports, plain.refused) == ("Rust", ["a", "b"], None)
