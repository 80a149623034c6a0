"""Plugins that come, change and go under a daemon that runs, and under clients that never stop asking."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from daemons import BUNDLED, GUESTS, PATIENCE, WireClient, component, eventually
from guests.cases import huge_function, with_module

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def exchange(one, other):
    """Swap two names in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE)
    if done != 0:
        pytest.skip(f"this file system can't swap two names: {os.strerror(ctypes.get_errno())}")


def slow(steps, name="slow"):
    """A plugin that takes a while to compile: a tenth of a second for 10,000 steps."""
    return with_module((BUNDLED / "echo.wasm").read_bytes(), huge_function(steps)), name


class Asker(threading.Thread):
    """Asks the same questions without pause, from a connection of its own, and keeps every answer."""

    def __init__(self, daemon, *questions):
        super().__init__()
        self.answers = []
        """Of each question: the question, the rows as plugin and name, and the errors."""
        self._client = WireClient(daemon.socket)
        self._questions = questions
        self._end = threading.Event()

    def run(self):
        for question in itertools.cycle(self._questions):
            if self._end.is_set():
                return
            answer = self._client.query(question, wait_ms=0)
            rows = [(item["plugin"], item["name"]) for item in answer["items"]]
            self.answers.append((question, rows, answer["errors"]))

    def __enter__(self):
        self.start()
        self.until(len(self._questions))
        return self

    def until(self, more):
        """Wait for so many answers more."""
        enough = len(self.answers) + more
        eventually(lambda: len(self.answers) >= enough)

    def until_answer(self, question, *rows):
        eventually(lambda: (question, list(rows), []) in self.answers[-50:])

    def __exit__(self, *_):
        self._end.set()
        self.join(PATIENCE)
        self._client.close()
        assert not self.is_alive()

    def seen(self, question):
        """The different answers to a question, in order, repetitions left out."""
        assert [errors for _, _, errors in self.answers if errors] == []
        rows = [rows for asked, rows, _ in self.answers if asked == question]
        return [key for key, _ in itertools.groupby(rows)]


@contextmanager
def watched(daemon):
    """Collects the events of one connection as (plugin, event, message) until the block ends."""
    client = daemon.client()
    client.send(op="watch", id="watch")
    client.ask("hello")
    events = []
    yield events
    client.send(op="cancel", id="cancel", target="watch")
    for frame in client.frames():
        if frame["type"] == "event":
            events.append((frame["plugin"], frame["event"], frame["message"]))
        elif frame["id"] == "watch":
            break


def becomes(client, text, *names):
    """Wait until a query has this answer."""
    return eventually(lambda: client.names(text, wait_ms=0) == list(names) or None)


# ---- one file ---------------------------------------------------------------------------------------------------


def by_rename(path, content):
    aside = path.with_name("aside")
    aside.write_text(content)
    aside.rename(path)


def in_place(path, content):
    path.write_text(content)


def by_slow_copy(path, content):
    """In pieces, over longer than a burst of changes may last."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(content), len(content) // 6):
            file.write(content[at : at + len(content) // 6].encode())
            time.sleep(0.3)  # this is what is tried, and waits for nothing


def truncated_first(path, content):
    with path.open("wb") as file:
        file.flush()
        time.sleep(0.4)  # long enough to be looked at
        file.write(content.encode())


def by_link(path, content):
    target = path.with_name("target")
    target.write_text(content)
    link = path.with_name("link")
    link.symlink_to("target")
    link.rename(path)


REPLACEMENTS = [by_rename, in_place, by_slow_copy, truncated_first, by_link]


@pytest.mark.parametrize("replace", REPLACEMENTS, ids=lambda replace: replace.__name__)
def test_who_asks_without_pause_gets_the_old_answer_and_then_the_new_and_nothing_else(idle_daemon, replace):
    path = idle_daemon.install(component("old", "v:"), "it")
    assert idle_daemon.start().client().names("v:") == ["old"]
    with Asker(idle_daemon, "v:") as asker:
        replace(path, component("new", "v:"))
        asker.until_answer("v:", ("it", "new"))
        asker.until(100)
    assert asker.seen("v:") == [[("it", "old")], [("it", "new")]]


def test_a_version_that_takes_long_to_compile_is_waited_for_by_nobody(idle_daemon):
    path = idle_daemon.install((BUNDLED / "echo.wasm"), "echo")
    idle_daemon.cache = idle_daemon.home / "cache"
    client = idle_daemon.start().client()
    assert client.names(">x") == ["You typed: x"]
    assert client.settled("calc")["state"] == "ready"
    with Asker(idle_daemon, ">x") as asker, watched(idle_daemon) as events:
        content, _ = slow(100_000)
        path.write_bytes(content)
        eventually(lambda: len(idle_daemon.workers()) == 3)  # it compiles
        asker.until(100)
        assert client.plugin("echo")["state"] == "ready"
        eventually(lambda: client.plugin("echo")["size"] == len(content) and len(idle_daemon.workers()) == 2)
        asker.until(100)
    assert asker.seen(">x") == [[("echo", "You typed: x")]]
    assert events == [("echo", "ready", None)]
    assert client.plugin("echo")["times"]["compile_ms"] > 100


def test_a_new_file_is_a_plugin_and_a_removed_one_is_none(daemon):
    client = daemon.client()
    path = daemon.install(component("one", "v:"), "it")
    becomes(client, "v:", "one")
    with watched(daemon) as events:
        path.unlink()
        eventually(lambda: client.plugin("it") is None)
        assert client.names("v:", wait_ms=0) == []
    assert events == [("it", "gone", None)]


def test_a_query_right_after_a_file_was_put_there_is_answered_by_it(daemon):
    client = daemon.client()
    client.settled("echo")
    for number in range(5):
        daemon.install(component(f"new {number}", f"n{number}:"), f"new-{number}")
        assert client.names(f"n{number}:x") == [f"new {number}"]
        (daemon.plugins / f"new-{number}.wasm").unlink()


def test_a_plugin_whose_file_was_put_there_just_now_can_be_named(daemon):
    client = daemon.client()
    client.settled("echo")
    for number, ask in enumerate(
        (
            lambda name: client.query(f"{name}:", plugins=[name]),
            lambda name: client.ask("logs", plugin=name),
            lambda name: client.ask("disable", plugin=name),
            lambda name: client.ask("reload", plugin=name),
        )
    ):
        daemon.install(component("new", f"new-{number}:"), f"new-{number}")
        assert ask(f"new-{number}")["type"] != "error"
    daemon.install(component("new", "listed:"), "listed")
    assert client.plugin("listed") is not None


def test_a_query_that_does_not_wait_is_answered_at_once(daemon):
    client = daemon.client()
    client.settled("echo")
    daemon.install(component("new", "new:"), "new")
    assert client.query("new:x", wait_ms=0)["type"] == "results"
    assert client.names("new:x") == ["new"]


@pytest.mark.parametrize("name", [None, "new"])
def test_reload_returns_when_a_new_file_serves(daemon, name):
    client = daemon.client()
    client.settled("echo")
    for number in range(3):
        text = component(f"new {number}", f"n{number}:")
        daemon.install(text, "new")
        assert client.ask("reload", plugin=name)["type"] == "ok"
        assert client.names(f"n{number}:", wait_ms=0) == [f"new {number}"]
        (daemon.plugins / "new.wasm").unlink()
        client.ask("reload")
        assert client.plugin("new") is None


def test_reload_of_a_new_file_that_is_no_plugin_says_so(daemon):
    client = daemon.client()
    daemon.install("rubbish", "new")
    answer = client.ask("reload", plugin="new")
    assert (answer["type"], answer["code"]) == ("error", "refused")
    assert answer["message"].startswith("new: expected a WebAssembly component")


def test_a_renamed_file_is_another_plugin(daemon):
    client = daemon.client()
    path = daemon.install(component("one", "v:"), "before")
    becomes(client, "v:", "one")
    with Asker(daemon, "v:") as asker:
        path.rename(path.with_name("after.wasm"))
        asker.until_answer("v:", ("after", "one"))
    assert asker.seen("v:") == [[("before", "one")], [("after", "one")]]


@pytest.mark.parametrize("content", ["", "rubbish", "(component", "(component)", "\0asm\x0d\0\1\0rubbish"])
def test_a_new_version_that_is_refused_leaves_the_old_one_serving_and_is_shown_everywhere(idle_daemon, content):
    path = idle_daemon.install(component("old", "v:"), "it")
    client = idle_daemon.start().client()
    assert client.names("v:") == ["old"]
    with Asker(idle_daemon, "v:") as asker, watched(idle_daemon) as events:
        path.write_text(content)
        error = eventually(lambda: client.plugin("it")["error"])
        asker.until(50)
        for _ in range(2):  # looking again is no news
            idle_daemon.process.send_signal(signal.SIGHUP)
            assert client.plugin("it")["error"] == error
    assert asker.seen("v:") == [[("it", "old")]]
    assert client.plugin("it")["state"] == "ready"
    assert events == [("it", "ready", error)]
    assert error in [line["text"] for line in client.ask("logs", plugin="it")["lines"]]
    assert idle_daemon.said().count(error) == 1
    answer = client.ask("reload", plugin="it")
    assert (answer["type"], answer["code"]) == ("error", "refused")
    assert error in answer["message"]
    path.write_text(component("new", "v:"))
    becomes(client, "v:", "new")
    assert client.plugin("it")["error"] is None


def test_one_that_traps_when_asked_for_its_trigger_is_a_refused_version_too(idle_daemon):
    path = idle_daemon.install(component("old", "v:"), "it")
    client = idle_daemon.start().client()
    assert client.names("v:") == ["old"]
    path.write_text((GUESTS / "trigger-trap.wat").read_text())
    eventually(lambda: "get-trigger" in (client.plugin("it")["error"] or ""))
    assert client.names("v:", wait_ms=0) == ["old"]


def touch(path):
    path.touch()


def write_again(path):
    path.write_bytes(path.read_bytes())


def copy_over(path):
    shutil.copy(path, path.with_name("aside"))
    path.with_name("aside").rename(path)


def far_future(path):
    os.utime(path, (2**33, 2**33))


def far_past(path):
    os.utime(path, (0, 0))


def link_to_itself(path):
    path.rename(path.with_name("target"))
    path.symlink_to("target")


@pytest.mark.parametrize(
    "change", [touch, write_again, copy_over, far_future, far_past, link_to_itself], ids=lambda change: change.__name__
)
def test_the_same_content_costs_nothing(idle_daemon, change):
    path = idle_daemon.install(component("one", "v:"), "it")
    client = idle_daemon.start().client()
    before = client.settled("it")
    with watched(idle_daemon) as events:
        change(path)
        assert client.ask("reload")["type"] == "ok"
        assert client.names("v:") == ["one"]
    assert [event for event in events if event[0] == "it"] == []
    assert client.plugin("it") == before


def test_a_linked_file_is_followed_where_it_lies(daemon):
    built = daemon.home / "target"
    built.mkdir()
    (built / "out.wasm").write_text(component("one", "v:"))
    (daemon.plugins / "it.wasm").symlink_to(built / "out.wasm")
    client = daemon.client()
    becomes(client, "v:", "one")
    (built / "out.wasm").write_text(component("two", "v:"))
    becomes(client, "v:", "two")
    by_rename(built / "out.wasm", component("three", "v:"))
    becomes(client, "v:", "three")


@pytest.mark.parametrize("when", [0, 2**31 - 1, 2**33])
def test_a_file_with_a_time_of_another_age_is_replaced_like_any_other(idle_daemon, when):
    path = idle_daemon.install(component("one", "v:"), "it")
    os.utime(path, (when, when))
    client = idle_daemon.start().client()
    assert client.names("v:") == ["one"]
    aside = path.with_name("aside")
    aside.write_text(component("two", "v:"))
    os.utime(aside, (when, when))
    aside.rename(path)
    becomes(client, "v:", "two")


# ---- several files ----------------------------------------------------------------------------------------------


def by_three_renames(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize("swap", [exchange, by_three_renames], ids=lambda swap: swap.__name__)
def test_when_two_files_swap_names_no_query_sees_neither_or_a_mix(idle_daemon, swap):
    one = idle_daemon.install(component("first", "s:"), "a")
    other = idle_daemon.install(component("second", "t:"), "b")
    client = idle_daemon.start().client()
    assert (client.names("s:"), client.names("t:")) == (["first"], ["second"])
    with Asker(idle_daemon, "s:", "t:") as asker:
        swap(one, other)
        asker.until_answer("s:", ("b", "first"))
        asker.until(50)
    before = {"s:": [("a", "first")], "t:": [("b", "second")]}
    after = {"s:": [("b", "first")], "t:": [("a", "second")]}
    assert {rows == after[question] for question, rows, _ in asker.answers} == {False, True}
    first = next(n for n, (question, rows, _) in enumerate(asker.answers) if rows == after[question])
    assert all((rows, errors) == (before[question], []) for question, rows, errors in asker.answers[:first])
    assert all((rows, errors) == (after[question], []) for question, rows, errors in asker.answers[first:])


def test_a_burst_of_a_hundred_files_is_a_hundred_plugins(daemon):
    client = daemon.client()
    becomes(client, ">x", "You typed: x")
    with Asker(daemon, ">x") as asker:
        for number in range(100):
            daemon.install(component(f"n{number}", f"t{number}:"), f"p{number}")
        eventually(lambda: [client.plugin(f"p{n}") for n in (0, 99)].count(None) == 0)
        for number in range(100):
            assert client.names(f"t{number}:") == [f"n{number}"]
        for path in daemon.plugins.iterdir():
            path.unlink()
        eventually(lambda: len(client.ask("plugins")["plugins"]) == len(list(BUNDLED.glob("*.wasm"))))
    assert asker.seen(">x") == [[("echo", "You typed: x")]]


def test_a_file_of_one_s_own_hides_the_bundled_one_until_it_goes(daemon):
    client = daemon.client()
    assert client.names(">x") == ["You typed: x"]
    path = daemon.install(component("mine", ">"), "echo")
    becomes(client, ">x", "mine")
    plugin = client.plugin("echo")
    assert (plugin["bundled"], plugin["path"]) == (False, str(path))
    with Asker(daemon, ">x") as asker:
        path.unlink()
        asker.until_answer(">x", ("echo", "You typed: x"))
    assert asker.seen(">x") == [[("echo", "mine")], [("echo", "You typed: x")]]
    assert client.plugin("echo")["bundled"]


# ---- the folder -------------------------------------------------------------------------------------------------


def test_a_folder_that_is_missing_at_first_is_found_when_it_comes(idle_daemon):
    idle_daemon.plugins.rmdir()
    idle_daemon.plugins = idle_daemon.home / "later" / "and" / "deeper"
    client = idle_daemon.start().client()
    assert client.names(">x") == ["You typed: x"]
    idle_daemon.plugins.mkdir(parents=True)
    idle_daemon.install(component("one", "v:"), "it")
    becomes(client, "v:", "one")


def test_a_folder_that_is_removed_and_made_again_keeps_working(daemon):
    client = daemon.client()
    for number in range(3):
        daemon.install(component(f"n{number}", "v:"), "it")
        becomes(client, "v:", f"n{number}")
        shutil.rmtree(daemon.plugins)
        daemon.plugins.mkdir()
    becomes(client, "v:")
    assert client.plugin("it") is None
    daemon.install(component("last", "v:"), "it")
    becomes(client, "v:", "last")


def test_a_folder_that_is_replaced_by_a_link_keeps_working_and_so_does_the_link_when_it_leads_elsewhere(daemon):
    client = daemon.client()
    places = [daemon.home / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
        (place / "it.wasm").write_text(component(f"in {place.name}", "v:"))
    daemon.plugins.rmdir()
    daemon.plugins.symlink_to("one")
    becomes(client, "v:", "in one")
    link = daemon.home / "link"
    link.symlink_to(places[1])
    link.rename(daemon.plugins)
    becomes(client, "v:", "in two")
    (places[1] / "it.wasm").write_text(component("saved", "v:"))
    becomes(client, "v:", "saved")


@pytest.mark.parametrize("way", ["SIGHUP", "reload", "reload of one"])
def test_what_can_not_be_noticed_is_seen_when_asked_to(idle_daemon, way):
    """A folder far above is another one now: nothing that is watched has changed."""
    for name in ("before", "after"):
        idle_daemon.plugins = idle_daemon.home / name / "config" / "swift" / "plugins"
        idle_daemon.plugins.mkdir(parents=True)
        idle_daemon.install(component(name, "v:"), "it")
    (idle_daemon.home / "before").rename(idle_daemon.home / "now")
    idle_daemon.plugins = idle_daemon.home / "now" / "config" / "swift" / "plugins"
    client = idle_daemon.start().client()
    assert client.names("v:") == ["before"]
    (idle_daemon.home / "now").rename(idle_daemon.home / "aside")
    (idle_daemon.home / "after").rename(idle_daemon.home / "now")
    match way:
        case "SIGHUP":
            idle_daemon.process.send_signal(signal.SIGHUP)
            becomes(client, "v:", "after")
        case "reload":
            assert client.ask("reload")["type"] == "ok"
        case "reload of one":
            assert client.ask("reload", plugin="it")["type"] == "ok"
    assert client.names("v:", wait_ms=0) == ["after"]


# ---- items of versions that are gone ----------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["replaced", "removed", "disabled"])
def test_an_item_of_a_version_that_is_gone_can_still_be_activated(idle_daemon, fate):
    path = idle_daemon.install(component("old", "v:", "run old"), "it")
    client = idle_daemon.start().client()
    (item,) = client.query("v:")["items"]
    match fate:
        case "replaced":
            path.write_text(component("new", "v:", "run new"))
        case "removed":
            path.unlink()
        case "disabled":
            client.ask("disable", plugin="it")
    client.ask("reload")
    assert client.names("v:") == (["new"] if fate == "replaced" else [])
    answer = client.ask("activate", key=item["key"])
    assert answer["type"] == "item"
    assert (answer["item"]["name"], answer["item"]["exec"]) == ("old", "run old")


def test_a_call_that_is_under_way_when_its_plugin_is_replaced_is_answered(idle_daemon):
    """It takes a second, and its worker is not taken away from it."""
    idle_daemon.config.write_text("[plugins.it]\ndeadline = '1s'\n")
    path = idle_daemon.install((GUESTS / "spin.wat").read_text(), "it")
    client = idle_daemon.start().client()
    client.settled("it")
    request = client.send(op="query", input="spin:")
    path.write_text(component("new", "spin:"))
    (error,) = client.last(request)["errors"]
    assert error["code"] == "timeout"
    becomes(client, "spin:", "new")


# ---- the start --------------------------------------------------------------------------------------------------


def test_what_is_cached_answers_from_the_first_query_on_while_the_rest_is_compiled(idle_daemon):
    idle_daemon.cache = idle_daemon.home / "cache"
    for number in range(20):
        idle_daemon.install(component(f"n{number}", f"t{number}:"), f"p{number}")
    client = idle_daemon.start().client()
    for number in range(20):
        client.settled(f"p{number}")
    assert [client.settled(name)["state"] for name in ("echo", "calc")] == ["ready"] * 2
    idle_daemon.stop()
    idle_daemon.install(*slow(150_000))
    idle_daemon.start()
    client = idle_daemon.client()
    answers = [client.query(f"t{number}:", wait_ms=0) for number in range(20)]
    assert [[item["name"] for item in answer["items"]] for answer in answers] == [[f"n{n}"] for n in range(20)]
    unclaimed = client.query("nobody's", wait_ms=0)
    assert [(error["plugin"], error["code"]) for error in unclaimed["errors"]] == [("slow", "compiling")]
    assert client.plugin("slow")["state"] == "compiling"
    assert client.settled("slow")["state"] == "ready"
    assert client.query("nobody's", wait_ms=0)["errors"] == []


def test_what_must_be_compiled_comes_smallest_first(idle_daemon):
    idle_daemon.cache = idle_daemon.home / "cache"
    sizes = {"a": 60_000, "b": 10_000, "c": 40_000, "d": 5_000, "e": 20_000}
    for name, steps in sizes.items():
        idle_daemon.install(*slow(steps, name))
    client = idle_daemon.start().client()
    for name in sizes:
        assert client.settled(name)["state"] == "ready"
    begun = [line.split()[3].rstrip(":") for line in idle_daemon.said().splitlines() if line.endswith(": compiling")]
    assert [name for name in begun if name in sizes] == sorted(sizes, key=sizes.get)


# ---- bad input --------------------------------------------------------------------------------------------------


def test_what_can_be_no_plugin_is_listed_as_refused_and_harms_nobody(idle_daemon):
    plugins = idle_daemon.plugins
    (plugins / "folder.wasm").mkdir()
    os.mkfifo(plugins / "fifo.wasm")
    (plugins / "loop.wasm").symlink_to("loop.wasm")
    (plugins / "device.wasm").symlink_to("/dev/zero")
    with (plugins / "large.wasm").open("wb") as file:
        file.truncate(200 * 1024**2)
    (plugins / "new\nline.wasm").write_text(component("x", "x:"))
    (plugins / os.fsdecode(b"no\xffutf.wasm")).write_text(component("x", "x:"))
    idle_daemon.install(component("good", "good:"), "good")
    client = idle_daemon.start().client()
    assert client.names("good:") == ["good"]
    found = {plugin["name"]: plugin for plugin in client.ask("plugins")["plugins"] if not plugin["bundled"]}
    assert {name: plugin["state"] for name, plugin in found.items()} == dict.fromkeys(
        ("folder", "fifo", "loop", "device", "large", "new�line", "no�utf"), "refused"
    ) | {"good": "ready"}
    assert "200 MiB is too large" in found["large"]["error"]
    assert "rename the file" in found["new\ufffdline"]["error"]
    (plugins / "unrelated.wasm").write_text(component("y", "y:"))  # something to look at everything again for
    becomes(client, "y:", "y")
    said = idle_daemon.said()
    assert said.count("200 MiB is too large") == 1
    assert client.ask("reload")["type"] == "ok"
    assert "Traceback" not in said
    assert [client.settled(name)["state"] for name in ("echo", "calc")] == ["ready"] * 2
    descriptors = len(os.listdir(f"/proc/{idle_daemon.process.pid}/fd"))
    for _ in range(10):
        client.ask("reload")
    assert len(os.listdir(f"/proc/{idle_daemon.process.pid}/fd")) <= descriptors


def test_where_the_kernel_has_no_watches_left_it_says_so_and_looks_by_itself(idle_daemon):
    """In a user namespace of its own, whose limit concerns nobody else."""
    limited = 'echo 0 > /proc/sys/user/max_inotify_watches && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"]
    tried = subprocess.run([*prefix, "true"], check=False, capture_output=True)
    if tried.returncode != 0:
        pytest.skip("no user namespace can be made here")
    with idle_daemon.log.open("ab") as log:
        idle_daemon.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "swiftd", "--socket", idle_daemon.socket, "--cache-dir", idle_daemon.cache,
             "--plugins-dir", idle_daemon.plugins, "--config", idle_daemon.config],
            stdin=subprocess.DEVNULL, stderr=log, env=os.environ | {"HOME": str(idle_daemon.home)},
        )  # fmt: skip
    idle_daemon.wait_for_socket()
    client = idle_daemon.client()
    idle_daemon.install(component("one", "v:"), "it")
    becomes(client, "v:", "one")
    idle_daemon.install(component("two", "v:"), "it")
    becomes(client, "v:", "two")
    assert idle_daemon.said().count("the kernel gives no watch") == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything: test_folders.py tries it as somebody else")
def test_a_file_that_may_not_be_read_is_a_plugin_once_it_may(daemon):
    client = daemon.client()
    path = daemon.install(component("one", "v:"), "it")
    becomes(client, "v:", "one")
    path.chmod(0)
    eventually(lambda: "permission denied" in (client.plugin("it")["error"] or ""))
    path.chmod(0o600)
    eventually(lambda: client.plugin("it")["error"] is None)


# ---- killed in the middle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["with an empty cache", "with a full cache"])
def test_killed_at_any_moment_of_a_reload_it_starts_again_with_the_right_plugins(idle_daemon, shared):
    if not shared:
        idle_daemon.cache = idle_daemon.home / "cache"
    path = idle_daemon.install(component("n0", "v:"), "it")
    idle_daemon.start()
    for number, delay in enumerate((0, 0.26, 0.28, 0.3, 0.32, 0.35, 0.4), 1):
        for text in ("wrong", f"n{number}"):
            path.write_text(component(text, "v:"))
            idle_daemon.install(component(f"other {text}", "w:"), "other")
        time.sleep(delay)  # the moment to be killed at
        idle_daemon.stop(signal.SIGKILL)
        client = idle_daemon.start().client()
        assert client.names("v:") == [f"n{number}"]
        assert client.names("w:") == [f"other n{number}"]


def test_killed_at_any_moment_of_a_start_it_starts_again_with_the_right_plugins(idle_daemon):
    for number, delay in enumerate((0.1, 0.2, 0.25, 0.28, 0.31, 0.35, 0.4)):
        idle_daemon.cache = idle_daemon.home / f"cache{number}"
        for name in "abc":
            idle_daemon.install(component(f"{name}{number}", f"{name}:"), name)
        idle_daemon.start(wait=False)
        time.sleep(delay)  # the moment to be killed at
        idle_daemon.stop(signal.SIGKILL)
        client = idle_daemon.start().client()
        assert [client.names(f"{name}:") for name in "abc"] == [[f"{name}{number}"] for name in "abc"]
        idle_daemon.stop()
