"""The bundled plugins, and others as compilers make them, asked through a daemon."""

# ruff: noqa: RUF001 - signs that only look like plain ones are what some of these tests are about

from __future__ import annotations

import random
import subprocess
from fractions import Fraction

import pytest
from daemons import GUESTS, PATIENCE, Daemon

PATIENT = """
[plugins.calc]
deadline = "10s"
"""
"""Ten times what a plugin has by default, for a machine that does other things too. Left to itself it takes 0.2 s."""


@pytest.fixture(scope="module")
def running(tmp_path_factory, cache):
    daemon = Daemon(tmp_path_factory.mktemp("plugins"), cache)
    for name in ("resource-echo", "wasi-echo"):
        daemon.install(GUESTS / "built" / f"{name}.wasm")
    daemon.config.write_text(PATIENT)
    daemon.start(env={"LC_ALL": "C.UTF-8"})
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


READINGS = [
    # What it was read as stands behind what has another common reading.
    ("1,5*2", "3  (1.5 × 2)"),
    ("27,29-23,89", "3.4  (27.29 - 23.89)"),
    ("1,234*2", "2468  (1234 × 2)"),
    ("1,234 + 1,5", "2.734  (1.234 + 1.5)"),
    ("1,234,567.89 + 1", "1234568.89"),
    ("1.234.567,89 + 1", "1234568.89  (1234567.89 + 1)"),
    ("1 000 000 + 1", "1000001  (1000000 + 1)"),
    ("1'000 + 1", "1001  (1000 + 1)"),
    ("100-10%", "90  (100 - 10% of 100)"),
    ("100+10%", "110  (100 + 10% of 100)"),
    ("(100+20)-10%", "108  (100 + 20 - 10% of (100 + 20))"),
    ("200*10%", "20"),
    ("7 % 3", "1  (7 mod 3)"),
    ("100 km / 2 h", "50 km / h"),
    ("60 miles / 2 hours", "30 miles / hour"),
    ("10 m / 2 s to km/h", "18 km / h"),
    ("1/2 h to min", "30 mins  ((1 / 2) h to min)"),
    ("6/2(1+2)", "9  ((6 / 2) × (1 + 2))"),
    ("6/(2(1+2))", "1"),
    ("1/(2 h)", "0.5 h^-1"),
    ("1 gb to mb", "1000 MB  (1 GB to MB)"),
    ("100 mbps to MB/s", "12.5 MB / s  (100 Mbps to MB / s)"),
    ("1 Gb to GB", "0.125 GB  (1 Gbit to GB)"),
    ("1 GB to MB", "1000 MB"),
    ("10 in to cm", "25.4 cm"),
    ("10 in in cm", "25.4 cm"),
    ("6 ft 1 in to cm", "185.42 cm"),
    ("5'11\" to cm", "180.34 cm"),
    ("5’11” to cm", "180.34 cm"),
    ("50 f to c", "10 °C  (50 °F to °C)"),
    ("-40 c to f", "-40 °F  (-(40 °C) to °F)"),
    ("20 °C to °F", "68 °F"),
    ("min(1, -2, 5)", "-2"),
    ("max(1,5,2)", "5  (max(1, 5, 2))"),
    ("max(1,5; 2)", "2  (max(1.5, 2))"),
    ("2+2=", "4"),
    ("-2^2", "-4  (-(2^2))"),
    ("2^3^2", "512  (2^(3^2))"),
    ("7//2", "3  (floor(7 / 2))"),
    ("3 × 4 ÷ 2 − 1", "5"),
    ("√16 + 3² + ½", "13.5  (sqrt(16) + 3^2 + 1 / 2)"),
    ("sin pi/2", "0  (sin(pi) / 2)"),
    ("sqrt 16 * 9", "36  (sqrt(16) × 9)"),
    ("2*7 mod 4", "2  ((2 × 7) mod 4)"),
    ("16^1/4", "4  ((16^1) / 4)"),
    ("2 + 7 mod 3", "3  (2 + (7 mod 3))"),
    ("5 nCr 2 + 1", "10  (5 nCr (2 + 1))"),
    ("2 cups to ml", "473.176473 ml  (2 US cups to ml)"),
    ("8 oz to g", "226.796185 g  (8 ounces of 28.35 g to g)"),
    ("5 lakh", "500000  (5 × 100000)"),
    ("12 km / 4 km/h", "3 h  (12 km / (4 km / h))"),
    ("5 km t", "5 km t  (5 km × t)"),
    ("2000 Cal to kJ", "8368 kJ  (2000 kcal to kJ)"),
    ("1 fl oz to ml", "29.5735295625 ml  (1 US fluid ounce to ml)"),
    ("3x4", "12"),
    ("1:30 h", "1.5 h  (1 h + 30 min)"),
    ("1h30m to min", "90 mins  (1 h + 30 min to min)"),
    ("$5+$3", "$8"),
    ("2024-01-15", "2008  (2024 - 1 - 15)"),
    ("2*(3+4", "14"),
]


@pytest.mark.parametrize(("expression", "row"), READINGS)
def test_calc_reads_what_people_write_and_says_how_where_it_may_be_meant_otherwise(client, expression, row):
    name, command, _ = answer(client, f"={expression}")
    assert name == f"{expression} = {row}"
    assert words(command)[3:] == [row.split("  (")[0]]


@pytest.mark.parametrize("text", ["＝１＋１", "＝１＋１＝", "=1+1=", "= 1 + 1 = ?"])
def test_calc_takes_its_sign_before_and_behind_in_any_width(client, text):
    name, command, _ = answer(client, text if text[0] == "=" else f"={text}")
    assert name.endswith("= 2")
    assert words(command)[3:] == ["2"]


@pytest.mark.parametrize(
    "expression",
    [
        *("1 2", "1,5 2", "1,2,3", "1.2.3", "1, 5", "(2)3", "2*/3", "2+3)*4", "2+2=4", "5 mw", "2 h 30", "1:30 pm"),
        *("20 °C + 10 °F", "50%%", "sqrt(2; 3)", "1;5", "$5 + €3"),
    ],
)
def test_calc_refuses_what_it_could_only_guess(client, expression):
    name, command, _ = answer(client, f"={expression}")
    assert name.startswith(f"{expression}: ")
    assert command == ""


TYPED = [
    "2*(3+4)",
    "100-10%*2",
    "6 ft 1 in to cm",
    "min(1,5;2)",
    "1 000 000,5/3",
    "sqrt(2)^-1",
    "1:30 h",
    "5'11\" to m",
]


@pytest.mark.parametrize("text", TYPED)
def test_calc_answers_at_every_key(client, text):
    for length in range(1, len(text) + 1):
        name, command, _ = answer(client, f"={text[:length]}")
        assert name.startswith(text[:length].rstrip()), name
        assert (command == "") == (" = " not in name), name


def written(generator, depth):
    """A random expression, and its value; none where something is divided by zero."""
    if depth == 0 or generator.random() < 0.15:
        digits = generator.choice(["{}", "{}.5", "{}.125", "{}.04", "{}"]).format(generator.randrange(1000))
        return digits, Fraction(digits)
    if generator.random() < 0.2:
        text, value = written(generator, depth - 1)
        return f"-({text})", None if value is None else -value
    (left, a), (right, b) = written(generator, depth - 1), written(generator, depth - 1)
    sign = generator.choice("+-*/")
    space = generator.choice(["", " "])
    text = f"({left}){space}{sign}{space}({right})"
    if a is None or b is None or (sign == "/" and b == 0):
        return text, None
    return text, {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__truediv__}[sign](b)


def flat(generator):
    """A random sum of products without parentheses, and its value."""
    text, value = "", Fraction(0)
    for number in range(generator.randrange(1, 5)):
        sign = generator.choice("+-") if number else ""
        product, factors = Fraction(generator.randrange(1, 100)), ""
        factors = str(product)
        for _ in range(generator.randrange(3)):
            other = generator.choice(["3", "7", "0.5", "12", "2.25"])
            multiplies = generator.random() < 0.5
            factors += ("*" if multiplies else "/") + other
            product = product * Fraction(other) if multiplies else product / Fraction(other)
        text += sign + factors
        value += -product if sign == "-" else product
    return text, value


def test_calc_is_exact(client):
    generator = random.Random(8)
    checked = 0
    while checked < 600:
        text, value = flat(generator) if checked % 2 else written(generator, 3)
        if value is None:
            continue
        checked += 1
        name, command, _ = answer(client, f"={text} to fraction")
        result = words(command)[3] if checked % 50 == 0 else command.rpartition(" -- ")[2].strip("'")
        assert Fraction(result.replace(" ", "")) == value, name


def test_calc_writes_the_locale_s_decimal_sign_and_reads_it(tmp_path, cache):
    daemon = Daemon(tmp_path, cache)
    daemon.config.write_text(PATIENT)
    daemon.start(env={"LC_ALL": None, "LC_NUMERIC": "de_DE.UTF-8", "LANG": "en_US.UTF-8"})
    try:
        client = daemon.client()
        assert client.settled("calc")["state"] == "ready"
        for expression, row in (
            ("1,5*2", "3"),
            ("1,5*3", "4,5"),
            ("1,234 + 1", "2,234"),
            ("1.234 + 1", "1235  (1234 + 1)"),
            ("1.5*3", "4,5"),
            ("7/2", "3,5"),
            ("max(1,5; 2,5)", "2,5"),
        ):
            name, command, _ = answer(client, f"={expression}")
            assert name == f"{expression} = {row}"
            assert words(command)[3:] == [row.split("  (")[0]]
    finally:
        daemon.close()


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
    "1<<9999999",
    "1<<262143",
    "x = 9999999; 1<<x",
    "f = n: 1<<n; f 9999999",
    "2^2^2^2^2^2",
    "9^9^9",
    "10^10^10",
    "1e99999999",
    "20000!",
    "999999 nCr 3",
    "fib 99999",
    "ln(2^99999)",
    "100d100",
    "2^" * 300 + "2",
    "1-1%" * 200 + "1",
    "min(1,2," * 90 + "1",
    "max(" + "1," * 450 + "1)",
    "x: " * 300 + "x",
    "f = x: f x + f x; f 1",
    "6 ft 1 in " * 90,
    "√" * 300 + "2",
    "2" + "²" * 400,
    "5 km" + " to m" * 190,
    "(3^150000) to words",
    "round(1/3, 99999)",
    "0x" + "f" * 900 + " to dec",
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
