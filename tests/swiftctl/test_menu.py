"""`swiftctl menu`, with scripts in the place of the menus; tests/frontends drives those that run without a screen.

Each script notes how it was called and what it was given, and says what the menu of that name would: so for walker,
which is met nowhere else, this is a recorded exchange by its manual.
"""

from __future__ import annotations

import time

import pytest
from swiftctl_answers import item, line, results

from swiftctl import menu
from swiftctl.__main__ import main
from swiftctl.rows import UNTYPED

NAMES = ["first", "same", "same", "", "two\nlines", "same (2)", "x" * 5000]
PLUGINS = [
    {"name": name, "trigger": trigger, "state": state, "bundled": name == "calc"}
    for name, trigger, state in [
        ("calc", "=", "ready"),
        ("new", None, "compiling"),
        ("all", "", "ready"),
        ("words", "> ", "ready"),
    ]
]
HINTS = ["calc: =2+2*3", "words: > …", "all: whatever no other plugin takes", "still compiling: new"]
ROWS = ["first", "same", "same (2)", "(no name)", "two lines", "same (2) (2)", "x" * 199 + "…"]


class Menus:
    """Installs scripts as menu programs. Only those are found."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "sh").symlink_to("/bin/sh")
        (folder / "help").touch()
        self.script("cat", 'exec /bin/cat "$@"')

    def script(self, name, body):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def install(self, name, *says):
        """A menu that does one thing after the other: prints a text, or `exit 1` and its like."""
        for number, what in enumerate(says):
            does = what if what.startswith(("exit", "kill")) else f"printf '%s\\n' '{what}'"
            (self.folder / f"say{number}").write_text(does)
        self.script(
            name,
            f'cd {self.folder}; [ "$1" = --help ] && {{ cat help; exit; }}\n'
            'n=0; while [ -e "given$n" ]; do n=$((n + 1)); done\n'
            'for word; do printf "%s\\n" "$word"; done >"called$n"; cat >"given$n"\n'
            '[ -e "say$n" ] || exit 9; . "./say$n"',
        )

    def called(self, number=0):
        return (self.folder / f"called{number}").read_text().splitlines()

    def given(self, number=0):
        return (self.folder / f"given{number}").read_text().splitlines()

    def notes(self, number=0):
        """The rows that start nothing, as they look."""
        return [row.replace(UNTYPED, "") for row in self.given(number) if UNTYPED in row]


@pytest.fixture
def menus(session, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    found = Menus(session)
    monkeypatch.setenv("PATH", str(session / "bin"))
    return found


@pytest.fixture
def serving(daemon):
    """A daemon with some items, whose commands say which they are."""

    def reply(request):
        if request["op"] == "plugins":
            return line(type="plugins", id=1, done=True, plugins=PLUGINS)
        if request["op"] == "query":
            found = NAMES if request["input"] == "=1" else []
            return results(*[item(name, key=f"k{number}") for number, name in enumerate(found)])
        number = int(request["key"][1:])
        command = "" if number == 0 else f"echo {number} >>$HOME/ran"
        return line(type="item", id=1, done=True, item=item(NAMES[number]) | {"exec": command})

    daemon.replies(reply)
    return daemon


def ran(session):
    give_up = time.monotonic() + 30
    while not (session / "ran").exists() or not (session / "ran").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return (session / "ran").read_text().split()


@pytest.mark.parametrize("tool", menu.TOOLS)
@pytest.mark.parametrize("chosen", [1, 2, 3, 4, 5, 6])
def test_the_row_that_was_chosen_is_run_whatever_its_name(menus, serving, session, tool, chosen):
    menus.install(tool, "=1", ROWS[chosen])
    assert main(["menu", tool]) == 0
    assert ran(session) == [str(chosen)]
    assert (menus.notes(0), menus.given(1)) == (HINTS, ROWS)
    assert any("swift = >" in word for word in menus.called(0))
    assert any("=1" in word for word in menus.called(1))


def test_it_goes_on_until_an_item_is_run(menus, serving, session):
    menus.install("dmenu", "nothing there", "=1", ROWS[0], ROWS[1])
    assert main(["menu"]) == 0
    assert menus.called(1)[-1] == "nothing there"
    assert menus.notes(1) == ["nothing found"]
    assert menus.called(3)[-1] == "=1"
    assert menus.notes(3) == ["nothing to run there"]
    assert menus.given(3)[1:] == ROWS
    assert ran(session) == ["1"]


@pytest.mark.parametrize(("hint", "asked"), [(HINTS[0], "="), (HINTS[1], "> "), (HINTS[2], ""), (HINTS[3], "")])
def test_choosing_a_hint_asks_its_trigger(menus, serving, hint, asked):
    menus.install("dmenu", UNTYPED.join(hint), "exit 1")
    assert main(["menu"]) == 1
    assert [request["input"] for request in serving.requests if request["op"] == "query"] == ([asked] if asked else [])
    assert menus.notes(1) == (["nothing found"] if asked else HINTS)


@pytest.mark.parametrize("text", ["c ", " x", "a  b "])
def test_a_text_is_asked_as_it_was_typed(menus, serving, text):
    menus.install("dmenu", text, "exit 1")
    assert main(["menu"]) == 1
    assert [request["input"] for request in serving.requests if request["op"] == "query"] == [text]


def test_choosing_a_note_asks_again(menus, serving):
    menus.install("dmenu", UNTYPED.join("nothing found"), "exit 1")
    assert main(["menu", "--query", "nobody"]) == 1
    assert [request["input"] for request in serving.requests] == ["nobody"] * 2


def test_a_text_that_reads_like_a_note_is_asked(menus, serving):
    menus.install("dmenu", HINTS[0], "nothing found", "exit 1")
    assert main(["menu"]) == 1
    asked = [request["input"] for request in serving.requests if request["op"] == "query"]
    assert asked == [HINTS[0], "nothing found"]


@pytest.mark.parametrize("left", ["exit 1", "exit 2", ""])
def test_leaving_the_menu_runs_nothing_and_is_quiet(menus, serving, session, capsys, left):
    menus.install("dmenu", "=1", left)
    assert main(["menu"]) == 1
    assert capsys.readouterr() == ("", "")
    assert not (session / "ran").exists()


def test_a_menu_that_was_killed_is_told(menus, serving, capsys):
    menus.install("dmenu", "kill -9 $$")
    assert main(["menu"]) == 5
    assert "dmenu was ended by signal 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "help_text", "option"),
    [
        ("fuzzel", "     --no-fuzzy   disable fuzzy matching", "--no-fuzzy"),
        ("fuzzel", "     --match-mode=exact|fuzzy|fzf", "--match-mode=exact"),
        ("tofi", "      --fuzzy-match <true|false>", "--fuzzy-match=false"),
        ("tofi", "      --matching-algorithm <normal|prefix|fuzzy>", "--matching-algorithm=normal"),
        ("fuzzel", "nothing of the kind", None),
    ],
)
def test_no_fuzzy_search_takes_a_hint_for_what_is_typed(menus, serving, tool, help_text, option):
    (menus.folder / "help").write_text(help_text)
    menus.install(tool, "exit 1")
    assert main(["menu", tool]) == 1
    found = [word for word in menus.called() if word.startswith(("--no-fuzzy", "--match", "--fuzzy"))]
    assert found == ([option] if option else [])


def test_the_first_question_may_come_along(menus, serving, session):
    menus.install("dmenu", ROWS[2])
    assert main(["menu", "--query", "=1"]) == 0
    assert menus.given(0) == ROWS
    assert ran(session) == ["2"]


def test_an_answer_that_is_too_old_is_asked_again(menus, daemon):
    expired = line(type="error", id=1, done=True, code="unknown-key", message="too old")
    daemon.replies(lambda request: results(item("a")) if request["op"] == "query" else expired)
    menus.install("dmenu", "a", "exit 1")
    assert main(["menu", "--query", "=1"]) == 1
    assert menus.notes(1) == ["too old: choose again"]


def test_what_kept_plugins_from_answering_is_told(menus, daemon, capsys):
    errors = [{"plugin": "calc", "code": "timeout", "message": "took longer"}]
    daemon.says(results(errors=errors))
    menus.install("dmenu", "exit 1")
    main(["menu", "--query", "=1"])
    assert menus.called(0)[-1] == "=1"
    assert menus.notes(0) == ["calc: took longer"]
    assert capsys.readouterr().err == "swiftctl: calc: took longer (timeout)\n"


@pytest.mark.parametrize(
    ("displays", "installed", "found"),
    [
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, ["dmenu", "rofi", "wofi"], "wofi"),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, ["fuzzel", "wofi"], "fuzzel"),
        ({"WAYLAND_DISPLAY": ""}, ["wofi", "dmenu"], "dmenu"),
        ({}, ["dmenu", "rofi"], "rofi"),
    ],
)
def test_the_menu_for_the_session_is_found(menus, monkeypatch, displays, installed, found):
    for name, value in displays.items():
        monkeypatch.setenv(name, value)
    for name in installed:
        menus.script(name, "")
    assert menu.find() == found


@pytest.mark.parametrize(
    ("words", "display", "told"),
    [
        (["dmenu"], ":0", "dmenu is not installed"),
        ([], ":0", "install one of rofi, dmenu"),
        ([], "", "swiftctl fzf"),
    ],
)
def test_without_a_menu_it_says_what_to_do(menus, monkeypatch, capsys, words, display, told):
    monkeypatch.setenv("DISPLAY", display)
    assert main(["menu", *words]) == 5
    assert told in capsys.readouterr().err


def test_a_menu_that_is_no_program_is_told(menus, serving, capsys):
    menus.script("dmenu", "")
    (menus.folder / "bin" / "dmenu").write_text("#!/nonexistent\n")
    assert main(["menu"]) == 5
    assert "dmenu can't be started" in capsys.readouterr().err


def test_a_daemon_that_stops_in_between_is_told(menus, daemon, capsys):
    daemon.replies(lambda request: None)
    menus.install("dmenu", "exit 1")
    assert main(["menu"]) == 3
    assert "hung up" in capsys.readouterr().err
