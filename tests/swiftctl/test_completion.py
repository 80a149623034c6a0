"""The completions, tried by the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from swiftctl.__main__ import main

pytest.importorskip("shtab", reason="completions are made by shtab")


def shell(name):
    return pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"needs {name}"))


@pytest.mark.parametrize("name", [shell("bash"), shell("zsh"), shell("fish")])
def test_the_script_is_one_of_the_shells_language(capsys, tmp_path, name):
    assert main(["completion", name]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    subprocess.run([name, "-n", script], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pl"], {"plugins"}),
        (["query", "--j"], {"--json"}),
        (["menu", "wo"], {"wofi"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
)
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes(capsys, words, expected):
    main(["completion", "bash"])
    line = ["swiftctl", *words]
    ask = (
        f"COMP_WORDS=({' '.join(repr(word) for word in line)}); COMP_CWORD={len(words)}\n"
        '$(complete -p swiftctl | sed "s/.*-F \\([^ ]*\\).*/\\1/") swiftctl "${COMP_WORDS[-1]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{capsys.readouterr().out}\n{ask}"], check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(("typed", "expected"), [("pl", "plugins"), ("query --j", "--json"), ("menu wo", "wofi")])
def test_fish_completes(capsys, tmp_path, typed, expected):
    main(["completion", "fish"])
    script = tmp_path / "swiftctl.fish"
    script.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C 'swiftctl {typed}'"],
        check=True,
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert [each.split("\t")[0] for each in done.stdout.splitlines()] == [expected]


def test_without_shtab_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 5
    assert "shtab" in capsys.readouterr().err
