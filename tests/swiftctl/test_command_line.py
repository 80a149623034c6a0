"""Both ways of reading the command line, and what a wrong one is told."""

from __future__ import annotations

import itertools

import pytest

from swiftctl import Options, cli
from swiftctl.__main__ import main, plain_query, plain_rofi

WORDS = (
    "query",
    "--json",
    "--tsv",
    "--fzf",
    "--",
    "",
    ">a b",
    "-x",
    "-5",
    "-a b",
    "-",
    "é😀",
    "plugins",
    "--limit",
    "3",
    "\udcff",
)


def understood(argv):
    options = Options()
    cli.parse(list(argv), options)
    return vars(options)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_the_plain_way_understands_the_same_as_the_full_parser_or_hands_over(length, capsys):
    plain = 0
    for rest in itertools.product(WORDS, repeat=length):
        argv = ["query", *rest]
        options = Options()
        if plain_query(argv, options):
            plain += 1
            assert vars(options) == understood(argv), argv
        else:
            assert vars(options) == {}, argv
    assert plain or not length or length == 4
    capsys.readouterr()


@pytest.mark.parametrize(
    "argv",
    [
        ["query", ">a"],
        ["query", "--", "-x"],
        ["query", "--json", ">a"],
        ["query", "--tsv", "--", "-x"],
        ["query", "--fzf", "--", "-x"],
        ["query", ""],
    ],
)
def test_what_front_ends_send_goes_the_plain_way(argv):
    assert plain_query(argv, Options())


@pytest.mark.parametrize("argv", [["rofi"], ["rofi", "--live"], ["rofi", "--no-start"], ["rofi", "x"], ["rofi", "--l"]])
def test_the_plain_way_of_rofi_understands_the_same_too(argv, capsys):
    options = Options()
    if plain_rofi(argv, options):
        assert {"live": False} | understood(argv) == vars(options)
    else:
        assert vars(options) == {}
        assert argv[1:] not in ([], ["--live"])


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "k.1.2"], {"command": "run", "text": "k.1.2"}),
        (["menu"], {"command": "menu", "tool": None}),
        (["menu", "dmenu", "--query", "=1"], {"command": "menu", "tool": "dmenu", "text": "=1"}),
        (["menu", "--query=-x"], {"command": "menu", "tool": None, "text": "-x"}),
        (["fzf", "--query", ""], {"command": "fzf", "text": ""}),
        (["query", "--stdin"], {"command": "stdin", "stdin": True}),
        (
            ["query", "--stdin", "--json", "--limit", "2"],
            {"command": "stdin", "stdin": True, "form": "json", "limit": 2},
        ),
        (["open", "--", "-x"], {"command": "opener", "text": "-x"}),
        (["completion", "zsh"], {"command": "completion", "tool": "zsh"}),
    ],
)
def test_the_other_commands_are_understood(argv, expected):
    assert understood(argv) == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["query", "a", "--json"], {"form": "json", "text": "a"}),
        (["--socket", "s", "query", "a"], {"socket": "s", "text": "a"}),
        (["query", "--socket", "s", "a"], {"socket": "s", "text": "a"}),
        (["--socket", "r", "query", "--socket", "s", "a"], {"socket": "s", "text": "a"}),
        (["--no-start", "query", "a"], {"start": False, "text": "a"}),
        (["query", "--no-start", "a"], {"start": False, "text": "a"}),
        (["query", "--limit", "3", "--timeout", "0.5", "--", "--json"], {"limit": 3, "timeout": 0.5, "text": "--json"}),
        (["query", "--", "--"], {"text": "--"}),
    ],
)
def test_options_are_understood(argv, expected):
    assert understood(argv) == {"command": "query", **expected}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "COMMAND"),
        (["qwery", "a"], "invalid choice"),
        (["query"], "TEXT"),
        (["query", "two", "words"], "put several words in quotes"),
        (["query", "-5"], "goes after `--`"),
        (["query", "-a b"], "goes after `--`"),
        (["query", "-x"], "TEXT"),
        (["query", "--js", "a"], "--js"),
        (["query", "--json", "--tsv", "a"], "not allowed with"),
        (["query", "a", "--limit", "0"], "from 1 on"),
        (["query", "a", "--limit", "-1"], "from 1 on"),
        (["query", "a", "--limit", "²"], "from 1 on"),
        (["query", "a", "--limit", "9" * 5000], "from 1 on"),
        (["query", "a", "--timeout", "nan"], "seconds"),
        (["query", "a", "--timeout", "0"], "seconds"),
        (["query", "a", "--timeout", "inf"], "seconds"),
        (["query", "\udcff"], "not UTF-8"),
        (["copy", "\udcff"], "not UTF-8"),
        (["--socket", "", "query", "a"], "a path"),
        (["ping", "extra"], "unrecognized"),
        (["run"], "KEY"),
        (["run", "-1"], "goes after `--`"),
        (["menu", "zenity"], "invalid choice"),
        (["query", "--stdin", "a"], "no place for TEXT"),
        (["query", "--stdin", "--tsv"], "not allowed with"),
        (["completion", "tcsh"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong(argv, told, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("swiftctl: ")
    assert told in captured.err
    assert "--help" in captured.err
    assert not captured.out


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([name, "--help"] for name in ("query", "copy"))])
def test_help_and_version_are_answers(argv, capsys):
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert captured.out
    assert not captured.err


MODULES = "query stdin run item menu fzf rofi plugins stats ping doctor clipboard opener completion"


@pytest.mark.parametrize("command", MODULES.split())
def test_every_command_has_a_module(command):
    options = Options()
    options.command = command
    assert callable(cli.runner(options))
