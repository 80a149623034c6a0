"""The reconciler alone, between folders, a compiler and workers that do what a test tells them, when it tells them."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from daemons import PATIENCE

from swiftd.catalog import Catalog
from swiftd.compiler import ChangedError, Entry, TroubleError
from swiftd.config import Config, PluginSettings
from swiftd.errors import DaemonError, PluginFault
from swiftd.folders import Found
from swiftd.introduction import TRIGGER_TRIES
from swiftd.journal import Journal
from swiftd.reconcile import BATCH_LIMIT, PARALLEL_COMPILES, SWEEP_EVERY, Reconciler
from swiftd.sandbox.messages import Contract, Triggered
from swiftd.worker import ArtefactError

CONTRACT = Contract("swift:launcher/runner", "record")


class FakeFolders:
    """What is found is what the test has put there."""

    def __init__(self):
        self.found = {}
        self.scans = 0
        self.problems = []

    def put(self, name, source, size=100, problem=None):
        self.found[name] = Found(Path(f"/plugins/{name}.wasm"), False, size, "" if problem else source, problem)

    def scan(self):
        self.scans += 1
        return dict(self.found)


class FakeCompiler:
    """Compiles what it is told, in no time; a source named in `held` only when the test lets it go on."""

    def __init__(self):
        self.cache = {}
        self.held = {}
        self.begun = []
        self.compiled = []
        self.faults = {}
        self.swept = []

    def hold(self, source):
        self.held[source] = trio.Event()

    def cached(self, source):
        return self.cache.get(source)

    def forget(self, source):
        self.cache.pop(source, None)

    def artefact(self, entry):
        return Path(f"/cache/{entry.digest}.cwasm")

    def sweep(self, sources):
        self.swept.append(sources)

    async def compile(self, path, source):
        self.begun.append(source)
        if source in self.held:
            await self.held[source].wait()
        else:
            await trio.lowlevel.checkpoint()
        if faults := self.faults.get(source):
            fault = faults.pop(0)
            if isinstance(fault, str):
                self.cache[source] = Entry(refused=fault)
                return self.cache[source]
            raise fault
        self.compiled.append(source)
        self.cache[source] = Entry(digest=source, contract=CONTRACT)
        return self.cache[source]


class FakePool:
    """Every plugin's trigger is its content's name and a colon."""

    def __init__(self):
        self.loaded = {}
        self.triggers = []
        self.faults = {}
        self.lost = set()
        self.held = {}
        self.steps_to_add = 1

    async def add(self, load):
        for _ in range(self.steps_to_add):
            await trio.lowlevel.checkpoint()
        if load.digest in self.lost:
            self.lost.discard(load.digest)
            raise ArtefactError("flipped")
        self.loaded[load.slot] = load

    def disown(self, slot):
        self.loaded.pop(slot, None)

    async def remove(self, slot):
        self.loaded.pop(slot, None)
        await trio.lowlevel.checkpoint()

    async def call(self, load, job):
        self.triggers.append(load.digest)
        if load.digest in self.held:
            await self.held[load.digest].wait()
        else:
            await trio.lowlevel.checkpoint()
        if faults := self.faults.get(load.digest):
            raise faults.pop(0)
        return Triggered(trigger=f"{load.digest}:")


class FakeSwitches:
    def __init__(self):
        self.off = set()

    def is_off(self, name):
        return name in self.off


class Rig:
    def __init__(self):
        self.folders = FakeFolders()
        self.compiler = FakeCompiler()
        self.pool = FakePool()
        self.switches = FakeSwitches()
        self.journal = Journal()
        self.catalog = Catalog(self.journal)
        self.reconciler = Reconciler(self.catalog, self.folders, self.switches, self.compiler, self.pool, [])
        self.events = []

    def put(self, name, source, **fields):
        self.folders.put(name, source, **fields)

    def configure(self, **plugins):
        self.reconciler.use(Config(plugins={name: PluginSettings(**fields) for name, fields in plugins.items()}))

    def serving(self):
        """What serves, by name."""
        return {name: p.serving.source for name, p in self.catalog.plugins.items() if p.serving is not None}

    def states(self):
        return {name: plugin.state for name, plugin in self.catalog.plugins.items()}

    async def settle(self):
        """A pass, and everything that it began."""
        await self.reconciler.complete()
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def runs(self, patience=PATIENCE):
        """Run the reconciler; a test that hangs fails. Events are noted."""
        self.configure()
        with trio.fail_after(patience), self.catalog.changes() as changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.reconciler.run)
                nursery.start_soon(self._note, changes)
                yield self
                nursery.cancel_scope.cancel()

    async def _note(self, changes):
        async for change in changes:
            self.events.append((change.plugin, change.state, change.error))


@pytest.fixture
def rig(monkeypatch):
    async def run_here(function, *arguments, abandon_on_cancel=False):
        """A clock that jumps does not wait for a thread."""
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_here)
    return Rig()


# ---- what a pass does -------------------------------------------------------------------------------------------


async def test_a_file_becomes_a_plugin_and_goes_with_its_file(rig):
    async with rig.runs():
        rig.put("a", "one")
        await rig.settle()
        assert rig.serving() == {"a": "one"}
        assert rig.catalog.plugins["a"].serving.trigger == "one:"
        rig.folders.found.clear()
        await rig.settle()
        assert rig.catalog.plugins == {}
        assert rig.pool.loaded == {}
        assert rig.events == [("a", "compiling", None), ("a", "ready", None), ("a", None, None)]


async def test_a_pass_over_what_is_unchanged_does_nothing(rig):
    async with rig.runs():
        rig.put("a", "one")
        rig.put("b", "", problem="permission denied")
        rig.compiler.faults["bad"] = ["no component"]
        rig.put("c", "bad")
        await rig.settle()
        seen, loaded = list(rig.events), dict(rig.pool.loaded)
        for _ in range(3):
            await rig.settle()
        assert rig.events == seen
        assert rig.pool.loaded == loaded
        assert sorted(rig.compiler.begun) == ["bad", "one"]


async def test_what_is_cached_serves_when_the_first_pass_is_done(rig):
    for name in "abc":
        rig.put(name, f"s{name}")
        rig.compiler.cache[f"s{name}"] = Entry(digest=f"s{name}", contract=CONTRACT)
    rig.put("slow", "slow")
    rig.compiler.hold("slow")
    async with rig.runs():
        await rig.catalog.scanned.wait()
        assert rig.serving() == {"a": "sa", "b": "sb", "c": "sc"}
        assert rig.catalog.pending()[0].name == "slow"


@pytest.mark.parametrize("steps", [1, 10])
async def test_what_changes_together_is_put_in_service_in_one_step(rig, steps):
    rig.pool.steps_to_add = steps
    rig.compiler.cache.update({s: Entry(digest=s, contract=CONTRACT) for s in ("one", "two")})
    rig.put("a", "one")
    rig.put("b", "two")
    async with rig.runs():
        await rig.settle()
        seen = []
        serve = rig.catalog.serve
        rig.catalog.serve = lambda versions: (serve(versions), seen.append(rig.serving()))
        rig.put("a", "two")
        rig.put("b", "one")
        await rig.settle()
        assert [state for state in seen if state != {"a": "one", "b": "two"}] == [{"a": "two", "b": "one"}]


async def test_a_plugin_that_is_slow_to_say_its_trigger_does_not_hold_up_the_others(rig, autojump_clock):
    rig.compiler.cache.update({s: Entry(digest=s, contract=CONTRACT) for s in ("quick", "slow")})
    rig.pool.held["slow"] = trio.Event()
    rig.put("quick", "quick")
    rig.put("slow", "slow")
    async with rig.runs():
        started = trio.current_time()
        await rig.reconciler.complete()
        assert trio.current_time() - started == pytest.approx(BATCH_LIMIT, abs=0.1)
        assert rig.serving() == {"quick": "quick"}
        rig.pool.held["slow"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.serving() == {"quick": "quick", "slow": "slow"}


async def test_the_old_version_serves_until_the_new_one_can(rig):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        rig.compiler.hold("two")
        rig.put("a", "two")
        await rig.settle()
        assert rig.serving() == {"a": "one"}
        assert rig.states() == {"a": "ready"}
        rig.compiler.held["two"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.serving() == {"a": "two"}
        assert [load.digest for load in rig.pool.loaded.values()] == ["two"]


@pytest.mark.parametrize("reason", ["refused", "trap", "problem"])
async def test_a_new_version_that_is_refused_leaves_the_old_one_serving_and_says_why_once(rig, reason):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        rig.events.clear()
        match reason:
            case "refused":
                rig.compiler.faults["two"] = ["no component"]
            case "trap":
                rig.pool.faults["two"] = [PluginFault("trap", "no component")]
        rig.put("a", "two", problem="no component" if reason == "problem" else None)
        for _ in range(3):
            await rig.settle()
        assert rig.serving() == {"a": "one"}
        assert [(state, "no component" in error) for _, state, error in rig.events] == [("ready", True)]
        assert len(rig.journal.lines("a")) == 1
        assert len(rig.pool.loaded) == 1
        rig.put("a", "one")
        await rig.settle()
        assert rig.catalog.plugins["a"].error is None


async def test_every_refused_version_is_reported_also_when_the_reason_is_the_same(rig):
    async with rig.runs():
        for source in ("one", "two"):
            rig.compiler.faults[source] = ["no component"]
            rig.put("a", source)
            await rig.settle()
        assert [event for event in rig.events if event[1] == "refused"] == [("a", "refused", "no component")] * 2


# ---- configuration and switches ---------------------------------------------------------------------------------


async def test_only_the_plugin_whose_section_changed_is_loaded_anew(rig):
    rig.put("a", "one")
    rig.put("b", "two")
    async with rig.runs():
        await rig.settle()
        before = rig.catalog.plugins["b"].serving
        rig.configure(a={"trigger": "x"})
        await rig.settle()
        assert rig.catalog.plugins["a"].serving.trigger == "x"
        assert rig.catalog.plugins["b"].serving is before
        rig.configure(a={"trigger": "x"}, b={"max_items": 1000}, c={"trigger": "y"})
        await rig.settle()
        assert rig.catalog.plugins["b"].serving is before


async def test_what_is_switched_off_goes_out_of_service_and_comes_back(rig):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        rig.switches.off.add("a")
        for _ in range(2):
            await rig.settle()
        assert (rig.serving(), rig.states(), rig.pool.loaded) == ({}, {"a": "disabled"}, {})
        rig.configure(a={"enabled": False})
        rig.switches.off.clear()
        await rig.settle()
        assert rig.states() == {"a": "disabled"}
        rig.configure()
        await rig.settle()
        assert rig.serving() == {"a": "one"}
        assert [state for _, state, _ in rig.events].count("disabled") == 1


async def test_what_is_switched_off_while_it_is_compiled_never_serves(rig):
    rig.put("a", "one")
    rig.compiler.hold("one")
    async with rig.runs():
        await rig.settle()
        rig.switches.off.add("a")
        await rig.settle()
        rig.compiler.held["one"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.states() == {"a": "disabled"}
        assert rig.serving() == {}


# ---- compiling --------------------------------------------------------------------------------------------------


async def test_what_must_be_compiled_comes_smallest_first_and_no_more_at_once_than_may(rig):
    sizes = {"a": 900, "b": 100, "c": 500, "d": 300, "e": 700}
    for name, size in sizes.items():
        rig.put(name, name, size=size)
        rig.compiler.hold(name)
    order = sorted(sizes, key=sizes.get)
    async with rig.runs():
        await rig.settle()
        for done in range(len(order)):
            assert sorted(rig.compiler.begun) == sorted(order[: done + PARALLEL_COMPILES])
            rig.compiler.held[order[done]].set()
            await trio.testing.wait_all_tasks_blocked()
        assert set(rig.serving()) == set(sizes)


@pytest.mark.parametrize("victim", ["c", "d", "e"])
@pytest.mark.parametrize("change", ["other", "gone"])
async def test_one_that_changes_or_goes_while_it_waits_for_its_turn_holds_up_nobody(rig, victim, change):
    for size, name in enumerate("abcde"):
        rig.put(name, name, size=size)
        rig.compiler.hold(name)
    async with rig.runs():
        await rig.settle()
        for number in range(10):
            if change == "other":
                rig.put(victim, f"{victim}{number}", size=50 - number)
            else:
                rig.folders.found.pop(victim, None)
            rig.compiler.held["ab"[number % 2]].set()
            await rig.settle()
        for event in rig.compiler.held.values():
            event.set()
        await trio.testing.wait_all_tasks_blocked()
        expected = {name: name for name in "abcde"} | {victim: f"{victim}9"}
        if change == "gone":
            del expected[victim]
        assert rig.serving() == expected


async def test_of_versions_that_follow_each_other_quickly_the_last_serves(rig):
    async with rig.runs():
        for number in range(50):
            rig.put("a", f"v{number}")
            rig.compiler.hold(f"v{number}")
            await rig.reconciler.complete()
        for number in (10, 49, 48):
            rig.compiler.held[f"v{number}"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.serving() == {"a": "v49"}
        assert len(rig.pool.loaded) == 1


async def test_a_file_that_goes_at_the_moment_its_plugin_has_answered_is_gone(rig):
    """The answer is there, the task that waits for it not yet awake: nothing can cancel it any more."""
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        for number in range(20):
            source = f"v{number}"
            rig.pool.held[source] = trio.Event()
            rig.put("a", source)
            await rig.settle()
            rig.pool.held[source].set()
            rig.folders.found.clear()
            await rig.reconciler.complete()
            assert rig.catalog.plugins == {}
            await rig.settle()
            assert rig.catalog.plugins == {}
            assert rig.pool.loaded == {}


async def test_a_file_that_changes_while_it_is_compiled_is_looked_at_again(rig, autojump_clock):
    rig.put("a", "one")
    rig.compiler.faults["one"] = [ChangedError("a"), ChangedError("a")]
    async with rig.runs():
        await rig.reconciler.reload(["a"])
        assert rig.serving() == {"a": "one"}
        assert len(rig.compiler.begun) == 3


@pytest.mark.parametrize(
    "error", [DaemonError("no process can be made"), TroubleError("too large", again=False), ArtefactError("flipped")]
)
async def test_what_the_machine_lacks_is_said_and_tried_again_when_asked(rig, error):
    rig.put("a", "one")
    rig.put("b", "two")
    rig.compiler.faults["one"] = [error]
    async with rig.runs():
        await rig.settle()
        assert rig.states() == {"a": "refused", "b": "ready"}
        await rig.settle()
        assert rig.states()["a"] == "refused"
        await rig.reconciler.reload(["a"])
        assert rig.states()["a"] == "ready"


async def test_what_the_machine_lacks_for_a_while_is_tried_again_by_itself_with_growing_pauses(rig, autojump_clock):
    rig.put("a", "one")
    begun = []
    rig.compiler.faults["one"] = faults = [TroubleError("no space is left", again=True) for _ in range(9)]
    async with rig.runs(patience=3600):
        while rig.states().get("a") != "ready":
            if len(faults) < 9 - len(begun):
                begun.append(trio.current_time())
                assert rig.catalog.plugins["a"].error in ("no space is left", None)
            await trio.sleep(0.1)
        pauses = [round(after - before) for before, after in itertools.pairwise(begun)]
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
        assert len(rig.compiler.begun) == 10


async def test_a_reload_does_not_wait_for_the_next_try(rig, autojump_clock):
    rig.put("a", "one")
    rig.compiler.faults["one"] = [TroubleError("no space is left", again=True) for _ in range(2)]
    async with rig.runs():
        await rig.settle()
        with trio.fail_after(0.5):
            await rig.reconciler.reload(["a"])
            assert rig.states()["a"] == "refused"
            await rig.reconciler.reload(["a"])
        assert rig.states()["a"] == "ready"
        await trio.sleep(10)  # the tries that were to come are not made any more
        assert len(rig.compiler.begun) == 3


async def test_what_takes_long_to_fail_is_tried_the_more_rarely(rig, autojump_clock):
    rig.put("a", "one")
    rig.compiler.faults["one"] = [TroubleError("killed", again=True)]
    rig.compiler.hold("one")
    async with rig.runs(patience=3600):
        await trio.sleep(30)
        rig.compiler.held["one"].set()
        await trio.sleep(200)
        assert rig.states()["a"] == "refused"
        await trio.sleep(100)
        assert rig.states()["a"] == "ready"


async def test_that_all_workers_are_busy_is_not_held_against_a_plugin(rig):
    rig.put("a", "one")
    rig.pool.faults["one"] = [PluginFault("busy", "all are busy")] * (TRIGGER_TRIES - 1)
    async with rig.runs():
        await rig.settle()
        assert rig.serving() == {"a": "one"}


# ---- artefacts that are lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["it is loaded", "it is asked"])
async def test_what_is_not_in_the_cache_as_it_was_is_compiled_anew(rig, when):
    rig.compiler.cache["one"] = Entry(digest="one", contract=CONTRACT)
    rig.put("a", "one")
    if when == "it is loaded":
        rig.pool.lost.add("one")
    else:
        rig.pool.faults["one"] = [ArtefactError("flipped")]
    async with rig.runs():
        await rig.settle()
        assert rig.serving() == {"a": "one"}
        assert rig.compiler.compiled == ["one"]


async def test_many_queries_that_miss_an_artefact_have_it_made_once(rig):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        rig.compiler.hold("one")
        version = rig.catalog.plugins["a"].serving
        for _ in range(5):
            await rig.reconciler.mend("a", version)
            await rig.settle()
        assert rig.compiler.begun == ["one", "one"]
        rig.compiler.held["one"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.serving() == {"a": "one"}
        assert rig.catalog.plugins["a"].serving is not version
        await rig.reconciler.mend("a", version)  # one that does not serve any more
        await rig.reconciler.mend("nobody", version)
        await rig.settle()
        assert rig.compiler.begun == ["one", "one"]


async def test_a_lost_version_whose_file_is_another_by_now_can_not_be_made_again(rig):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        version = rig.catalog.plugins["a"].serving
        rig.compiler.faults["two"] = ["no component"]
        rig.put("a", "two")
        await rig.settle()
        assert rig.serving() == {"a": "one"}
        await rig.reconciler.mend("a", version)
        await rig.settle()
        assert (rig.serving(), rig.states()) == ({}, {"a": "refused"})
        assert rig.catalog.plugins["a"].error == "no component"
        assert rig.compiler.begun == ["one", "two"]


# ---- who waits for a pass ---------------------------------------------------------------------------------------


async def test_a_pass_that_has_begun_does_not_count_for_what_changes_after(rig):
    rig.compiler.cache.update({s: Entry(digest=s, contract=CONTRACT) for s in ("one", "two")})
    rig.put("a", "one")
    rig.pool.held["one"] = trio.Event()
    async with rig.runs():
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert rig.folders.scans == 1  # it waits for the trigger
        rig.put("a", "two")
        await rig.reconciler.reload(["a"])
        assert rig.serving() == {"a": "two"}


async def test_a_reload_returns_when_the_new_version_serves(rig):
    rig.put("a", "one")
    async with rig.runs():
        await rig.settle()
        rig.compiler.hold("two")
        rig.put("a", "two")
        done = trio.Event()

        async def reload():
            await rig.reconciler.reload(["a"])
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not done.is_set()
            rig.compiler.held["two"].set()
            await done.wait()
        assert rig.serving() == {"a": "two"}


async def test_a_reload_of_what_goes_meanwhile_returns(rig):
    rig.put("a", "one")
    rig.compiler.hold("one")
    async with rig.runs():
        await rig.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.reconciler.reload, ["a"])
            await trio.testing.wait_all_tasks_blocked(0.01)
            rig.folders.found.clear()
            await rig.reconciler.complete()
        assert rig.catalog.plugins == {}


async def test_a_reload_tries_again_what_was_refused_and_leaves_alone_what_serves(rig):
    rig.put("a", "one")
    rig.put("b", "two")
    rig.compiler.faults["one"] = ["no component"]
    async with rig.runs():
        await rig.settle()
        before = rig.catalog.plugins["b"].serving
        await rig.reconciler.reload(["a", "b", "nobody"])
        assert rig.serving() == {"a": "one", "b": "two"}
        assert rig.catalog.plugins["b"].serving is before


async def test_a_reload_looks_again_for_what_could_not_be_granted(rig, tmp_path, monkeypatch):
    rig.put("a", "one")
    monkeypatch.delenv("XDG_LATER_DIR", raising=False)
    async with rig.runs():
        folder = tmp_path / "later"
        settings = PluginSettings()
        settings.grants.read.append("$XDG_LATER_DIR")
        rig.reconciler.use(Config(plugins={"a": settings}))
        await rig.settle()
        assert len(rig.catalog.plugins["a"].problems) == 1
        monkeypatch.setenv("XDG_LATER_DIR", str(folder))
        await rig.reconciler.reload(["a"])
        assert rig.catalog.plugins["a"].problems == []
        assert str(folder) in str(rig.catalog.plugins["a"].serving.load.grants.read)
        assert rig.compiler.begun == ["one"]


# ---- the sweep --------------------------------------------------------------------------------------------------


async def test_the_cache_is_swept_after_the_first_pass_and_then_once_a_day(rig, autojump_clock):
    rig.put("a", "one")
    rig.put("b", "two")
    rig.switches.off.add("b")
    async with rig.runs(patience=2 * SWEEP_EVERY):
        await rig.settle()
        for _ in range(3):
            await rig.settle()
        assert rig.compiler.swept == [{"one", "two"}]
        await trio.sleep(SWEEP_EVERY)
        await rig.settle()
        await rig.settle()
        assert rig.compiler.swept == [{"one", "two"}] * 2
