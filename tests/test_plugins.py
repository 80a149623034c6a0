"""The bundled plugins, and others as compilers make them, asked through a daemon."""

from __future__ import annotations

import subprocess

import pytest
from daemons import GUESTS, PATIENCE, Daemon

PATIENT = """
[plugins.calc]
deadline = "10s"
"""
"""Ten times what a plugin has by default, for a machine that does other things too. Left to itself it takes 0.4 s."""


@pytest.fixture(scope="module")
def running(tmp_path_factory, cache):
    daemon = Daemon(tmp_path_factory.mktemp("plugins"), cache)
    for name in ("resource-echo", "wasi-echo"):
        daemon.install(GUESTS / "built" / f"{name}.wasm")
    daemon.config.write_text(PATIENT)
    daemon.start()
    for name in ("echo", "calc", "resource-echo", "wasi-echo"):
        assert daemon.client().settled(name)["state"] == "ready"
    yield daemon
    daemon.close()


@pytest.fixture
def client(running):
    client = running.client()
    yield client
    client.close()


def answer(client, text):
    """The one item that an input gives, without its key."""
    found = client.query(text)
    assert (found["status"], found["errors"]) == ("complete", [])
    (item,) = found["items"]
    return item["name"], item["exec"], item["keywords"]


def words(command):
    """How a shell reads a command; it must not run anything."""
    assert subprocess.run(["/bin/sh", "-n", "-c", command], check=False, timeout=PATIENCE).returncode == 0
    script = 'swiftctl() { printf "%s\\0" swiftctl "$@"; }\n' + command
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, check=True, timeout=PATIENCE, env={"PATH": ""}
    )
    return done.stdout.decode().split("\0")[:-1]


# ---- echo -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (">hello world", "You typed: hello world"),
        (">", "You typed: "),
        (">  spaces  ", "You typed: spaces"),
        (">>", "You typed: >"),
        (">é😀\nb", "You typed: é😀\nb"),
    ],
)
def test_echo_says_what_was_typed(client, text, name):
    assert answer(client, text) == (name, "", ">")


# ---- calc -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2+2*3", "8"),
        (" 2 + 2 ", "4"),
        ("(1+2)^2", "9"),
        ("7/2", "3.5"),
        ("5 mod 3", "2"),
        ("2^70", "1180591620717411303424"),
        ("20!", "2432902008176640000"),
        ("20% of 50", "10"),
        ("sqrt 16", "4"),
        ("abs (-5)", "5"),
        ("1 km to m", "1000 m"),
        ("2 hours to minutes", "120 minutes"),
        ("100 °C to °F", "212 °F"),
        ("255 to hex", "ff"),
        ("0xff", "0xff"),
        ("0.1 + 0.2", "0.3"),
        ("1e10", "10000000000"),
    ],
)
def test_calc_calculates_and_its_command_copies_the_result(client, expression, result):
    name, command, keywords = answer(client, f"={expression}")
    assert (name, keywords) == (f"{expression.strip()} = {result}", "=")
    assert words(command) == ["swiftctl", "copy", "--", result]


@pytest.mark.parametrize(
    ("expression", "shown", "copied"),
    [
        ("5 km to miles", "approx. 3.1068559612 miles", "3.1068559612 miles"),
        ("sqrt(2)", "approx. 1.4142135624", "1.4142135624"),
        ("pi", "approx. 3.1415926536", "3.1415926536"),
    ],
)
def test_calc_copies_no_approx(client, expression, shown, copied):
    name, command, _ = answer(client, f"={expression}")
    assert name == f"{expression} = {shown}"
    assert words(command) == ["swiftctl", "copy", "--", copied]


@pytest.mark.parametrize("text", ["=", "=  ", "=# nothing"])
def test_calc_hints_where_there_is_nothing_to_calculate(client, text):
    name, command, _ = answer(client, text)
    assert "2+2*3" in name
    assert command == ""


@pytest.mark.parametrize(
    "expression", ["1/0", "foo", "2+", "(", "=", "5 km to kg", "'", '"', "\0", "1 2 3 +", "é", "😀"]
)
def test_calc_says_what_is_wrong_and_copies_nothing(client, expression):
    name, command, _ = answer(client, f"={expression}")
    assert len(name) > len(expression)
    assert name.isprintable()
    assert command == ""


@pytest.mark.parametrize(
    "text",
    ["';reboot;'", "$(id)", "`id`", "$HOME", "a'b'c", "\\\\", "-rf", "''", "* ? [a]", "! #", "a;b|c&d>e<f", "%s\\\\n"],
)
def test_calc_quotes_what_it_copies(client, text):
    name, command, _ = answer(client, f'="{text}"')
    copied = words(command)
    assert copied[:3] == ["swiftctl", "copy", "--"]
    assert len(copied) == 4
    assert copied[3] == text.replace("\\\\", "\\")
    assert name.endswith(copied[3])


HOSTILE = [
    "9" * 4000,
    "9999999!",
    "99999999^99999999",
    "2^10000000",
    "2^^5",
    "1e1000000",
    "pi^100000",
    "5!!!!!!",
    "fibonacci 1000000",
    "50d50",
    "f = x: f x; f 1",
    "(" * 2000 + ")" * 2000,
    "1" + "+1" * 2000,
    "1" + "^9" * 100,
    "-" * 4000 + "1",
    "sqrt " * 500 + "2",
    "1/" * 1000 + "7",
    "1.0000001^9999999",
    "(1/3)^100000",
    "'" * 4000,
    '"' + "x" * 4000,
    "\x00" * 4000,
    "e^e^e^e^e",
    "1 " + "km " * 500,
    "10000!/9999!",
    "sin " * 800 + "1",
    "a = 2^9999; b = a^99; b^99",
]


@pytest.mark.parametrize("expression", HOSTILE, ids=range(len(HOSTILE)))
def test_calc_answers_in_time_whatever_is_typed(client, expression):
    name, command, _ = answer(client, f"={expression}"[:4096])
    assert len(name) <= 800
    assert name.isprintable()
    assert len(command) <= 48 << 10


# ---- plugins by others ------------------------------------------------------------------------------------------


def test_a_plugin_of_the_resource_form_answers(client):
    plugin = client.plugin("resource-echo")
    assert plugin["contract"].endswith("resource form")
    names = client.names(plugin["trigger"] + "hello")
    assert "hello" in names
    for _ in range(20):
        assert client.names(plugin["trigger"] + "hello") == names


def test_a_plugin_built_for_wasi_answers_and_gets_nothing(client):
    plugin = client.plugin("wasi-echo")
    assert plugin["contract"].endswith("record form")
    names = client.names(plugin["trigger"] + "hello")
    assert any("hello" in name for name in names)
    assert [name for name in names if name.startswith("clock:")] == ["clock: 1577836800 s"]
    assert not any("root" in name for name in names)


@pytest.mark.parametrize("name", ["echo", "calc", "resource-echo", "wasi-echo"])
def test_all_of_them_are_in_rust(client, name):
    plugin = client.plugin(name)
    assert plugin["language"] == "Rust"
    assert plugin["size"] < 2 << 20
