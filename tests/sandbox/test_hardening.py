"""What a sandbox process gives up. What it can't do any more is tried by native code in test_native_code.py."""

from __future__ import annotations

import os
import subprocess
import sys

from daemons import in_view

from swiftd.sandbox import landlock


def test_a_folder_that_is_not_there_is_left_out():
    """In a child: what Landlock takes can't be given back."""
    script = "from swiftd.sandbox.landlock import restrict; print(restrict(['/nowhere/at/all'], []))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip().isdecimal()


def test_the_rules_name_their_constants_for_every_version():
    assert sorted(landlock._ALL_BY_VERSION) == [1, 2, 3, 4, 5]
    assert all(rights & landlock._READ == landlock._READ for rights in landlock._ALL_BY_VERSION.values())


def test_a_worker_has_nothing_that_was_inherited(idle_daemon):
    """No descriptor of the daemon's or of whoever started it, an empty environment, a session of its own."""
    daemon = idle_daemon.start(under=in_view())
    client = daemon.client()
    assert client.names(">hi") == ["You typed: hi"]
    client.settled("calc")  # the processes that compile hold files of the cache
    assert "seccomp" in client.ask("stats")["hardening"]
    for worker in daemon.idle_workers():
        links = {os.readlink(f"/proc/{worker}/fd/{number}") for number in os.listdir(f"/proc/{worker}/fd")}
        own = ("/dev/null", f"/proc/{worker}/statm")
        inherited = {link for link in links if link.startswith("/") and link not in own and ".cwasm" not in link}
        assert inherited == set()
        assert os.readlink(f"/proc/{worker}/fd/2").startswith("socket:")  # no terminal, nor the daemon's own
        with open(f"/proc/{worker}/environ", "rb") as environ:
            assert b"HOME=" not in environ.read()
        assert os.getsid(worker) == worker
