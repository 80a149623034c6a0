"""Which files become plugins, what is said of those that do not, and that one of them never stops the others."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from daemons import BUNDLED, GUESTS, Daemon, component, eventually

from swiftd.folders import LARGEST_FILE, look

CORE_MODULE = b"\0asm\x01\0\0\0"


def oversized(path):
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the whole path would be too long
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


FILES = {
    "a-folder": lambda path: path.mkdir(),
    "a-dangling-link": lambda path: path.symlink_to("nowhere"),
    "a-link-to-itself": lambda path: path.symlink_to(path.name),
    "a-link-to-a-device": lambda path: path.symlink_to("/dev/zero"),
    "a-fifo": os.mkfifo,
    "a-socket": a_socket,
    "an-empty-file": lambda path: path.write_bytes(b""),
    "rubbish": lambda path: path.write_text("#!/bin/sh\necho hello\n"),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "a-core-module": lambda path: path.write_bytes(CORE_MODULE),
    "a-text-module": lambda path: path.write_text("(module)"),
    "half-a-component": lambda path: path.write_bytes((BUNDLED / "echo.wasm").read_bytes()[:5000]),
    "the-magic-alone": lambda path: path.write_bytes(b"\0asm\x0d\0\x01\0"),
    "broken-text": lambda path: path.write_text("(component (nonsense))"),
    "too-large": oversized,
    **{
        guest: lambda path, guest=guest: path.write_text((GUESTS / f"{guest}.wat").read_text())
        for guest in ("no-runner", "no-handle", "no-trigger", "handle-u32", "record-two", "trigger-trap", "version-2")
    },
}
MESSAGES = {
    "a-folder": "folder|directory",
    "a-dangling-link": "no such file",
    "a-link-to-itself": "too many levels",
    "a-link-to-a-device": "expected a file, found a device",
    "a-fifo": "expected a file, found a FIFO",
    "a-socket": "found a socket",
    "an-empty-file": "expected a WebAssembly component, found an empty file",
    "rubbish": "expected a WebAssembly component, found something",
    "bytes": "expected a WebAssembly component, found something",
    "a-core-module": "expected a WebAssembly component, found a core module.*component new",
    "a-text-module": "expected a WebAssembly component, found",
    "half-a-component": "unexpected end|out of bounds|failed",
    "the-magic-alone": r"expected an export `swift:launcher/runner`, found no exports at all",
    "broken-text": ".",
    "too-large": "too large: at most 100 MiB",
    "no-runner": r"expected an export `swift:launcher/runner`, found `",
    "no-handle": r"expected `handle: func\(input: string\) -> list<action-item>`.*found only .*`get-trigger`",
    "no-trigger": r"expected `get-trigger: func\(\) -> string`, found only `action-item`, `handle`",
    "handle-u32": r"expected `handle.*found `handle: func\(input: u32\) -> list<record \{ name: string",
    "record-two": r"expected `handle.*found `handle: .*record \{ name: string, exec: string \}>`",
    "trigger-trap": "get-trigger.*unreachable",
    "version-2": r"expected an export `swift:launcher/runner`, found .*`swift:launcher/runner@2\.0\.0`",
}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory, cache):
    """A daemon whose folder has one of each kind, a good plugin first and last."""
    daemon = Daemon(tmp_path_factory.mktemp("catalog"), cache)
    daemon.config.write_text("[plugins.off]\nenabled = false\n[plugins.rescued]\ntrigger = 'rescued:'\n")
    for name, make in FILES.items():
        make(daemon.plugins / f"{name}.wasm")
    for name in ("0-first", "zz-last", "off"):
        daemon.install(component(name, f"{name}:"), name)
    daemon.install(GUESTS / "trigger-trap.wat", "rescued")
    daemon.install(component("mine", ">"), "calc")
    daemon.install(component("odd", "odd:"), "größe 😀")
    daemon.install(component("hidden", "hidden:"), ".hidden")
    (daemon.plugins / "not-text\n.wasm").write_text(component("not text", "not text:"))
    (daemon.plugins / "notes.txt").write_text("no plugin")
    (daemon.plugins / "plugin.wasm.bak").write_text("no plugin")
    (daemon.plugins / "UPPER.WASM").write_text("no plugin")
    (daemon.home / "elsewhere").write_text(component("linked", "linked:"))
    (daemon.plugins / "linked.wasm").symlink_to("../elsewhere")
    daemon.start()
    client = daemon.client()
    for plugin in client.ask("plugins")["plugins"]:
        client.settled(plugin["name"])
    yield daemon
    daemon.close()


@pytest.fixture
def client(crowded):
    client = crowded.client()
    yield client
    client.close()


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_plugin_is_refused_with_its_reason(client, name):
    plugin = client.plugin(name)
    assert plugin["state"] == "refused"
    assert re.search(MESSAGES[name], plugin["error"]), plugin["error"]
    assert (plugin["trigger"], plugin["contract"]) == (None, None)
    assert "\n" not in plugin["error"]


def test_the_reasons_differ(client):
    reasons = [plugin["error"] for plugin in client.ask("plugins")["plugins"] if plugin["error"]]
    alike = {"rubbish", "bytes"}
    assert len(set(reasons)) >= len(FILES) - len(alike)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0-first:", "0-first"),
        ("zz-last:", "zz-last"),
        ("odd:", "odd"),
        ("linked:", "linked"),
    ],
)
def test_the_others_are_served(client, text, name):
    assert client.names(text) == [name]


def test_names_that_are_no_text_are_made_presentable(client):
    names = [plugin["name"] for plugin in client.ask("plugins")["plugins"]]
    assert "größe 😀" in names
    assert all(name.isprintable() for name in names)
    refused = client.plugin("not-text\ufffd")
    assert refused["state"] == "refused"
    assert "rename" in refused["error"]


def test_a_file_whose_name_is_no_text_may_come_while_it_runs(daemon):
    client = daemon.client()
    client.settled("echo")
    path = daemon.plugins / os.fsdecode(b"not-\xff-text.wasm")
    path.write_text(component("not text", "not text:"))
    eventually(lambda: client.plugin("not-\ufffd-text"))
    assert client.plugin("not-\ufffd-text")["state"] == "refused"
    path.unlink()
    eventually(lambda: client.plugin("not-\ufffd-text") is None)


def test_other_files_are_not_looked_at(client):
    names = {plugin["name"] for plugin in client.ask("plugins")["plugins"]}
    assert not names & {".hidden", "hidden", "notes", "notes.txt", "plugin", "plugin.wasm.bak", "UPPER", ""}


def test_what_a_plugin_is_can_be_seen(client, crowded):
    plugin = client.plugin("zz-last")
    path = crowded.plugins / "zz-last.wasm"
    assert plugin["path"] == str(path)
    assert plugin["size"] == path.stat().st_size
    assert (plugin["state"], plugin["error"], plugin["trigger"]) == ("ready", None, "zz-last:")
    assert plugin["contract"] == "swift:launcher/runner, record form"
    assert (plugin["bundled"], plugin["grants"]) == (False, {})
    assert plugin["times"]["load_ms"] >= 0
    names = [plugin["name"] for plugin in client.ask("plugins")["plugins"]]
    assert names == sorted(names)


def test_a_plugin_of_the_user_s_hides_the_bundled_one_of_its_name(client, crowded):
    assert client.plugin("calc")["path"] == str(crowded.plugins / "calc.wasm")
    assert not client.plugin("calc")["bundled"]
    assert client.names("=2+2", plugins=["calc"]) == []
    assert client.names(">x") == ["mine"]
    assert client.plugin("echo")["bundled"]


def test_a_disabled_plugin_is_there_but_does_not_answer(client):
    plugin = client.plugin("off")
    assert (plugin["state"], plugin["error"], plugin["trigger"]) == ("disabled", None, None)
    assert client.names("off:") == []
    assert client.names("off:", plugins=["off"]) == []


def test_a_trigger_of_the_user_s_makes_get_trigger_unnecessary(client):
    assert client.plugin("rescued")["state"] == "ready"
    assert client.names("rescued:") != []


def test_nothing_of_it_was_a_failure_of_the_daemon_s(crowded):
    assert "Traceback" not in crowded.said()


@pytest.mark.parametrize(
    "what",
    [
        "missing",
        "a file",
        "a dangling link",
        "a link to itself",
    ],
)
def test_without_a_folder_to_read_the_bundled_ones_are_served(idle_daemon, what):
    idle_daemon.plugins.rmdir()
    match what:
        case "a file":
            idle_daemon.plugins.write_text("")
        case "a link to itself":
            idle_daemon.plugins.symlink_to(idle_daemon.plugins.name)
        case "a dangling link":
            idle_daemon.plugins.symlink_to("nowhere")
    idle_daemon.start()
    assert idle_daemon.client().names(">x") == ["You typed: x"]
    assert ("the plugin folder can't be read" in idle_daemon.said()) == (what in ("a file", "a link to itself"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_folder_and_a_file_that_may_not_be_read_are_named(idle_daemon):
    idle_daemon.install(component("x", "x:"), "x").chmod(0)
    idle_daemon.start()
    assert "permission denied" in idle_daemon.client().settled("x")["error"]
    idle_daemon.stop()
    idle_daemon.plugins.chmod(0)
    try:
        idle_daemon.start()
        assert idle_daemon.client().names(">x") == ["You typed: x"]
        assert "the plugin folder can't be read" in idle_daemon.said()
    finally:
        idle_daemon.plugins.chmod(0o700)


def test_a_file_is_known_by_its_content(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    found = look(path)
    assert found.source == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (found.size, found.problem) == (3, None)


def test_looking_at_what_is_no_file_leaves_no_descriptor_open(tmp_path):
    def left_open():
        numbers = os.listdir("/proc/self/fd")
        links = {int(number): Path("/proc/self/fd", number) for number in numbers}
        return [number for number, link in links.items() if link.is_symlink() and link.readlink() == tmp_path]

    assert look(tmp_path).problem
    leaked = left_open()
    for number in leaked:
        os.close(number)
    assert leaked == []
