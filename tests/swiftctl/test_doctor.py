"""`swiftctl doctor`: what is well, what is not, and what to do."""

from __future__ import annotations

import pytest
from swiftctl_answers import line

from swiftctl import doctor
from swiftctl.__main__ import main
from swiftd import __version__

HELLO = {"type": "hello", "id": 1, "done": True, "server": "swiftd", "version": __version__, "protocol": 1}
READY = {"name": "calc", "state": "ready", "error": None, "path": "/p/calc.wasm"}


@pytest.fixture
def desk(session, monkeypatch):
    """A session with everything that is wanted."""
    (session / "bin").mkdir()
    for name in ("rofi", "xclip", "fzf", "xdg-open", "swiftctl"):
        (session / "bin" / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(session / "bin"))
    monkeypatch.setenv("DISPLAY", ":0")
    (session / "swift").mkdir(exist_ok=True)
    (session / "swift").chmod(0o700)
    return session


@pytest.fixture
def answers(daemon):
    def say(*plugins, **hello):
        answered = {"hello": HELLO | hello, "plugins": {"type": "plugins", "id": 1, "done": True, "plugins": plugins}}
        daemon.replies(lambda request: line(**answered[request["op"]]))

    say(READY)
    return say


def test_where_all_is_well_it_says_so(desk, answers, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(each.startswith(("ok  ", "--  ")) for each in lines)
    assert "ok  plugins: calc" in lines
    assert any("rofi" in each for each in lines)


@pytest.mark.parametrize(
    ("plugins", "hello", "told"),
    [
        ([READY], {"version": "0.0.1"}, "!!  the daemon is 0.0.1"),
        ([], {}, "!!  no plugin is ready: put .wasm files into"),
        (
            [READY, READY | {"name": "x", "state": "refused", "error": "no\nrunner"}],
            {},
            "!!  plugin x is refused: no runner",
        ),
        (
            [READY, READY | {"name": "x", "state": "failing", "error": "traps"}],
            {},
            "!!  plugin x is failing: traps: mend",
        ),
    ],
)
def test_trouble_with_the_daemon_is_told(desk, answers, capsys, plugins, hello, told):
    answers(*plugins, **hello)
    assert main(["doctor"]) == 1
    assert told in capsys.readouterr().out


def test_a_broken_configuration_is_told(desk, daemon, capsys):
    plugins = {
        "type": "plugins",
        "id": 1,
        "done": True,
        "plugins": [READY],
        "problem": "line 3: `workers`: expected `int`",
    }
    daemon.replies(lambda request: line(**(HELLO if request["op"] == "hello" else plugins)))
    assert main(["doctor"]) == 1
    assert "!!  config.toml: line 3: `workers`" in capsys.readouterr().out


def test_a_section_for_no_plugin_is_a_note(desk, daemon, capsys):
    notice = "line 1: `[plugins.Ecko]`: there is no plugin 'Ecko': did you mean 'echo'?"
    plugins = {"type": "plugins", "id": 1, "done": True, "plugins": [READY], "problem": None, "notices": [notice]}
    daemon.replies(lambda request: line(**(HELLO if request["op"] == "hello" else plugins)))
    assert main(["doctor"]) == 0
    assert f"--  config.toml, {notice}" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["found", "compiling"])
@pytest.mark.parametrize("others", [[READY], []])
def test_plugins_that_compile_are_no_trouble(desk, answers, capsys, state, others):
    answers(*others, READY | {"name": "x", "state": state}, READY | {"name": "y", "state": state})
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "--  plugin x is being compiled" in out
    assert "--  plugin y is being compiled" in out
    assert "no plugin is ready" not in out


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["refused", "refused"], "!!  plugin b is refused: why"),
        (["disabled", "refused"], "!!  plugin b is refused: why"),
        (["disabled", "disabled"], "!!  no plugin is ready, all are switched off: `swiftctl enable`"),
    ],
)
def test_where_no_plugin_will_answer_it_says_why(desk, answers, capsys, states, told):
    answers(*(READY | {"name": name, "state": state, "error": "why"} for name, state in zip("ab", states, strict=True)))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert told in out
    assert "put .wasm files" not in out


@pytest.mark.parametrize("program", ["rofi", "xclip", "xdg-open"])
def test_a_missing_program_is_told(desk, answers, capsys, program):
    (desk / "bin" / program).unlink()
    assert main(["doctor"]) == 1
    assert program in next(each for each in capsys.readouterr().out.splitlines() if each.startswith("!!"))


@pytest.mark.parametrize(
    ("folder", "mode", "told"),
    [
        ("swift", 0o755, "others can enter"),
        ("cache/swift", 0o711, "chmod 700"),
        ("config/swift/plugins", 0o777, "others can write into"),
        ("config/swift", 0o775, "chmod 755"),
    ],
)
def test_a_folder_that_is_open_to_others_is_told(desk, answers, capsys, folder, mode, told):
    (desk / folder).mkdir(parents=True, exist_ok=True)
    (desk / folder).chmod(mode)
    assert main(["doctor"]) == 1
    assert told in capsys.readouterr().out


def test_a_file_in_the_place_of_a_folder_is_told(desk, answers, capsys):
    (desk / "cache").mkdir()
    (desk / "cache" / "swift").touch()
    assert main(["doctor"]) == 1
    assert "is not a folder" in capsys.readouterr().out


def test_without_a_daemon_the_rest_is_still_checked(desk, capsys):
    assert main(["--no-start", "doctor"]) == 1
    out = capsys.readouterr().out
    assert "!!  no daemon: nobody listens" in out
    assert "opener: xdg-open" in out


def test_without_a_graphical_session_menus_are_not_missed(desk, answers, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    assert main(["doctor"]) == 0
    assert "no graphical session" in capsys.readouterr().out


@pytest.mark.parametrize("installed", [True, False])
def test_units_are_looked_for_where_there_is_a_user_manager(desk, answers, capsys, installed):
    (desk / "bin" / "systemctl").touch(mode=0o755)
    (desk / "systemd").mkdir()
    (desk / "systemd" / "private").touch()
    if installed:
        (desk / "config" / "systemd" / "user").mkdir(parents=True)
        (desk / "config" / "systemd" / "user" / "swiftd.socket").touch()
    main(["doctor"])
    out = capsys.readouterr().out
    assert ("ok  systemd units: installed" in out) == installed
    assert ("--  systemd units: not installed" in out) == (not installed)


def test_without_a_user_manager_units_are_not_missed(desk, answers, capsys):
    main(["doctor"])
    assert "--  no systemd user manager here" in capsys.readouterr().out


def test_a_folder_above_in_which_others_could_swap_it_is_told(session):
    (session / "a" / "swift").mkdir(parents=True, mode=0o700)
    (session / "a").chmod(0o777)
    [(kind, what, _)] = doctor.folder("plugins", session / "a" / "swift", 0o022)
    assert (kind, what) == (
        "trouble",
        f"plugins folder: {session}/a/swift: others can write to {session}/a (mode 0777)",
    )
