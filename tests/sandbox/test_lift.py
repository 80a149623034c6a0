"""Calls into a guest, and what is read of its answers: never more than the limits allow."""

from __future__ import annotations

import pytest
from daemons import GUESTS, component
from wasmtime import Store, WasmtimeError
from wasmtime import component as wc

from swiftd.sandbox import lift
from swiftd.sandbox.engine import make_engine
from swiftd.sandbox.messages import Limits


@pytest.fixture(scope="module")
def engine():
    return make_engine()


class Guest:
    """One instance, to call as a worker does."""

    def __init__(self, engine, text):
        self.component = wc.Component(engine, text)
        self.store = Store(engine)
        with wc.Linker(engine) as linker:
            self.instance = linker.instantiate(self.store, self.component)
        self.runner = self.component.get_export_index("swift:launcher/runner")

    def function(self, name):
        return self.instance.get_func(self.store, self.component.get_export_index(name, self.runner))

    def records(self, text="x", **limits):
        argument = lift.lower(text)
        result = None
        try:
            result = lift.call(self.store, self.function("handle"), argument)
            return lift.records(result, Limits(**limits))
        finally:
            lift.free(argument)
            if result is not None:
                lift.free(result)

    def resources(self, *methods, **limits):
        functions = [self.function(f"[method]action-item.get-{name}") if name else None for name in methods]
        argument = lift.lower("x")
        result = lift.call(self.store, self.function("handle"), argument)
        try:
            return lift.resources(result, self.store, functions, Limits(**limits))
        finally:
            lift.free(argument)
            lift.free(result)

    def close(self):
        self.store.close()
        self.component.close()


@pytest.fixture
def guest(engine):
    started = []

    def start(text):
        started.append(Guest(engine, text))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize("text", ["", "x", "é😀", "a\0b\nc", "x" * 4000])
def test_a_string_goes_in_and_comes_out_unchanged(guest, text):
    assert guest((GUESTS / "echo.wat").read_text()).records(text) == ([(text, "", "")], None)


def test_all_fields_of_all_items_are_read(guest):
    assert guest(component("näme", "x", "command")).records() == ([("näme", "command", "")], None)
    items, cut = guest(component("n", "x", count=1000)).records()
    assert (items, cut) == ([("n", "", "")] * 1000, None)


def test_an_empty_list_is_an_answer(guest):
    assert guest((GUESTS / "nothing.wat").read_text()).records() == ([], None)


@pytest.mark.parametrize(("count", "most"), [(1000, 999), (1000, 1), (5, 4)])
def test_more_items_than_allowed_are_cut_with_a_note(guest, count, most):
    items, cut = guest(component("n", "x", count=count)).records(max_items=most)
    assert len(items) == most
    assert cut == f"{count} items came: the first {most} are shown"


def test_exactly_as_many_as_allowed_are_not_cut(guest):
    assert guest(component("n", "x", count=7)).records(max_items=7)[1] is None


def test_an_item_with_a_command_too_long_is_left_out_with_a_note(guest):
    plugin = guest(component("", "x", "c" * 11, count=3))
    items, cut = plugin.records(exec=10)
    assert items == []
    assert cut == "an item was left out: a string of 11 bytes, where at most 10 are allowed"
    assert plugin.records(exec=11) == ([("", "c" * 11, "")] * 3, None)


@pytest.mark.parametrize(
    ("name", "limit", "shown"),
    [
        ("n" * 11, 10, "nnnnnnn…"),
        ("nnn ü ü ü", 11, "nnn ü…"),
        ("nnnnnn😀😀", 12, "nnnnnn…"),
        ("nnnnne\u0301nnn", 10, "nnnnn…"),
        ("n" * 4097, 4096, "n" * 4093 + "…"),
        ("n" * 8000, 4096, "n" * 4093 + "…"),
    ],
)
def test_a_name_too_long_is_cut_at_a_character_with_a_note(guest, name, limit, shown):
    plugin = guest(component(name, "x", "command", count=2))
    items, cut = plugin.records(name=limit)
    assert items == [(shown, "command", "")] * 2
    assert len(shown.encode()) <= limit
    size = len(name.encode())
    assert cut == f"a name was cut: a string of {size} bytes, where at most {limit} are allowed"
    assert plugin.records(name=size) == ([(name, "command", "")] * 2, None)


def test_an_item_with_all_too_long_is_left_out_for_its_command(guest):
    items, cut = guest(component("n" * 20, "x", "c" * 11)).records(name=5, exec=10)
    assert items == []
    assert "a string of 11 bytes" in cut


def test_names_that_are_cut_count_for_what_is_left_of_them(guest):
    items, cut = guest(component("n" * 1000, "x", count=50)).records(name=100, answer=5000)
    assert len(items) == 50
    assert cut.startswith("a name was cut")


def test_names_and_keywords_of_resources_are_cut_too(guest):
    plugin = guest((GUESTS / "object-keywords.wat").read_text())
    ((name, command, keywords),), cut = plugin.resources("name", "exec", "keywords", name=3)
    assert (name, keywords) == ("…", "…")
    assert command
    assert "a name was cut" in cut


def test_the_sum_of_all_strings_is_limited(guest):
    items, cut = guest(component("n" * 100, "x", "c" * 100, count=100)).records(answer=1000)
    assert len(items) == 5
    assert "longer than 1000 bytes" in cut
    assert "first 5" in cut


def test_a_trigger_is_read_up_to_its_limit(guest):
    plugin = guest(component("n", "12345"))
    trigger = plugin.function("get-trigger")
    assert lift.call_for_string(plugin.store, trigger, 5) == "12345"
    plugin = guest(component("n", "12345"))
    with pytest.raises(lift.TooLargeError, match="5 bytes, where at most 4"):
        lift.call_for_string(plugin.store, plugin.function("get-trigger"), 4)


def test_a_trap_is_an_error(guest):
    with pytest.raises(WasmtimeError, match="unreachable"):
        guest((GUESTS / "unreachable.wat").read_text()).records()


def test_resources_are_asked_for_their_fields(guest):
    plugin = guest((GUESTS / "object.wat").read_text())
    assert plugin.resources("name", "exec", None) == ([("fine", "fine", "")], None)


def test_resources_with_keywords(guest):
    (item,), cut = guest((GUESTS / "object-keywords.wat").read_text()).resources("name", "exec", "keywords")
    assert all(item)
    assert cut is None


def test_a_trap_in_a_destructor_is_an_error(guest):
    with pytest.raises(WasmtimeError, match="unreachable"):
        guest((GUESTS / "object-drop-trap.wat").read_text()).resources("name", "exec", None)


def test_many_resources_are_asked_only_up_to_the_limit(guest):
    items, cut = guest((GUESTS / "object-many.wat").read_text()).resources("name", "exec", None, max_items=3)
    assert len(items) == 3
    assert "the first 3 are shown" in cut
