"""Whose a text is, by its trigger; which texts are taken for one another; and what a plugin is handed."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import pytest
from daemons import GUESTS, component

from swiftd.triggers import Routes, after, problem_of

FAMILY = "\U0001f468\u200d\U0001f4bb"
"""A man at a computer: two emoji and a joiner."""


def plugin(name, trigger, *, bundled=False):
    return SimpleNamespace(name=name, bundled=bundled, serving=SimpleNamespace(trigger=trigger))


def routes(*triggers, **named):
    """Plugins named as their triggers, and some with other names."""
    return Routes([plugin(trigger, trigger) for trigger in triggers] + [plugin(n, t) for n, t in named.items()])


def found(text, *triggers, only=None, **named):
    claim = routes(*triggers, **named).find(text, only)
    return [plugin.name for plugin in claim.plugins], claim.rest


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("=1+1", (["="], "1+1")),
        ("==1", (["=="], "1")),
        ("c 1", (["c "], "1")),
        ("c", (["rest"], "c")),
        (" =1", (["rest"], " =1")),
        ("C 1", (["rest"], "C 1")),
        ("", (["rest"], "")),
        ("é1", (["é"], "1")),
    ],
)
def test_the_longest_trigger_wins_and_the_rest_follows(text, claim):
    assert found(text, "=", "==", "c ", "é", rest="") == claim


@pytest.mark.parametrize(
    ("trigger", "typed"),
    [
        ("=", "\uff1d"),  # full-width
        ("~!", "\uff5e\uff01"),
        ("c ", "c\u3000"),
        ("c ", "\uff43\u3000"),
        ("か\u3000", "か "),
        ("\uff1d", "="),
        ("c ", "c\u00a0"),  # no-break spaces, from a keyboard's third level
        ("c ", "c\u202f"),
        ("\u20a9", "\uffe6"),
        ("é", "e\u0301"),  # one character or two
        ("e\u0301", "é"),
        ("ệ", "ê\u0323"),
        ("ガ", "ｶﾞ"),
        ("한", "\u1112\u1161\u11ab"),
        ("\u260e\ufe0f ", "\u260e "),  # emoji pickers differ in it
        ("\u260e", "\u260e\ufe0f"),
        ("\u260e ", "\u260e\ufe0f "),
        (f"{FAMILY} ", f"{FAMILY}\u3000"),
    ],
)
def test_a_trigger_that_looks_the_same_is_found(trigger, typed):
    assert found(f"{typed}1\uff0b1", mine=trigger, rest="") == (["mine"], "1\uff0b1")
    assert after(f"{typed}1\uff0b1", trigger) == "1\uff0b1"
    assert found(typed, mine=trigger) == (["mine"], "")


@pytest.mark.parametrize(
    ("trigger", "typed"), [("e", "é"), ("'", "\u2019"), ("-", "\u2212"), ("=", "\u2260"), ("...", "\u2026"), ("k", "K")]
)
def test_what_is_another_sign_is_not_taken_for_it(trigger, typed):
    assert found(f"{typed}1", mine=trigger, rest="") == (["rest"], f"{typed}1")
    assert after(f"{typed}1", trigger) is None


def test_what_is_claimed_as_it_was_typed_is_not_looked_at_again():
    assert found("\uff1d1", "=", "\uff1d") == (["\uff1d"], "1")
    assert found("=1", "=", "\uff1d\uff11") == (["="], "1")
    assert found("\uff1d1", "=", "=1") == (["=1"], "")


def test_plugins_that_are_left_out_claim_nothing_in_either_way():
    assert found("\uff1d1", a="=", b="\uff1d", only=["a"]) == (["a"], "1")
    assert found("\uff1d1", a="=", b="", only=["b"]) == (["b"], "\uff1d1")
    assert found("\uff1d1", a="=", only=[]) == ([], "\uff1d1")


@pytest.mark.parametrize("text", ["\u0301" * 4096, "\ufe0f" * 4096, "\uff1d" * 4096, "e" * 4096, "\U0001f468" * 1024])
def test_a_long_text_costs_no_more_than_a_short_one(text, monkeypatch):
    calls = []
    normalize = unicodedata.normalize
    monkeypatch.setattr(unicodedata, "normalize", lambda *arguments: calls.append(1) or normalize(*arguments))
    found(text, "é" * 16, "q")
    assert len(calls) < 200


@pytest.mark.parametrize("trigger", ["", " ", f"{FAMILY} ", "\uf002 ", "か\u3000", "\u06cc\u200c\u062e ", "x" * 64])
def test_what_can_be_typed_can_be_a_trigger(trigger):
    assert problem_of(trigger) is None


@pytest.mark.parametrize("trigger", ["\n", "a\tb", "\x7f", "\x9b", "\u2028", "\u202e", "\ufffe", "\ud800"])
def test_what_can_not_be_typed_can_be_no_trigger(trigger):
    assert "can be typed" in problem_of(trigger)


def test_a_trigger_is_of_limited_length():
    assert "at most 64 bytes, found 66" in problem_of("é" * 33)


# ---- notices ----------------------------------------------------------------------------------------------------


def notices(plugins):
    table = Routes(plugins)
    return {plugin.name: table.notices(plugin) for plugin in plugins}


def test_a_longer_trigger_that_takes_a_part_of_another_s_is_a_notice():
    said = notices([plugin("calc", "="), plugin("one", "=1"), plugin("other", "-"), plugin("rest", "")])
    assert said == {
        "calc": ["what starts with '=1' is one's, whose trigger is longer"],
        "one": [],
        "other": [],
        "rest": [],
    }


def test_of_a_trigger_that_many_share_each_says_its_own_part():
    plugins = [plugin(f"p{n}", "=") for n in range(9)]
    said = notices(plugins)
    (first,) = said["p0"]
    assert first.startswith("the trigger '=' is p0's, so p1, p2, p3, p4, p5 and 3 more never answer: give each another")
    assert said["p8"] == ["the trigger '=' is p0's, so p8 never answers: give it another with `trigger` in config.toml"]
    assert list(Routes(plugins).conflicts()) == ["="]


def test_of_many_longer_triggers_five_are_named():
    said = notices([plugin("calc", "="), *(plugin(f"p{n}", f"={n}") for n in range(9))])
    assert len(said["calc"]) == 6
    assert said["calc"][-1] == "and 4 longer triggers more take a part"


# ---- what a plugin is handed ------------------------------------------------------------------------------------


@pytest.fixture
def serve(idle_daemon):
    """A daemon with plugins that answer what they were handed, and this configuration; a client of it."""

    def serve(config, *names):
        idle_daemon.config.write_text(config)
        for name in names:
            idle_daemon.install(GUESTS / "echo.wat", name)
        client = idle_daemon.start().client()
        for name in names:
            assert client.settled(name)["state"] == "ready"
        return client

    return serve


@pytest.mark.parametrize(
    ("trigger", "typed", "handed"),
    [
        ("c ", "c 1+1", "echo:1+1"),
        ("c ", "c\u30001+1", "echo:1+1"),
        ("", "1+1", "echo:1+1"),
        (f"{FAMILY} ", f"{FAMILY} x", "echo:x"),
        ("\uf002", "\uf002x", "echo:x"),
        ("か\u3000", "か x", "echo:x"),
        ("echo:", "echo:x", "echo:x"),
        ("echo:echo:", "echo:echo:x", "echo:x"),
    ],
)
def test_a_plugin_with_another_trigger_is_handed_its_own_and_the_rest(serve, trigger, typed, handed):
    client = serve(f"[plugins.said]\ntrigger = '{trigger}'\n", "said")
    assert client.names(typed, plugins=["said"]) == [handed]
    assert client.plugin("said")["trigger"] == trigger
    if trigger not in ("", "echo:", "echo:echo:"):
        assert client.names("echo:x", plugins=["said"], wait_ms=0) == []


def test_a_plugin_that_is_found_by_what_looks_like_its_trigger_is_handed_its_own(serve):
    assert serve("", "said").names("\uff45\uff43\uff48\uff4f\uff1a\uff11", plugins=["said"]) == ["echo:\uff11"]


def test_the_bundled_calculator_answers_to_another_trigger(serve):
    client = serve("[plugins.calc]\ntrigger = 'c '\n")
    client.settled("calc")
    for typed in ("c 1+1", "c\u00a01+1", "\uff43\u30001+1"):
        assert client.names(typed)[0].endswith("2")
    serve_check = client.ask("check", path=client.plugin("calc")["path"], input="c 1+1", plugin="calc")
    assert (serve_check["accepted"], serve_check["trigger"]) == (True, "c ")
    assert serve_check["items"][0]["name"].endswith("2")


@pytest.mark.parametrize("guest", ["trigger-newline", "trigger-escape"])
def test_an_own_trigger_that_can_not_be_typed_is_handed_all_the_same(idle_daemon, guest):
    idle_daemon.config.write_text(f"[plugins.{guest}]\ntrigger = 't:'\n")
    idle_daemon.install(GUESTS / f"{guest}.wat")
    client = idle_daemon.start().client()
    assert client.settled(guest)["state"] == "ready"
    assert client.query("t:")["errors"] == []


def test_one_that_does_not_say_its_own_is_handed_what_was_typed_and_that_is_shown(idle_daemon):
    text = (GUESTS / "echo.wat").read_text()
    silent = text.replace('(func (export "trigger") (result i32)', '(func (export "trigger") (result i32) unreachable')
    assert silent != text
    idle_daemon.config.write_text("[plugins.silent]\ntrigger = 't:'\n")
    idle_daemon.install(silent, "silent")
    client = idle_daemon.start().client()
    (problem,) = client.settled("silent")["problems"]
    assert problem.startswith("it is handed what is typed as it is, as it does not say its own trigger: get-trigger: ")
    assert client.names("t:x", plugins=["silent"]) == ["t:x"]


def test_a_conflict_is_said_once_in_the_log_however_many_share_a_trigger(idle_daemon):
    for number in range(8):
        idle_daemon.install(component(f"item {number}", "same:"), f"p{number}")
    client = idle_daemon.start().client()
    for number in range(8):
        client.settled(f"p{number}")
    assert idle_daemon.said().count("the trigger 'same:' is") == 1
