"""A thousand random things happen to a plugin folder; then the daemon has what one that was just started has."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import GUESTS, Daemon, component, eventually
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

EXAMPLES = 10
STEPS = 115
"""A step in eight is none of the thousand: a pause, or a look at what has become of it."""

NAMES = st.sampled_from(["a", "b", "c", "d", "echo"])  # the last is the name of a bundled one, too
TEXTS = {
    **{f"plugin {number}": component(f"says {number}", f"t{number % 4}:") for number in range(6)},
    "nothing": "",
    "rubbish": "rubbish",
    "half": component("says 0", "t0:")[:-20],
    "no handle": (GUESTS / "no-handle.wat").read_text(),
    "traps": (GUESTS / "trigger-trap.wat").read_text(),
}
CONTENTS = st.sampled_from(list(TEXTS))
PLACES = st.sampled_from(["a", "b", "c", "d"])
TRIGGERS = ["t0:", "t1:", "t2:", "t3:", ">"]
TIMES = st.sampled_from([0, 1, 2**31, 2**33, None])


class Folder(RuleBasedStateMachine):
    """The operations. One on a file that isn't there does nothing, as in life."""

    cache = None
    count = 0

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="swiftd-test-machine-"))
        self.outside = self.home / "outside"
        self.outside.mkdir()
        self.daemon = Daemon(self.home, self.cache)
        self.plugins = self.daemon.plugins

    @initialize()
    def start(self):
        self.client = self.daemon.start().client()

    def teardown(self):
        try:
            if self.daemon.process is not None:
                self.compare()
                assert "Traceback" not in self.daemon.said()
        except Exception as error:
            error.add_note(f"The daemon said:\n{self.daemon.said()[-5000:]}")
            raise
        finally:
            self.daemon.close()
            shutil.rmtree(self.home)

    def path(self, name):
        Folder.count += 1
        self.plugins.mkdir(exist_ok=True)
        return self.plugins / f"{name}.wasm"

    def clear(self, path):
        """Make room."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    # ---- what happens -------------------------------------------------------------------------------------------

    @rule(name=NAMES, content=CONTENTS)
    def write(self, name, content):
        path = self.path(name)
        if not path.is_dir() and (path.exists() or not path.is_symlink()):
            path.write_text(TEXTS[content])

    @rule(name=NAMES, content=CONTENTS)
    def replace(self, name, content):
        path = self.path(name)
        if path.is_dir():
            self.clear(path)
        (self.plugins / "aside").write_text(TEXTS[content])
        (self.plugins / "aside").rename(path)

    @rule(name=NAMES, content=CONTENTS)
    def write_in_pieces(self, name, content):
        path = self.path(name)
        self.clear(path)
        with path.open("wb", buffering=0) as file:
            text = TEXTS[content]
            for at in range(0, len(text), 500):
                file.write(text[at : at + 500].encode())
                time.sleep(0.002)  # to be caught at it

    @rule(old=NAMES, new=NAMES)
    def rename(self, old, new):
        source, target = self.path(old), self.path(new)
        if os.path.lexists(source) and old != new:
            self.clear(target)
            source.rename(target)

    @rule(one=NAMES, other=NAMES)
    def swap(self, one, other):
        libc = ctypes.CDLL(None)
        libc.renameat2(-100, bytes(self.path(one)), -100, bytes(self.path(other)), 2)  # does nothing if one is missing

    @rule(name=NAMES)
    def delete(self, name):
        self.clear(self.path(name))

    @rule(name=NAMES, to=PLACES, place=st.sampled_from(["inside", "outside"]))
    def link(self, name, to, place):
        path = self.path(name)
        self.clear(path)
        path.symlink_to((self.plugins if place == "inside" else self.outside) / f"{to}.wasm")  # perhaps to itself

    @rule(to=PLACES, content=st.none() | CONTENTS)
    def change_outside(self, to, content):
        Folder.count += 1
        path = self.outside / f"{to}.wasm"
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(TEXTS[content])

    @rule(name=NAMES, size=st.integers(0, 3000))
    def truncate(self, name, size):
        path = self.path(name)
        if path.is_file():
            os.truncate(path, size)

    @rule(name=NAMES, when=TIMES)
    def touch(self, name, when):
        path = self.path(name)
        if path.exists():
            os.utime(path, None if when is None else (when, when))

    @rule(name=NAMES)
    def make_folder(self, name):
        path = self.path(name)
        self.clear(path)
        path.mkdir()

    @rule(anew=st.booleans())
    def remove_the_folder(self, anew):
        Folder.count += 1
        shutil.rmtree(self.plugins, ignore_errors=True)
        if anew:
            self.plugins.mkdir()

    # ---- meanwhile ----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3]))
    def pause(self, seconds):
        time.sleep(seconds)  # the watcher may act, or not

    @rule(trigger=st.sampled_from(TRIGGERS))
    def ask(self, trigger):
        answer = self.client.query(trigger, wait_ms=0)
        assert {error["code"] for error in answer["errors"]} <= {"compiling"}

    def compare(self, *, told=True):
        """What there is, once the daemon was told to look, or has noticed by itself."""
        if told:
            self.client.ask("reload")
        fresh = Daemon(self.home, self.cache)
        try:
            fresh.log = self.home / "fresh.log"
            expected = catalog(fresh.start().client())
        finally:
            fresh.close()
        if not told:
            with suppress(AssertionError):  # the next line says what is different
                eventually(lambda: catalog(self.client) == expected, patience=10.0)
        assert catalog(self.client) == expected

    @rule(told=st.booleans(), often=st.integers(0, 1))
    def look(self, told, often):
        if often == 0:
            self.compare(told=told)


def catalog(client):
    """What there is. Of a file that can't be used it does not matter that an older one may still serve."""
    found = {}
    for name in [plugin["name"] for plugin in client.ask("plugins")["plugins"]]:
        plugin = client.settled(name)
        answers = {trigger: client.names(trigger, plugins=[name]) for trigger in TRIGGERS}
        known = {key: plugin[key] for key in ("path", "bundled", "size", "error")}
        if plugin["error"] is None:
            known |= {key: plugin[key] for key in ("state", "trigger", "contract")} | {"answers": answers}
        found[name] = known
    if all(known["error"] is None for known in found.values()):  # else an older one's trigger may be in the way
        found["problems"] = {plugin["name"]: plugin["problems"] for plugin in client.ask("plugins")["plugins"]}
        found["answers"] = {trigger: client.names(trigger) for trigger in TRIGGERS}
    return found


@pytest.mark.slow
def test_after_a_thousand_operations_the_catalog_is_that_of_a_fresh_daemon(cache):
    Folder.cache = cache
    Folder.count = 0
    run_state_machine_as_test(
        Folder,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Folder.count >= 800
