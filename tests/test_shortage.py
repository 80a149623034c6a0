"""What a daemon does with less than it would take: less memory, time, descriptors, threads, room on the disk.

Limits that were set before it was started are kept. With most of them it serves; where it can't, it says which it is.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import trio
from daemons import PATIENCE, Daemon, eventually

from swiftd import shortage
from swiftd.shortage import can_start
from swiftd.threads import in_thread


def limited(daemon, options, **others):
    """Start a daemon below limits as a shell sets them. Not every sh knows all of them."""
    return daemon.start(under=("bash", "-c", f'ulimit {options}; exec "$@"', "bash"), **others)


@pytest.fixture
def own(tmp_path):
    daemon = Daemon(tmp_path, tmp_path / "cache")
    yield daemon
    daemon.close()


@pytest.mark.parametrize(
    "options", ["-v 4000000", "-v 1000000", "-t 20", "-n 64", "-n 32", "-s 256", "-s 1024", "-d 200000", "-l 0", "-c 0"]
)
def test_below_a_limit_it_serves(own, options):
    client = limited(own, options).client()
    assert client.names("=1+2*3") == ["1+2*3 = 7"]
    assert client.names(">x") == ["You typed: x"]
    assert [plugin["error"] for plugin in client.ask("plugins")["plugins"]] == [None, None]


def test_its_processes_keep_the_limits(own):
    limited(own, "-v 4000000; ulimit -t 20; ulimit -n 256").client().settled("calc")
    workers = eventually(lambda: len(found := own.workers()) == 2 and found)
    for limit, value in (
        (resource.RLIMIT_AS, 4_096_000_000),
        (resource.RLIMIT_CPU, 20),
        (resource.RLIMIT_NOFILE, 256),
    ):
        for pid in workers:
            assert resource.prlimit(pid, limit) == (value, value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("-f 100", "`ulimit -f` allows here"),
        ("-v 130000", "`ulimit -v` allows here"),
    ],
)
def test_where_it_can_t_serve_it_names_the_limit_and_remembers_nothing(own, options, error):
    client = limited(own, options, wait=True).client()
    plugin = client.settled("calc")
    assert plugin["state"] == "refused"
    assert error in plugin["error"]
    own.stop()
    client = own.start().client()
    assert client.names("=1+2*3") == ["1+2*3 = 7"]


@pytest.mark.parametrize("files", [16, 20, 26, 31])
def test_with_too_few_files_it_ends_and_names_the_limit(own, files):
    limited(own, f"-n {files}", wait=False)
    assert own.process.wait(PATIENCE) == 1
    own.process = None
    assert f"{files} files may be open at once (`ulimit -n`)" in own.said()
    assert "Traceback" not in own.said()


@pytest.mark.skipif(os.getuid() == 0, reason="root may have any number of processes")
def test_without_processes_it_ends_and_names_the_limit(own):
    limited(own, "-u 1", wait=False)
    assert own.process.wait(PATIENCE) == 1
    own.process = None
    assert "`ulimit -u`" in own.said()
    assert "Traceback" not in own.said()


# ---- threads ----------------------------------------------------------------------------------------------------


async def test_what_no_thread_is_to_be_had_for_is_done_here(monkeypatch):
    async def run_sync(*arguments, **options):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    assert await in_thread(divmod, 7, 2) == (3, 1)


async def test_an_error_of_the_work_itself_is_not_taken_for_that():
    done = []

    def work():
        done.append(1)
        raise RuntimeError("other")

    with pytest.raises(RuntimeError, match="other"):
        await in_thread(work)
    assert done == [1]


def test_whether_threads_are_to_be_had_is_found_out(monkeypatch):
    assert can_start(3)
    started = []

    class Thread(shortage.threading.Thread):
        def start(self):
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(self)
            super().start()

    monkeypatch.setattr(shortage.threading, "Thread", Thread)
    assert not can_start(3)
    assert not any(thread.is_alive() for thread in started)


# ---- limits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(-1, -1, 100), (50, -1, 50), (200, -1, 100), (50, 60, 50), (200, 200, 100), (-1, 70, 70)],
)
def test_the_lowest_of_what_is_wanted_and_allowed_is_taken(monkeypatch, soft, hard, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (soft, hard))
    assert shortage.allowed(resource.RLIMIT_AS, 100) == expected


def test_what_is_ours_is_not_said_to_be_the_user_s_limit(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert shortage.of_memory() == "compiling it takes more than 4 GiB of memory"
    assert shortage.of_time() == "compiling it takes more than 60 s of processor time"


@pytest.mark.parametrize("path", ["/dev/full"])
def test_a_full_disk_is_told_by_what_the_kernel_says(path):
    with pytest.raises(OSError) as caught, Path(path).open("wb", buffering=0) as file:  # noqa: PT011
        file.write(b"x")
    assert shortage.of(caught.value) == ("no space is left where the cache is: it is tried again by itself", True)
