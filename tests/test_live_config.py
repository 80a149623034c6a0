"""config.toml while the daemon runs: what changes is applied to whom it concerns, and what is wrong changes nothing."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemons import BUNDLED, GUESTS, component, eventually


@contextmanager
def watched(daemon):
    """The changes of state that happen in the block, as (plugin, event)."""
    client = daemon.client()
    client.send(op="watch", id="watch")
    client.ask("hello")
    events = []
    yield events
    client.send(op="cancel", id="cancel", target="watch")
    for frame in client.frames():
        if frame["type"] == "event":
            events.append((frame["plugin"], frame["event"]))
        elif frame["id"] == "watch":
            break


@pytest.fixture
def write(idle_daemon):
    """Write config.toml, and have it applied."""

    def write(text, code=None):
        idle_daemon.config.write_text(text)
        if idle_daemon.process is not None:
            answer = idle_daemon.client().ask("reload")
            assert answer.get("code") == code, answer

    return write


@pytest.fixture
def client(idle_daemon):
    """Asks a daemon with the bundled plugins and two more, `one` and `two`."""
    for name in ("one", "two"):
        idle_daemon.install(component(name, f"{name}:"), name)
    client = idle_daemon.start().client()
    for name in ("one", "two", *(path.stem for path in BUNDLED.glob("*.wasm"))):
        assert client.settled(name)["state"] == "ready"
    return client


# ---- only where something changed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        'trigger = "1:"',
        'deadline = "2s"',
        'memory = "32MiB"',
        "max_items = 5",
        "settings = { depth = 3 }",
        "grants = { clock = true }",
        'grants = { env = ["EDITOR"] }',
        'grants = { read = ["/usr"] }',
    ],
)
def test_a_plugin_s_section_concerns_that_plugin_alone(idle_daemon, client, write, setting):
    before = client.plugin("two")
    with watched(idle_daemon) as events:
        write(f"[plugins.one]\n{setting}\n")
        write(f"# a comment\n[plugins.one]\n{setting}\n[plugins.nobody]\n{setting}\n[plugins.two]\n")
    assert events == [("one", "ready")]
    assert client.plugin("two") == before
    assert client.names("two:", wait_ms=0) == ["two"]
    write("")
    assert client.names("one:", wait_ms=0) == ["one"]
    assert client.plugin("one")["grants"] == {}


def test_a_change_is_noticed_without_being_told(idle_daemon, client):
    idle_daemon.config.write_text('[plugins.one]\ntrigger = "new:"\n')
    eventually(lambda: client.names("new:", wait_ms=0) == ["one"])
    assert client.names("one:", wait_ms=0) == []
    aside = idle_daemon.home / "aside"
    aside.write_text('[plugins.one]\ntrigger = "newer:"\n')
    aside.rename(idle_daemon.config)
    eventually(lambda: client.names("newer:", wait_ms=0) == ["one"])
    idle_daemon.config.unlink()
    eventually(lambda: client.names("one:", wait_ms=0) == ["one"])


def test_sighup_has_it_read(idle_daemon, client):
    idle_daemon.config.write_text('[plugins.one]\ntrigger = "new:"\n')
    idle_daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: client.names("new:", wait_ms=0) == ["one"])


def test_what_concerns_all_is_given_to_all(idle_daemon, write):
    idle_daemon.install(GUESTS / "config.wat")
    client = idle_daemon.start().client()
    assert client.names("config:") == ["{}"]
    write("settings = { theme = 'dark', size = 1 }\n")
    assert client.names("config:") == ['{"theme":"dark","size":1}']
    write("settings = { theme = 'dark', size = 1 }\n[plugins.config.settings]\nsize = 2\n")
    assert client.names("config:") == ['{"theme":"dark","size":2}']
    write("[plugins.other.settings]\nsize = 2\n")
    assert client.names("config:") == ["{}"]


def test_a_deadline_is_the_new_one_from_then_on(idle_daemon, write):
    idle_daemon.install(GUESTS / "spin.wat")
    client = idle_daemon.start().client()
    client.settled("spin")
    for deadline in ("300ms", "50ms"):
        write(f"[plugins.spin]\ndeadline = '{deadline}'\n")
        (error,) = client.query("spin:")["errors"]
        assert deadline.removesuffix("ms") in error["message"]


def test_a_limit_on_items_is_the_new_one_from_then_on(idle_daemon, write):
    idle_daemon.install(component("many", "many:", count=10), "many")
    client = idle_daemon.start().client()
    assert len(client.names("many:")) == 10
    write("[plugins.many]\nmax_items = 3\n")
    answer = client.query("many:")
    assert (len(answer["items"]), [error["code"] for error in answer["errors"]]) == (3, ["too-large"])


def test_a_grant_holds_from_then_on_and_what_is_taken_back_is_gone(idle_daemon, write):
    folder = idle_daemon.home / "granted"
    folder.mkdir()
    (folder / "file").write_text("text")
    idle_daemon.install(GUESTS / "files-read.wat")
    client = idle_daemon.start().client()
    assert client.names("files-read:") == ["none"]
    assert client.plugin("files-read")["denied"] != []
    for _ in range(2):
        write(f"[plugins.files-read]\ngrants = {{ read = ['{folder}'] }}\n")
        assert client.names("files-read:") == ["text"]
        assert client.plugin("files-read")["grants"] == {"read": [str(folder)]}
        assert client.plugin("files-read")["denied"] == []
        write("")
        assert client.names("files-read:") == ["none"]


def test_a_grant_that_can_not_be_given_is_a_problem_until_it_can(idle_daemon, client, write):
    folder = idle_daemon.home / "later"
    write(f"[plugins.one]\ngrants = {{ read = ['{folder}', '~/'] }}\n")
    (problem,) = (text for text in client.plugin("one")["problems"] if "later" in text)
    assert "there is no" in problem
    assert client.names("one:", wait_ms=0) == ["one"]
    folder.mkdir()
    assert client.ask("reload")["type"] == "ok"
    assert [text for text in client.plugin("one")["problems"] if "later" in text] == []


def test_switched_off_and_on(idle_daemon, client, write):
    with watched(idle_daemon) as events:
        write("[plugins.one]\nenabled = false\n")
        assert client.plugin("one")["state"] == "disabled"
        assert client.names("one:", wait_ms=0) == []
        write("[plugins.one]\nenabled = true\n")
        assert client.names("one:", wait_ms=0) == ["one"]
    assert events == [("one", "disabled"), ("one", "ready")]


# ---- workers ----------------------------------------------------------------------------------------------------


def test_workers_come_and_go_as_configured(idle_daemon, client, write):
    for count in (2, 5, 3, 2):
        write(f"workers = {count}\n")
        eventually(lambda count=count: client.ask("stats")["workers"] == count == len(idle_daemon.workers()))
        assert client.names("one:", wait_ms=0) == ["one"]
    write("")
    eventually(lambda: client.ask("stats")["workers"] == 2)


def test_that_workers_come_or_are_reloaded_costs_no_answer(idle_daemon, client, write):
    end, answers = threading.Event(), []

    def ask():
        asker = idle_daemon.client()
        while not end.is_set():
            answers.append(asker.query("two:", wait_ms=0))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for count, trigger in itertools.product((2, 4, 6), ("a:", "b:")):
            write(f"workers = {count}\n[plugins.one]\ntrigger = '{trigger}'\n")
    finally:
        end.set()
        thread.join()
    assert {(answer["items"][0]["name"], len(answer["errors"])) for answer in answers} == {("two", 0)}


def runs(pid):
    """Whether a process is busy."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def test_that_there_are_fewer_workers_costs_no_answer(idle_daemon, write):
    spin = "[plugins.a]\ndeadline = '2s'\ntrigger = 'a:'\n[plugins.b]\ndeadline = '2s'\ntrigger = 'b:'\n"
    write(f"workers = 4\n{spin}")
    for name in ("a", "b"):
        idle_daemon.install(GUESTS / "spin.wat", name)
    client = idle_daemon.start().client()
    for name in ("a", "b", "echo", "calc"):
        client.settled(name)
    eventually(lambda: client.ask("stats")["workers"] == 4 == len(idle_daemon.workers()))
    requests = [client.send(op="query", input=text) for text in ("a:", "b:")]
    eventually(lambda: sum(map(runs, idle_daemon.workers())) == 2)
    requests += [client.send(op="query", input=text) for text in ("a:", "b:")]
    eventually(lambda: sum(map(runs, idle_daemon.workers())) == 4)
    idle_daemon.config.write_text(f"workers = 2\n{spin}")
    idle_daemon.process.send_signal(signal.SIGHUP)
    answers = {frame["id"]: frame for frame in itertools.islice(client.frames(), 4)}
    assert [answers[request]["errors"][0]["code"] for request in requests] == ["timeout"] * 4


# ---- a broken file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("workers = 1\n", 1, ["workers", "2"]),
        ("\n\n[plugins.one]\ndeadlin = '1s'\n", 4, ["deadlin"]),
        ("[plugins.one]\ndeadline = 5\n", 2, ["deadline", "500ms"]),
        ("[plugins.one]\nmemory = '64MB'\n", 2, ["memory", "64KiB", "4GiB"]),
        ("[plugins.one]\ntrigger = 5\n", 2, ["trigger", "str"]),
        ("[plugins.one]\nenabled = 'no'\n", 2, ["enabled", "bool"]),
        ("[plugins.one]\nmax_items = 0\n", 2, ["max_items", "1"]),
        ("[plugins.one]\ngrants = { reed = [] }\n", 2, ["reed"]),
        ("[plugins.one]\ngrants = { read = '~' }\n", 2, ["read", "array"]),
        ("[plugin.one]\n", 1, ["plugin"]),
        ("workers = 3\nworkers = 3\n", 2, []),
        ("workers = \n", 1, []),
        ("workers = 3\n[plugins.one\n", 2, []),
    ],
)
def test_a_broken_file_changes_nothing_and_is_reported_until_it_is_mended(idle_daemon, client, write, text, line, said):
    write('workers = 3\n[plugins.one]\ntrigger = "1:"\n')
    eventually(lambda: client.ask("stats")["workers"] == 3)
    eventually(lambda: client.names("1:", wait_ms=0) == ["one"])
    with watched(idle_daemon) as events:
        write(text, code="config")
        problem = client.ask("plugins")["problem"]
        assert f"line {line}" in problem
        assert str(idle_daemon.config) in problem
        for word in said:
            assert word in problem
        write(text, code="config")
        idle_daemon.process.send_signal(signal.SIGHUP)
        assert client.ask("plugins")["problem"] == problem
        assert client.names("1:", wait_ms=0) == ["one"]
        assert client.ask("stats")["workers"] == 3
    assert events == []
    assert idle_daemon.said().count(problem) == 1
    write('workers = 3\n[plugins.one]\ntrigger = "1:"\n')
    assert client.ask("plugins")["problem"] is None
    assert "is valid again" in idle_daemon.said()


@pytest.mark.parametrize("kind", ["no UTF-8", "a folder", "a loop", "a link to nothing", "a FIFO"])
def test_a_file_that_can_not_be_read_is_a_broken_one(idle_daemon, client, write, kind):
    write('[plugins.one]\ntrigger = "1:"\n')
    match kind:
        case "no UTF-8":
            idle_daemon.config.write_bytes(b"\xff")
        case "a folder":
            idle_daemon.config.unlink()
            idle_daemon.config.mkdir()
        case "a loop":
            idle_daemon.config.unlink()
            idle_daemon.config.symlink_to(idle_daemon.config)
        case "a link to nothing":
            idle_daemon.config.unlink()
            idle_daemon.config.symlink_to("nowhere")
        case "a FIFO":
            idle_daemon.config.unlink()
            os.mkfifo(idle_daemon.config)
    assert client.ask("reload")["code"] == "config"
    assert str(idle_daemon.config) in client.ask("plugins")["problem"]
    assert client.names("1:", wait_ms=0) == ["one"]


def test_a_plugin_changes_also_while_the_configuration_is_broken(idle_daemon, client, write):
    write('[plugins.one]\ntrigger = "1:"\n')
    write("broken", code="config")
    idle_daemon.install(component("other", "one:"), "one")
    eventually(lambda: client.names("1:", wait_ms=0) == ["other"])


def test_a_configuration_that_is_a_link_is_followed(idle_daemon, client):
    target = idle_daemon.home / "dotfiles"
    target.mkdir()
    (target / "swift.toml").write_text('[plugins.one]\ntrigger = "1:"\n')
    idle_daemon.config.symlink_to(target / "swift.toml")
    eventually(lambda: client.names("1:", wait_ms=0) == ["one"])
    (target / "swift.toml").write_text('[plugins.one]\ntrigger = "2:"\n')
    eventually(lambda: client.names("2:", wait_ms=0) == ["one"])


def test_its_time_may_be_any(idle_daemon, client):
    for trigger, when in (("1:", 0), ("2:", 2**33), ("3:", time.time() - 10**8)):
        aside = idle_daemon.home / "aside"
        aside.write_text(f'[plugins.one]\ntrigger = "{trigger}"\n')
        os.utime(aside, (when, when))
        aside.rename(idle_daemon.config)
        eventually(lambda trigger=trigger: client.names(trigger, wait_ms=0) == ["one"])


# ---- triggers ---------------------------------------------------------------------------------------------------


def test_the_longest_matching_trigger_wins(idle_daemon):
    for trigger in ("f", "fi", "file:"):
        idle_daemon.install(component(f"<{trigger}>", trigger), trigger.rstrip(":"))
    client = idle_daemon.start().client()
    for name in ("f", "fi", "file"):
        client.settled(name)
    assert client.names("file:x") == ["<file:>"]
    assert client.names("file") == ["<fi>"]
    assert client.names("fo") == ["<f>"]
    client.ask("disable", plugin="fi")
    assert client.names("file") == ["<f>"]
    assert client.names("file:x", plugins=["f"]) == ["<f>"]


def test_of_two_with_one_trigger_the_first_by_name_answers_and_both_say_so(idle_daemon, write):
    for name in ("alpha", "beta"):
        idle_daemon.install(component(name, "same:"), name)
    client = idle_daemon.start().client()
    for name in ("alpha", "beta"):
        client.settled(name)
    assert client.names("same:") == ["alpha"]
    for name in ("alpha", "beta"):
        (problem,) = client.plugin(name)["problems"]
        assert "'same:' is alpha's, so beta never answers" in problem
    assert idle_daemon.said().count("beta never answers") == 1
    assert client.names("same:", plugins=["beta"]) == ["beta"]
    write("[plugins.beta]\ntrigger = 'other:'\n")
    assert client.names("other:") == ["beta"]
    assert client.names("same:") == ["alpha"]
    assert client.plugin("alpha")["problems"] == client.plugin("beta")["problems"] == []


def test_a_trigger_of_a_user_s_plugin_beats_a_bundled_one(idle_daemon):
    idle_daemon.install(component("mine", ">"), "zzz")
    client = idle_daemon.start().client()
    client.settled("zzz"), client.settled("echo")
    assert client.names(">x") == ["mine"]
    assert "'>' is zzz's, so echo never answers" in client.plugin("echo")["problems"][0]


def test_plugins_with_the_empty_trigger_answer_together_what_no_other_claims(idle_daemon, write):
    for name in ("one", "two"):
        idle_daemon.install(component(name, ""), name)
    idle_daemon.install(component("three", "3:"), "three")
    client = idle_daemon.start().client()
    for name in ("one", "two", "three", "echo", "calc"):
        client.settled(name)
    assert sorted(client.names("whatever")) == sorted(client.names("")) == ["one", "two"]
    assert client.names("3:x") == ["three"]
    assert client.plugin("one")["problems"] == []
    write("[plugins.three]\ntrigger = ''\n[plugins.one]\ntrigger = '1:'\n")
    assert sorted(client.names("whatever")) == ["three", "two"]
    assert client.names("1:") == ["one"]
    assert client.names("1:", plugins=["two"]) == ["two"]


def test_a_trigger_may_be_any_text(idle_daemon, client, write):
    for trigger in ("ü", "\U0001f600", "a b", "  ", "\U0001f468\u200d\U0001f4bb ", "\uf002", "か\u3000", "x" * 64):
        write(f"[plugins.one]\ntrigger = '{trigger}'\n")
        assert client.names(f"{trigger}x", wait_ms=0) == ["one"]


# ---- what can be written in TOML but not be handed on -----------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "0x7fffffffffffffff", "inf", "[[]]"]
)
def test_any_setting_that_toml_can_say_is_handed_on(idle_daemon, write, value):
    idle_daemon.install(GUESTS / "config.wat")
    idle_daemon.config.write_text(f"[plugins.config.settings]\nx = {value}\n")
    client = idle_daemon.start().client()
    assert client.settled("config")["state"] == "ready"
    assert client.names("config:")[0].startswith('{"x":')


def test_an_integer_that_is_too_large_is_an_error_of_the_file(idle_daemon, client, write):
    write(f"[plugins.one.settings]\nx = {10**30}\n", code="config")
    assert client.names("one:", wait_ms=0) == ["one"]


def test_a_setting_that_is_not_a_number_is_an_error_of_the_file(client, write):
    """It would be unlike itself: the file would seem to change at every look."""
    write("[plugins.one.settings]\nx = nan\n", code="config")
    assert client.names("one:", wait_ms=0) == ["one"]


# ---- what has no effect -----------------------------------------------------------------------------------------


def test_a_section_for_no_plugin_is_said_until_there_is_one_and_is_in_force_then(idle_daemon, client, write):
    write(
        "[plugins.One]\ntrigger = 'x:'\n[plugins.'two.wasm']\n[plugins.later.settings]\na = 1\n"
        "[plugins.later]\ntrigger = 'new:'\n[plugins.one]\n"
    )
    assert client.ask("plugins")["notices"] == [
        "line 1: `[plugins.One]`: there is no plugin 'One': did you mean 'one'?",
        'line 3: `[plugins."two.wasm"]`: write the name without .wasm: `[plugins.two]`',
        "line 4: `[plugins.later]`: there is no plugin 'later' (yet)",
    ]
    assert client.ask("plugins")["problem"] is None
    client.ask("reload")
    assert idle_daemon.said().count("there is no plugin 'One'") == 1
    idle_daemon.install(component("later", "later:"), "later")
    client.ask("reload")
    assert [notice for notice in client.ask("plugins")["notices"] if "later" in notice] == []
    assert client.names("new:", wait_ms=0) == ["later"]
    write("")
    assert client.ask("plugins")["notices"] == []


def test_a_plugin_that_is_switched_off_or_refused_is_there(idle_daemon, client, write):
    idle_daemon.install("rubbish", "rubbish")
    write("[plugins.one]\nenabled = false\n[plugins.rubbish]\nmax_items = 5\n")
    assert client.ask("plugins")["notices"] == []


# ---- any content ------------------------------------------------------------------------------------------------


def test_a_file_that_takes_long_to_read_holds_up_nobody(idle_daemon, client, write):
    """The largest that is allowed, in the form that TOML's reader takes longest for."""
    lines = (f"a{number}{'.b' * 12} = 1\n" for number in range(6000))
    text = "[plugins.one.settings]\n" + "".join(lines)
    reloading = idle_daemon.client()
    idle_daemon.config.write_text(text)
    request = reloading.send(op="reload")
    waits = []
    reloading.socket.settimeout(0)
    while True:
        asked = time.monotonic()
        assert client.names("two:", wait_ms=0) == ["two"]
        waits.append(time.monotonic() - asked)
        try:
            frame = reloading.frame()
        except BlockingIOError:
            continue
        break
    assert (frame["id"], frame["type"]) == (request, "ok")
    assert max(waits) < sum(waits) / 2


@pytest.mark.parametrize("dots", [990, 10_000, 80_000])
def test_a_key_of_very_many_parts_ends_nothing_while_it_runs_or_at_the_start(idle_daemon, client, write, dots):
    said = "the key has more than 16 parts"
    idle_daemon.config.write_text(f"settings{'.a' * dots} = 1\n")
    answer = client.ask("reload")
    assert (answer["code"], said in answer["message"]) == ("config", True)
    assert client.names("one:", wait_ms=0) == ["one"]
    idle_daemon.stop()
    client = idle_daemon.start().client()
    assert said in client.ask("plugins")["problem"]
    assert client.names("one:") == ["one"]


def test_a_plugin_folder_that_can_not_be_read_takes_nothing_away_and_is_told_of(idle_daemon, client):
    away = idle_daemon.plugins.rename(idle_daemon.home / "away")
    idle_daemon.plugins.symlink_to(idle_daemon.plugins)
    assert client.ask("reload")["type"] == "ok"
    answer = client.ask("plugins")
    (trouble,) = answer["troubles"]
    assert trouble == f"the plugin folder can't be read: {idle_daemon.plugins}: too many levels of symbolic links"
    assert {plugin["state"] for plugin in answer["plugins"]} == {"ready"}
    assert client.names("one:", wait_ms=0) == ["one"]
    idle_daemon.plugins.unlink()
    away.rename(idle_daemon.plugins)
    eventually(lambda: client.ask("plugins")["troubles"] == [])
    assert client.names("one:", wait_ms=0) == ["one"]
    assert idle_daemon.said().count("one: ready") == 1
