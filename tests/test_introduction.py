"""What a worker says of a plugin is not believed because a worker says it: a plugin may have taken it over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swiftd.catalog import Catalog, Plugin, Version
from swiftd.compiler import Entry
from swiftd.config import PluginSettings
from swiftd.errors import PluginFault
from swiftd.introduction import introduce
from swiftd.journal import Journal
from swiftd.protocol import Query
from swiftd.query import Memory, Queries
from swiftd.sandbox.messages import Contract, Handled, Limits, Load, Triggered
from swiftd.stats import Stats
from swiftd.text import LONGEST, is_harmless

LOAD = Load(1, "p", "artefact", "digest", Contract("runner", "record"))


def taken_over(reply):
    """A pool whose worker answers what it likes."""

    async def call(load, job):
        return reply

    return SimpleNamespace(call=call)


@pytest.mark.parametrize("configured", [None, "p:"])
@pytest.mark.parametrize("trigger", ["x" * 10_000_000, "\x1b" * 65, "é" * 33])
async def test_a_trigger_is_no_longer_than_a_trigger_may_be(trigger, configured):
    if configured is None or len(trigger) > Limits().trigger:
        with pytest.raises(PluginFault) as caught:
            await introduce(taken_over(Triggered(trigger=trigger)), LOAD, configured)
        assert caught.value.code == "contract"
        assert len(str(caught.value)) <= LONGEST
        assert is_harmless(str(caught.value))


async def test_an_answer_has_no_more_items_than_the_plugin_may_give(tmp_path):
    catalog = Catalog(Journal())
    catalog.plugins["p"] = Plugin("p", tmp_path / "p.wasm", bundled=False)
    catalog.serve({"p": Version("source", PluginSettings(), LOAD, "p:", "p:", Entry())})
    catalog.scanned.set()
    reply = Handled(items=[("name", "", "")] * 100_000, cut="\x1b" * 10_000)
    queries = Queries(catalog, SimpleNamespace(), taken_over(reply), Memory(), Stats())
    answer = await queries.answer(Query(id=1, input="p:"), lambda _: None)
    assert len(answer.items) == LOAD.limits.max_items
    (error,) = answer.errors
    assert len(error.message) <= LONGEST
    assert is_harmless(error.message)
