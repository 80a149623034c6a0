"""TOML of any content is read, or refused with its line, in a time that its length bounds."""

from __future__ import annotations

import sys
import tomllib

import pytest

from swiftd import toml

DOTS = ".".join("a" * 2000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"x = 1\n{DOTS} = 1", 2),
        (f"[{DOTS}]", 1),
        (f"[[{DOTS}]]", 1),
        (f"\n\nx = {{ {DOTS} = 1 }}", 3),
        (f"x = [\n{{ {DOTS} = 1 }}]", 2),
        (" . ".join(["a"] * 2000) + " = 1", 1),
        ("\t.\t".join(["a"] * 2000) + " = 1", 1),
        (".".join(['"a"'] * 2000) + " = 1", 1),
        (".".join(["'a.b'"] * 2000) + " = 1", 1),
        (".".join(["a", '""', "'x'"] * 700) + " = 1", 1),
        (f"x = '''\n\n'''\n{DOTS} = 1", 4),
        (f'x = """\n\\"""\n"""\n{DOTS} = 1', 4),
        (f"x = 'it' # isn't\n{DOTS} = 1", 2),
        (f"x = '''''''\n{DOTS} = 1", 2),  # a string of one apostrophe
        (".".join("a" * (toml.MOST_PARTS + 1)) + " = 1", 1),
        ("".join(f"{DOTS}.b{number} = 1\n" for number in range(50)), 1),
    ],
)
def test_a_key_of_very_many_parts_is_refused_before_it_costs_anything(monkeypatch, text, line):
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=rf"^line {line}: the key has more than {toml.MOST_PARTS} parts$"):
        toml.load(text)


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * toml.MOST_PARTS) + " = 1",
        f"x = '{DOTS}'",
        f'x = "{DOTS}"',
        f'x = "\\"{DOTS}"',
        f"x = '''\n{DOTS}\n'''",
        f'x = """\n"" {DOTS} "\n"""',
        f"# {DOTS} = 1",
        f"x = 1 # '{DOTS}",
        f"x = '#' # {DOTS}",
        f"'{DOTS}' = 1",
        f"['{DOTS}'.b]",
        "x = [" + ", ".join(f"{n}.5" for n in range(2000)) + "]",
        "x = ['1.1.1.1', " * 1 + ", ".join(["'10.0.0.1'"] * 500) + "]",
        "\n".join(f"a.b.c{n} = 1.5" for n in range(500)),
        "x = '" + "9" * 2000 + "'",
        "x" * 2000 + " = 1",
        "x = 0." + "1" * 2000,
        "x = " + "0" * 0 + "9" * 400,
        "x = 1979-05-27T07:32:00.999999-07:00",
    ],
)
def test_dots_and_digits_elsewhere_are_fine(text):
    assert toml.load(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "number",
    [
        *("9" * 300_000, "-" + "9" * 300_000, "+" + "9" * 5000, "9_" * 5000 + "9", "9" * 5000 + ".5"),
        *("0x" + "f" * 5000, "0b" + "1" * 5000, "0o" + "7" * 5000, "9" * 600 + "e" + "9" * 5000),
    ],
)
@pytest.mark.parametrize("form", ["x = 1\ny = {}", "x = [\n{}]", "x.y = '{{'\nx.z = {{ y = {} }}"])
def test_a_number_of_very_many_digits_is_refused_with_its_line(number, form):
    with pytest.raises(ValueError, match=r"^line 2: the number has more than \d+ digits$"):
        toml.load(form.format(number))


@pytest.mark.parametrize("opened", ["[", "{a=", "[{a=", "{a.b.c='', d="])
@pytest.mark.parametrize("closed", [True, False])
def test_what_is_nested_too_deeply_is_refused_with_its_line(opened, closed):
    end = "".join({"[": "]", "{": "}"}[c] for c in reversed(opened) if c in "[{")
    count = sys.getrecursionlimit()
    with pytest.raises(ValueError, match=r"^line 3: it is nested too deeply$"):
        toml.load("a = [[]]\n\nx = " + opened * count + ("1" + end * count if closed else ""))


@pytest.mark.parametrize(
    ("text", "line"), [("x = 1\nx = 2", 2), ("x =", 1), ("x = '''\n\n", 3), ("a = 1\nb = 2021-02-30", 2), ("'", 1)]
)
def test_what_is_no_toml_is_refused_with_its_line(text, line):
    with pytest.raises(ValueError, match=rf"^line {line}: ."):
        toml.load(text)


def test_what_python_would_not_turn_into_a_number_is_an_error_too():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)  # the lowest that it may be set to
    try:
        with pytest.raises(ValueError, match="line 1: the number"):
            toml.load("x = " + "9" * 640 + "9")
        assert toml.load("x = " + "9" * toml.MOST_DIGITS)["x"] > 0
    finally:
        sys.set_int_max_str_digits(before)
