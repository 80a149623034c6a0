"""Real processes of real users: it takes root to start them. Each needs a Python that he may read."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

SOMEBODY, STRANGER = 65534, 54321
"""An ordinary user, and one who is in no list of users."""

PATIENCE = 60


@functools.cache
def python(user):
    """An interpreter that the user may start, with what swiftctl and swiftd import."""
    where = os.pathsep.join(map(str, filter(None, sys.path)))
    for interpreter in (sys.executable, "/usr/bin/python3"):
        words = [interpreter, "-c", "import swiftctl.__main__, swiftd.daemon, wasmtime.component"]
        try:
            subprocess.run(words, check=True, capture_output=True, env={"PYTHONPATH": where}, cwd="/", **ids(user))
        except (OSError, subprocess.CalledProcessError):
            continue
        return interpreter, where
    return None


def ids(user):
    return {"user": user, "group": user, "extra_groups": []}


class Swiftctl:
    """Runs swiftctl as one user or another, always with one and the same environment."""

    def __init__(self, **environment):
        self.environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"} | environment

    def __call__(self, user, *words, **more):
        if (found := python(user)) is None:
            pytest.skip(f"user {user} may start no Python that has what swiftctl needs")
        interpreter, where = found
        return subprocess.run(
            [interpreter, "-m", "swiftctl", *words],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment | {"PYTHONPATH": where} | more,
            cwd="/",
            timeout=PATIENCE,
            **ids(user),
        )
