"""Who answers a query, with how much, by when, and what can be done with the answer later."""

from __future__ import annotations

import pytest
from daemons import BUNDLED, GUESTS, Daemon, component
from guests.cases import huge_function, with_module

from swiftd.errors import RequestError
from swiftd.query import REMEMBERED_ITEMS, Memory

CONFIG = """
[plugins.spin]
deadline = "250ms"
[plugins.moved]
trigger = "moved:"
[plugins.endless]
trigger = ""
deadline = "1m"
"""
SLOW = [f"slow-{number}" for number in range(10)]
"""As many as there are tests that let one time out: one that fails often is put off."""
TRIGGERS = {
    "a": "a",
    "ab": "ab",
    "abcd": "abcd",
    "tie-1": "tie:",
    "tie-2": "tie:",
    "zz-own": ">",
    "euro": "€",
    "smile": "😀!",
    "rest-1": "",
    "rest-2": "",
    "moved": "original:",
}
RESTS = ["rest-1", "rest-2"]


@pytest.fixture(scope="module")
def running(tmp_path_factory, cache):
    daemon = Daemon(tmp_path_factory.mktemp("query"), cache)
    slow = (f'[plugins.{name}]\ntrigger = ""\ndeadline = "250ms"\n' for name in SLOW)
    daemon.config.write_text(CONFIG + "".join(slow))
    for name in [*SLOW, "endless"]:
        daemon.install(GUESTS / "spin.wat", name)
    for name, trigger in TRIGGERS.items():
        daemon.install(component(f"item of {name}", trigger), name)
    daemon.install(GUESTS / "spin.wat")
    daemon.install(GUESTS / "unreachable.wat")
    daemon.install(component("one of many", "many:", "command", count=1000), "many")
    daemon.start()
    client = daemon.client()
    for name in [*TRIGGERS, *SLOW, "spin", "unreachable", "many", "echo"]:
        assert client.settled(name)["state"] == "ready"
    yield daemon
    daemon.close()


@pytest.fixture
def client(running):
    client = running.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def slow_ones():
    return iter(SLOW)


@pytest.fixture
def slow(slow_ones):
    """A plugin that never answers and takes what no other claims; another one for each test."""
    return next(slow_ones)


def answerers(answer):
    return [item["plugin"] for item in answer["items"]]


# ---- who is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plugin"),
    [
        ("a", "a"),
        ("ax", "a"),
        ("ab", "ab"),
        ("abc", "ab"),
        ("abcd", "abcd"),
        ("abcde", "abcd"),
        ("tie:", "tie-1"),
        (">x", "zz-own"),
        ("€5", "euro"),
        ("😀!", "smile"),
        ("moved:x", "moved"),
    ],
)
def test_the_longest_trigger_wins_then_the_user_s_own_plugin_then_the_first_name(client, text, plugin):
    answer = client.query(text)
    assert answerers(answer) == [plugin]
    assert answer["items"][0]["name"] == f"item of {plugin}"
    assert (answer["status"], answer["errors"]) == ("complete", [])


@pytest.mark.parametrize("text", ["", "x", "b", "😀", "original:x", " a", "A", "\n"])
def test_what_no_trigger_claims_goes_to_all_plugins_without_one(client, text):
    assert sorted(answerers(client.query(text, plugins=[*TRIGGERS]))) == RESTS


def test_plugins_without_a_trigger_are_not_asked_what_another_claims(client):
    assert answerers(client.query("tie:x")) == ["tie-1"]
    assert answerers(client.query("tie:x", plugins=["tie-2", *RESTS])) == ["tie-2"]


@pytest.mark.parametrize(
    ("text", "chosen", "plugins"),
    [
        ("abcd", ["a"], ["a"]),
        ("abcd", ["ab", "a"], ["ab"]),
        ("tie:", ["tie-2"], ["tie-2"]),
        (">x", ["echo"], ["echo"]),
        ("abcd", ["rest-2"], ["rest-2"]),
        ("abcd", ["tie-1"], []),
        ("abcd", [], []),
    ],
)
def test_only_the_chosen_plugins_count(client, text, chosen, plugins):
    answer = client.query(text, plugins=chosen)
    assert answerers(answer) == plugins
    assert (answer["status"], answer["errors"]) == ("complete", [])


@pytest.mark.parametrize("chosen", [["nobody"], ["a", "nobody"], [""], ["\n"]])
def test_choosing_a_plugin_that_is_not_there_is_an_error(client, chosen):
    answer = client.query("a", plugins=chosen)
    assert (answer["type"], answer["code"]) == ("error", "unknown-plugin")
    assert repr(chosen[-1]) in answer["message"]


# ---- how much ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 999, 1000, 1001, 2**40])
def test_a_limit_cuts_an_answer(client, limit):
    assert len(client.query("many:", limit=limit)["items"]) == min(limit, 1000)


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_a_limit_holds_for_all_plugins_together(client, limit):
    assert len(client.query("x", plugins=RESTS, limit=limit)["items"]) == min(limit, 2)
    frames = streamed(client, "x", plugins=RESTS, limit=limit)
    assert sum(len(frame["items"]) for frame in frames) == min(limit, 2)


@pytest.mark.parametrize("field", ["limit", "deadline_ms"])
def test_less_than_nothing_is_refused(client, field):
    answer = client.query("a", **{field: -1})
    assert (answer["type"], answer["code"]) == ("error", "bad-request")
    assert field in answer["message"]


# ---- in parts ---------------------------------------------------------------------------------------------------


def streamed(client, text, **fields):
    request = client.send(op="query", input=text, stream=True, **fields)
    frames = []
    while not frames or not frames[-1]["done"]:
        frames.append(client.frame())
        assert (frames[-1]["id"], frames[-1]["type"]) == (request, "results")
    return frames


def test_a_stream_has_a_frame_for_each_plugin_as_it_finishes(client, slow):
    frames = streamed(client, "x", plugins=[slow, *RESTS])
    assert len(frames) == 3
    assert sorted(answerers(frames[0]) + answerers(frames[1])) == RESTS
    assert (frames[2]["items"], frames[2]["status"]) == ([], "partial")
    assert [error["code"] for error in frames[2]["errors"]] == ["timeout"]
    assert [frame["done"] for frame in frames] == [False, False, True]


def test_a_stream_of_one_plugin_is_its_one_frame(client):
    (frame,) = streamed(client, "a")
    assert (answerers(frame), frame["status"]) == (["a"], "complete")


def test_a_stream_of_nothing_has_but_its_end(client):
    (frame,) = streamed(client, "abcd", plugins=[])
    assert (frame["items"], frame["status"]) == ([], "complete")


def test_a_stream_can_be_cancelled(client, slow):
    request = client.send(op="query", input="x", plugins=[slow, "rest-1"], stream=True)
    assert answerers(client.frame()) == ["rest-1"]
    client.send(op="cancel", target=request)
    assert client.last(request)["status"] == "superseded"


# ---- in time ----------------------------------------------------------------------------------------------------


def test_a_plugin_s_deadline_makes_the_answer_partial(client):
    answer = client.query("spin:")
    assert (answer["items"], answer["status"]) == ([], "partial")
    (error,) = answer["errors"]
    assert (error["plugin"], error["code"]) == ("spin", "timeout")
    assert "250 ms" in error["message"]


def test_a_trap_is_an_error_beside_the_answer(client):
    answer = client.query("unreachable:")
    assert (answer["items"], answer["status"]) == ([], "complete")
    (error,) = answer["errors"]
    assert (error["plugin"], error["code"]) == ("unreachable", "trap")


def test_a_slow_plugin_does_not_keep_what_the_others_say(client, slow):
    answer = client.query("x", plugins=[slow, *RESTS])
    assert sorted(answerers(answer)) == RESTS
    assert [(error["plugin"], error["code"]) for error in answer["errors"]] == [(slow, "timeout")]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_the_slow_one_s_part_is_partial(client, slow, stream):
    assert client.query("x", plugins=[slow, *RESTS], stream=stream)["status"] == "partial"


@pytest.mark.parametrize("stream", [False, True])
def test_at_the_query_s_own_deadline_what_there_is_comes(client, stream):
    request = client.send(op="query", input="x", plugins=["endless", *RESTS], deadline_ms=600, stream=stream)
    frames = []
    while not frames or not frames[-1]["done"]:
        frames.append(client.frame())
    assert frames[-1]["id"] == request
    assert sorted(name for frame in frames for name in answerers(frame)) == RESTS
    assert frames[-1]["status"] == "partial"
    (error,) = frames[-1]["errors"]
    assert (error["plugin"], error["code"]) == ("endless", "timeout")
    assert "600 ms" in error["message"]


def test_a_deadline_of_nothing_gives_nothing(client):
    answer = client.query("spin:", deadline_ms=0)
    assert (answer["items"], answer["status"]) == ([], "partial")


def test_a_generous_deadline_changes_nothing(client):
    answer = client.query("a", deadline_ms=2**40)
    assert (answerers(answer), answer["status"]) == (["a"], "complete")


def test_while_its_plugin_is_compiled_a_query_waits_as_long_as_it_wants(idle_daemon, tmp_path):
    idle_daemon.cache = tmp_path / "cache"
    slow = with_module((BUNDLED / "echo.wasm").read_bytes(), huge_function(100_000))  # takes about a second
    idle_daemon.install(slow, "slow")
    client = idle_daemon.start().client()
    at_once = client.ask("query", input=">x", plugins=["slow"])
    assert at_once["items"] == []
    assert [(error["plugin"], error["code"]) for error in at_once["errors"]] == [("slow", "compiling")]
    request = client.send(op="query", input=">x", plugins=["slow"], wait_ms=20_000)
    event = client.frame()
    assert event.items() >= {"id": request, "type": "event", "event": "compiling", "plugin": "slow"}.items()
    assert not event["done"]
    assert [item["name"] for item in client.last(request)["items"]] == ["You typed: x"]


# ---- afterwards -------------------------------------------------------------------------------------------------


def test_a_key_leads_back_to_its_item_from_another_connection_too(running, client):
    (item,) = client.query("many:", limit=1)["items"]
    assert item.items() >= {"plugin": "many", "name": "one of many", "exec": "command", "keywords": ""}.items()
    other = running.client()
    answer = other.ask("activate", key=item["key"])
    other.close()
    assert (answer["type"], answer["item"]) == ("item", item)


def test_keys_are_unique(client):
    answers = [client.query(text, plugins=[*TRIGGERS, "many"]) for text in ("many:", "many:", "x", "x", "a", "a")]
    keys = [item["key"] for answer in answers for item in answer["items"]]
    assert len(set(keys)) == len(keys) == 2006
    for answer in answers:
        for item in (answer["items"][0], answer["items"][-1]):
            assert client.ask("activate", key=item["key"])["item"] == item


@pytest.mark.parametrize("key", ["", ".", "..", "1", "1.1.1", "\n", "é", "x" * 60_000, "../../etc/passwd"])
def test_a_key_that_was_never_given_is_unknown(client, key):
    answer = client.ask("activate", key=key)
    assert (answer["type"], answer["code"]) == ("error", "unknown-key")


def test_keys_near_a_real_one_are_unknown(client):
    (item,) = client.query("a")["items"]
    mark, answer, index = item["key"].split(".")
    for key in (
        f"{mark}.{answer}.1",
        f"{mark}.{int(answer) + 1000}.{index}",
        f"{mark}.{answer}.-1",
        f"{mark}.{answer}",
        f"x{mark}.{answer}.{index}",
        f"{mark}.{answer}.{index}.0",
        f"{mark}.{answer}. {index}",
    ):
        assert client.ask("activate", key=key)["code"] == "unknown-key", key


def rows(count, size=1):
    return [("n" * size, "e" * size, "k")] * count


def test_old_answers_are_forgotten_and_new_ones_not():
    memory = Memory()
    first = memory.keep("p", rows(10))
    last = [memory.keep("p", rows(1000)) for _ in range(REMEMBERED_ITEMS // 1000)][-1]
    with pytest.raises(RequestError) as caught:
        memory.recall(first[0].key)
    assert caught.value.code == "unknown-key"
    assert memory.recall(last[999].key) == last[999]
    assert memory._items <= REMEMBERED_ITEMS


def test_an_answer_larger_than_all_that_is_remembered_is_still_good():
    memory = Memory()
    items = memory.keep("p", rows(REMEMBERED_ITEMS + 1))
    assert memory.recall(items[-1].key) is items[-1]


def test_another_daemon_s_keys_are_unknown():
    (item,) = Memory().keep("p", rows(1))
    with pytest.raises(RequestError):
        Memory().recall(item.key)


def test_what_is_remembered_is_bounded_in_bytes():
    memory = Memory()
    for _ in range(100):
        memory.keep("p", [("n" * 4096, "e" * 60_000, "k" * 1000)] * 60)  # within the limits of one answer: 4 MB
    held = sum(len(item.exec) + len(item.name) for items in memory._answers.values() for item in items)
    assert held < 100_000_000


def test_a_key_of_thousands_of_digits_is_unknown():
    memory = Memory()
    (item,) = memory.keep("p", rows(1))
    with pytest.raises(RequestError):
        memory.recall(item.key.replace(".", "." + "1" * 5000, 1))


# ---- counts -----------------------------------------------------------------------------------------------------


def test_what_happened_is_counted(running, client):
    def plugin(name):
        found = [plugin for plugin in client.ask("stats")["plugins"] if plugin["plugin"] == name]
        return found[0] if found else {"calls": 0, "errors": {}}

    before, queries = {name: plugin(name) for name in ("ab", "unreachable")}, client.ask("stats")["queries"]
    for text in ("ab", "abx", "unreachable:"):
        client.query(text)
    assert client.ask("stats")["queries"] == queries + 3
    assert plugin("ab")["calls"] == before["ab"]["calls"] + 2
    assert plugin("unreachable")["errors"]["trap"] == before["unreachable"]["errors"].get("trap", 0) + 1
    latency = plugin("ab")["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] < 60_000
    stats = client.ask("stats")
    assert stats["pid"] == running.process.pid
    assert stats["workers"] >= 2
    assert stats["sessions"] >= 1
    assert stats["uptime_s"] > 0
