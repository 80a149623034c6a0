"""What an installation from a wheel, and a build from the source archive, find in it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the build is made by hatchling")

ROOT = Path(__file__).parents[1]

IN_THE_PACKAGES = {
    "wit/record/launcher.wit": "swiftd/wit/record/launcher.wit",
    "wit/resource/launcher.wit": "swiftd/wit/resource/launcher.wit",
    "plugins/bundled/calc.wasm": "swiftd/bundled/calc.wasm",
    "plugins/bundled/echo.wasm": "swiftd/bundled/echo.wasm",
    "systemd/swiftd.service": "swiftctl/systemd/swiftd.service",
    "systemd/swiftd.socket": "swiftctl/systemd/swiftd.socket",
    "swiftd/__main__.py": "swiftd/__main__.py",
    "swiftd/sandbox/__init__.py": "swiftd/sandbox/__init__.py",
    "swiftd/py.typed": "swiftd/py.typed",
    "clients/swiftctl/__main__.py": "swiftctl/__main__.py",
}
SHARED = {
    "man/swiftctl.1": "share/man/man1/swiftctl.1",
    "man/swiftd.1": "share/man/man1/swiftd.1",
    "man/swiftd.toml.5": "share/man/man5/swiftd.toml.5",
    "clients/shell/swift-query": "share/doc/swiftd/clients/swift-query",
    "clients/python/query.py": "share/doc/swiftd/clients/query.py",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-d", folder]
    # Its warnings are its own, and none of ours are at stake: it reads this project, and imports nothing of it.
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    return folder


def test_the_wheel_has_all_that_is_read_at_run_time_and_all_that_people_look_for(built):
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [data] = {name.split("/")[0] for name in names if ".data/" in name}
        for source, target in (IN_THE_PACKAGES | {of: f"{data}/data/{to}" for of, to in SHARED.items()}).items():
            assert target in names
            assert archive.read(target) == (ROOT / source).read_bytes(), target
        for module in (*ROOT.glob("swiftd/**/*.py"), *ROOT.glob("clients/swiftctl/**/*.py")):
            assert str(module.relative_to(ROOT)).removeprefix("clients/") in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        [scripts] = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert "swiftctl = " in scripts
    assert "swiftd = " in scripts
    assert not {name for name in names if name.startswith(("tests/", "bench/")) or "__pycache__" in name}


def test_the_source_archive_has_what_the_wheel_is_built_from(built):
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        names = {name.partition("/")[2] for name in sources.getnames()}
    assert {*IN_THE_PACKAGES, *SHARED, "pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_wheel_says_what_it_needs(built):
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = (archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA"))
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
