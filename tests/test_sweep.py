"""What goes from the cache, what stays, and that nothing goes that somebody needs."""

from __future__ import annotations

import hashlib
import os

import pytest
from daemons import BUNDLED, component, eventually
from test_files import KINDS, descriptors, make

from swiftd.sweep import LONGEST_UNUSED, MARKED_EVERY, YOUNG, mark_used, sweep

NOW = 1_800_000_000.0
DAY = 24 * 3600.0


class Cache:
    """A cache folder with entries of any age."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()

    def add(self, key, digest="", age=0.0, size=100):
        body = b'{"digest":"%s","size":%d}' % (digest.encode(), size)
        self.put(f"{key}.json", hashlib.sha256(body).hexdigest().encode() + b"\n" + body, age)
        if digest:
            self.put(f"{digest}.cwasm", b"x" * size, age)

    def put(self, name, content, age):
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (NOW - age, NOW - age))

    @property
    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def age(self, name):
        return NOW - (self.folder / name).stat().st_mtime


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "cache")


def test_an_empty_cache_and_none_at_all_are_no_obstacle(store, tmp_path):
    assert sweep(store.folder, set(), NOW) == 0
    assert sweep(tmp_path / "nowhere", set(), NOW) == 0


def test_what_nobody_has_used_for_a_month_goes_and_the_rest_stays(store):
    store.add("old", "aa", age=LONGEST_UNUSED + 1, size=1000)
    store.add("recent", "bb", age=LONGEST_UNUSED - 1)
    assert sweep(store.folder, set(), NOW) > 1000
    assert store.names == ["bb.cwasm", "recent.json"]


def test_what_a_plugin_needs_stays_however_old_and_is_marked(store):
    store.add("old", "aa", age=10 * LONGEST_UNUSED)
    assert sweep(store.folder, {"old"}, NOW) == 0
    assert store.names == ["aa.cwasm", "old.json"]
    assert store.age("old.json") == 0


def test_what_one_daemon_has_marked_another_leaves_alone(store):
    store.add("shared", "aa", age=2 * LONGEST_UNUSED)
    sweep(store.folder, {"shared"}, NOW)
    assert sweep(store.folder, set(), NOW + LONGEST_UNUSED - 1) == 0
    assert sweep(store.folder, set(), NOW + LONGEST_UNUSED + 1) > 0


def test_beyond_the_limit_the_oldest_go_first_and_no_more_than_must(store):
    for number in range(5):
        store.add(f"e{number}", f"a{number}", age=YOUNG + (5 - number) * DAY, size=10_000)
    sweep(store.folder, set(), NOW, largest=35_000)
    assert store.names == ["a2.cwasm", "a3.cwasm", "a4.cwasm", "e2.json", "e3.json", "e4.json"]


def test_what_is_in_use_counts_for_the_limit_but_does_not_go(store):
    store.add("used", "aa", age=9 * DAY, size=10_000)
    store.add("unused", "bb", age=5 * DAY, size=10_000)
    sweep(store.folder, {"used"}, NOW, largest=15_000)
    assert store.names == ["aa.cwasm", "used.json"]


def test_beyond_the_limit_what_is_young_stays(store):
    for number in range(5):
        store.add(f"e{number}", f"a{number}", age=YOUNG - 1, size=10_000)
    assert sweep(store.folder, set(), NOW, largest=0) == 0


def test_an_artefact_of_two_entries_goes_with_the_last(store):
    store.add("first", "aa", age=2 * LONGEST_UNUSED)
    store.add("second", "aa", age=2 * LONGEST_UNUSED)
    sweep(store.folder, {"first"}, NOW)
    assert store.names == ["aa.cwasm", "first.json"]
    sweep(store.folder, set(), NOW + 2 * LONGEST_UNUSED)
    assert store.names == []


def test_a_refusal_has_no_artefact_and_goes_as_well(store):
    store.add("refused", age=LONGEST_UNUSED + 1)
    assert sweep(store.folder, set(), NOW) > 0
    assert store.names == []


def test_an_artefact_without_an_entry_goes_when_it_is_old(store):
    store.put("cc.cwasm", b"x", LONGEST_UNUSED + 1)
    store.put("dd.cwasm", b"x", YOUNG - 1)  # perhaps another daemon is about to write its entry
    sweep(store.folder, set(), NOW)
    assert store.names == ["dd.cwasm"]


@pytest.mark.parametrize("content", [b"", b"\xff\n\xff", b"x\n{", b'x\n{"digest":5}', b'x\n{"digest":"../../x"}'])
def test_an_entry_that_can_not_be_read_goes_when_it_is_old(store, content, tmp_path):
    (tmp_path / "x.cwasm").write_bytes(b"not in the cache")
    store.put("odd.json", content, YOUNG - 1)
    sweep(store.folder, set(), NOW)
    assert store.names == ["odd.json"]
    store.put("odd.json", content, LONGEST_UNUSED + 1)
    sweep(store.folder, set(), NOW)
    assert store.names == []
    assert (tmp_path / "x.cwasm").exists()


def test_what_is_no_entry_is_left_alone(store):
    store.put("README", b"mine", 10 * LONGEST_UNUSED)
    (store.folder / "folder.json").mkdir()
    os.utime(store.folder / "folder.json", (0, 0))
    sweep(store.folder, set(), NOW)
    assert store.names == ["README", "folder.json"]


def test_what_is_from_the_future_is_as_good_as_new(store):
    store.add("future", "aa", age=-1000 * DAY)
    assert sweep(store.folder, set(), NOW, largest=0) == 0
    assert store.age("future.json") == 0
    assert sweep(store.folder, set(), NOW + LONGEST_UNUSED + 1) > 0


def test_marking_again_at_once_costs_nothing(store):
    store.add("entry", age=MARKED_EVERY / 2)
    mark_used(store.folder / "entry.json", NOW)
    assert store.age("entry.json") == MARKED_EVERY / 2
    mark_used(store.folder / "entry.json", NOW + MARKED_EVERY)
    assert store.age("entry.json") == -MARKED_EVERY
    mark_used(store.folder / "missing.json", NOW)


def test_a_daemon_sweeps_its_cache_when_it_starts(idle_daemon):
    store = Cache(idle_daemon.home / "cache")
    store.add("old", "aa", age=0)
    os.utime(store.folder / "old.json", (0, 0))
    os.utime(store.folder / "aa.cwasm", (0, 0))
    idle_daemon.cache = store.folder
    idle_daemon.install(component("one", "one:"), "one")
    idle_daemon.start()
    client = idle_daemon.client()
    assert client.names("one:") == ["one"]
    assert all(client.settled(path.stem)["state"] == "ready" for path in BUNDLED.glob("*.wasm"))
    eventually(lambda: not {"old.json", "aa.cwasm"} & set(store.names))
    idle_daemon.stop()
    for path in store.folder.iterdir():  # a year later
        os.utime(path, (0, 0))
    (idle_daemon.plugins / "one.wasm").unlink()
    idle_daemon.start()
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    bundled = len(list(BUNDLED.glob("*.wasm")))
    eventually(lambda: len([name for name in store.names if name.endswith(".json")]) == bundled)
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert "compiling" not in idle_daemon.said().partition("stopping")[2]


@pytest.mark.parametrize("name", ["odd.json", "odd.cwasm"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("in a file", "folder")])
def test_whatever_has_a_name_of_ours_hangs_nothing_and_goes_when_it_is_old(store, kind, name):
    make(kind, store.folder / name)
    before = descriptors()
    os.utime(store.folder / name, (NOW - DAY, NOW - DAY), follow_symlinks=False)
    sweep(store.folder, set(), NOW)
    assert name in store.names
    os.utime(store.folder / name, (NOW - LONGEST_UNUSED - 1,) * 2, follow_symlinks=False)
    sweep(store.folder, set(), NOW)
    assert name not in store.names
    assert descriptors() == before


def test_what_a_link_leads_to_is_not_touched(store, tmp_path):
    (tmp_path / "mine").write_text("")
    os.utime(tmp_path / "mine", (NOW - DAY, NOW - DAY))
    (store.folder / "used.json").symlink_to("../mine")
    os.utime(store.folder / "used.json", (NOW - DAY, NOW - DAY), follow_symlinks=False)
    sweep(store.folder, {"used"}, NOW)
    assert (tmp_path / "mine").stat().st_mtime == NOW - DAY


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":' + b"[" * 300_000,
        b"[" * 300_000,
        b'{"digest":' * 50_000,
        b'{"digest":5}',
        b"\xff",
        b'{"digest":"\\u0000"}',
    ],
)
def test_an_entry_that_can_not_be_read_is_one_without_an_artefact(store, body):
    store.put("odd.json", hashlib.sha256(body).hexdigest().encode() + b"\n" + body, LONGEST_UNUSED + 1)
    sweep(store.folder, set(), NOW)
    assert store.names == []
