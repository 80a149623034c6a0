"""The completions, tried by the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys

import pytest
from swiftctl_answers import line

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


WORDS = [
    (["pl"], {"plugins"}),
    (["query", "--j"], {"--json"}),
    (["query", "--su"], {"--supersede"}),
    (["query", ""], set()),
    (["menu", "wo"], {"wofi"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["service", ""], {"install", "uninstall", "status"}),
    (["check", ""], {"new.wasm", "new one.wasm", "folder", "x"}),
    (["check", "new."], {"new.wasm"}),
    (["check", "--query", "text", "new."], {"new.wasm"}),
    (["check", "folder/"], {"folder/deep.wasm"}),
    (["open", "new."], {"new.wasm"}),
    (["--socket", "fol"], {"folder"}),
    (["logs", "e"], {"echo"}),
    (["reload", "e"], {"echo"}),
    (["enable", ""], {"calc", "echo"}),
    (["disable", "c"], {"calc"}),
]


@pytest.fixture
def place(tmp_path, daemon, monkeypatch):
    """A folder with files, a daemon with plugins, and swiftctl by its name."""
    folder = tmp_path / "files"
    (folder / "folder").mkdir(parents=True)
    for name in ("new.wasm", "new one.wasm", "x", "folder/deep.wasm"):
        (folder / name).touch()
    plugins = [PLUGIN | {"name": name} for name in ("calc", "echo")]
    daemon.replies(lambda request: line(type="plugins", id=request["id"], done=True, plugins=plugins, problem=None))
    program = tmp_path / "bin" / "swiftctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m swiftctl "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    monkeypatch.chdir(folder)
    return folder


PLUGIN = {
    "trigger": "=", "state": "ready", "language": "Rust", "size": 1, "load_ms": 1.0, "error": None, "bundled": True,
    "path": "/p", "denied": [], "contract": "", "imports": [],
}  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), WORDS)
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes(capsys, place, words, expected):
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
    assert set(done.stdout.splitlines()) - {""} == expected


@pytest.mark.parametrize(("words", "expected"), WORDS)
@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes(capsys, tmp_path, place, words, expected):
    main(["completion", "fish"])
    script = tmp_path / "swiftctl.fish"
    script.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C 'swiftctl {' '.join(words)}'"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert {each.split("\t")[0].rstrip("/") for each in done.stdout.splitlines()} == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("pl", "plugins"),
        ("service u", "uninstall"),
        ("check new.", "new.wasm"),
        ("check --query text new.", "new.wasm"),
        ("open new.", "new.wasm"),
        ("disable c", "calc"),
        ("logs e", "echo"),
    ],
)
def test_zsh_completes(capsys, tmp_path, place, monkeypatch, typed, expected):
    """At a terminal, as zsh completes nowhere else: a tab, then Enter, which prints the line and runs nothing."""
    main(["completion", "zsh"])
    (tmp_path / "_swiftctl").write_text(capsys.readouterr().out)
    (tmp_path / ".zshrc").write_text(
        f"PS1=; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D\n"
        "zstyle ':completion:*' insert-tab false\n"  # else a tab is no wish to complete while more is being typed
        "accept() { print -r -- $'\\n'\"LINE[$BUFFER]\"; BUFFER=; zle accept-line }\n"
        "zle -N accept; bindkey '^M' accept\n"
        "zle-line-init() { print READY }; zle -N zle-line-init\n"
    )
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    master, terminal = pty.openpty()
    words = ["zsh", "--no-global-rcs", "-i"]
    zsh = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    try:
        _read_until(master, b"READY")
        os.write(master, f"swiftctl {typed}\t\r".encode())
        said = _read_until(master, b"]")
    finally:
        zsh.kill()
        zsh.wait()
        os.close(master)
    [shown] = re.findall(r"LINE\[(.*)\]", said.decode(errors="replace"))
    assert shown.split()[-1] == expected


def _read_until(master, end):
    said = b""
    while end not in said:
        ready, _, _ = select.select([master], [], [], 30)
        assert ready, said
        said += os.read(master, 4096)
    return said


def test_without_shtab_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 5
    assert "shtab" in capsys.readouterr().err
