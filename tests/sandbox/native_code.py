"""What native code in a sandbox process may try, with the answer that it must get; and the process that tries it.

Started in the place of the zygote, with its socket. It forks as the zygote does; a child is hardened as ever, and then
runs the operations below instead of loading a component or compiling one.

A place that the operations need stands in `P`: what the trial's other side has prepared.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
import termios
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = resource.RLIMIT_DATA
libc = ctypes.CDLL(None, use_errno=True)
P: dict[str, Any] = {}

REFUSED = ("EPERM", "EACCES", "ENOSYS", "EXDEV")
"""What the walls answer. Another error comes from behind them: the call got through."""

NUMBERS = {
    name: int(numbers[("x86_64", "aarch64").index(os.uname().machine)])
    for name, *numbers in map(str.split, Path(__file__).with_name("syscalls.txt").read_text().splitlines()[1:])
    if numbers[("x86_64", "aarch64").index(os.uname().machine)] != "-"
}


class AbsentError(Exception):
    """This machine has no such call."""


def raw(name, *arguments):
    """A system call by its name."""
    if name not in NUMBERS:
        raise AbsentError(name)
    taken = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    result = libc.syscall(NUMBERS[name], *(ctypes.c_long(a) if isinstance(a, int) else a for a in taken))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def opened(path, flags, mode=0o600):
    number = os.open(path, flags | os.O_CLOEXEC, mode)
    os.close(number)


def with_file(attempt, path=None, flags=os.O_RDONLY):
    """Try something on a descriptor of a file that may be read."""
    number = os.open(path or P["inside"] + "/file", flags)
    try:
        return attempt(number)
    finally:
        os.close(number)


def read(path):
    with open(path, "rb") as file:
        return file.read(1)


def thread():
    done = []
    started = threading.Thread(target=done.append, args=(1,))
    started.start()
    started.join()
    assert done == [1]


def new_process():
    if raw("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def forked():
    if os.fork() == 0:
        os._exit(0)


def lower_and_raise(limit):
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY:
        return  # it could be anything: the test fails
    raw("prlimit64", 0, int(limit), (ctypes.c_uint64 * 2)(hard, hard + 1), None)


def more_memory(size, flags):
    memory = mmap.mmap(-1, size, flags)
    memory.close()


def open_how(flags, mode=0):
    return (ctypes.c_uint64 * 3)(flags, mode, 0)


def key(*parts):
    return "/".join((P["outside"], *(parts or ("key",))))


def new(name):
    return P["writable"] + "/" + name


@dataclass(frozen=True)
class Operation:
    """One thing to try."""

    what: str
    expected: str
    """`refused`; `works`; `granted`: with a grant to write only; `landlock`: refused where the kernel has it."""
    attempt: Callable[[], object]


def operations():
    """All of them. Where a call is refused whatever it is about, the kernel's own refusal would be another error."""
    refused, works, granted, landlock = "refused", "works", "granted", "landlock"
    victim = P["victim"]
    table = [
        # What a sandbox process needs.
        (works, "read where it may", lambda: read(P["inside"] + "/file") == b"x" or 1 / 0),
        (works, "list where it may", lambda: os.listdir(P["inside"])),
        (works, "start a thread", thread),
        (works, "ask for random bytes", lambda: os.urandom(8)),
        (works, "lower its own limits", lambda: resource.setrlimit(DATA, resource.getrlimit(DATA))),
        (works, "write to stderr", lambda: os.write(2, b"")),
        (works, "take private memory", lambda: more_memory(1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)),
        (works, "have been alone when it was hardened", lambda: P["threads"] == 1 or 1 / 0),
        (works, "name a thread", lambda: raw("prctl", 15, b"name")),
        (works, "handle a signal", lambda: signal.signal(signal.SIGUSR1, lambda *_: None)),
        (works, "send itself one", lambda: raw("tgkill", os.getpid(), threading.get_native_id(), signal.SIGUSR1)),
        # What nothing of Linux keeps from it: names, sizes and times of any file that the user can see.
        (works, "look at any file", lambda: os.stat(key())),
        (works, "read any link", lambda: os.readlink(key("link"))),
        # With a grant to write.
        (granted, "make a file", lambda: opened(new("made"), os.O_CREAT | os.O_WRONLY)),
        (granted, "make a folder", lambda: raw("mkdirat", -100, new("folder"), 0o700)),
        (granted, "rename a file", lambda: raw("renameat", -100, new("file"), -100, new("renamed"))),
        (granted, "make a symbolic link", lambda: raw("symlinkat", "../outside", -100, new("link"))),
        (granted, "make a hard link", lambda: raw("linkat", -100, new("renamed"), -100, new("hard"), 0)),
        (granted, "cut a file", lambda: with_file(lambda n: os.ftruncate(n, 0), new("renamed"), os.O_RDWR)),
        (granted, "set the times of an open file", lambda: with_file(lambda n: raw("utimensat", n, None, None, 0))),
        (granted, "remove a file", lambda: raw("unlinkat", -100, new("hard"), 0)),
        (refused, "set the times of a name", lambda: os.utime(new("renamed"), (0, 0))),
        (refused, "make a file that others can start as the user", lambda: startable(new("setuid"))),
        # Files, for which it has no grant.
        (landlock, "read outside", lambda: read(key())),
        (landlock, "read outside by openat2", lambda: raw("openat2", -100, key(), open_how(0), 24)),
        (refused, "write outside", lambda: opened(key(), os.O_WRONLY)),
        (refused, "make a file outside", lambda: opened(key("new"), os.O_WRONLY | os.O_CREAT)),
        (refused, "make a file without a name outside", lambda: opened(P["outside"], os.O_TMPFILE | os.O_RDWR)),
        (landlock, "make one by openat2", lambda: raw("openat2", -100, key("new"), open_how(0o101, 0o600), 24)),
        (refused, "read what a file's mode forbids, as root may", lambda: read(P["inside"] + "/closed")),
        (refused, "write where it may read", lambda: opened(P["inside"] + "/file", os.O_RDWR)),
        (landlock, "write there by openat2", lambda: raw("openat2", -100, P["inside"] + "/file", open_how(2), 24)),
        (refused, "cut a file outside", lambda: raw("truncate", key(), 0)),
        (refused, "remove a file outside", lambda: raw("unlinkat", -100, key(), 0)),
        (refused, "rename a file outside", lambda: raw("renameat", -100, key(), -100, key("other"))),
        (refused, "fetch a file from outside", lambda: raw("renameat2", -100, key(), -100, new("fetched"), 0)),
        (refused, "fetch a file by a hard link", lambda: raw("linkat", -100, key(), -100, new("linked"), 0)),
        (refused, "make a folder outside", lambda: raw("mkdirat", -100, key("folder"), 0o700)),
        (refused, "make a link outside", lambda: raw("symlinkat", "/", -100, key("other"))),
        (landlock, "list outside", lambda: os.listdir(P["outside"])),
        (landlock, "list /", lambda: os.listdir("/")),
        (landlock, "read /etc/passwd", lambda: read("/etc/passwd")),
        (landlock, "read its own memory map", lambda: read("/proc/self/maps")),
        (refused, "write into its own memory by /proc", lambda: opened("/proc/self/mem", os.O_RDWR)),
        (landlock, "read another process's memory", lambda: read(f"/proc/{victim}/mem")),
        (landlock, "read another process's environment", lambda: read(f"/proc/{victim}/environ")),
        (landlock, "open the terminal", lambda: opened("/dev/tty", os.O_RDONLY)),
        (refused, "write to a device", lambda: opened("/dev/zero", os.O_RDWR)),
        (refused, "make a device", lambda: raw("mknodat", -100, new("device"), 0o20600, os.makedev(1, 3))),
        (refused, "make a FIFO", lambda: os.mkfifo(new("fifo"))),
        (refused, "make a socket file", lambda: raw("mknodat", -100, new("socket"), 0o140600, 0)),
        (refused, "go to another folder", lambda: os.chdir("/")),
        # What a file is, beside its content.
        (refused, "chmod a file", lambda: os.chmod(key(), 0o666)),
        (refused, "chmod a folder", lambda: os.chmod(P["outside"], 0o777)),
        (refused, "fchmod a file that may be read", lambda: with_file(lambda n: os.fchmod(n, 0o666))),
        (refused, "fchmodat a file", lambda: raw("fchmodat", -100, key(), 0o666)),
        (refused, "fchmodat2 a file", lambda: raw("fchmodat2", -100, key(), 0o666, 0x100)),
        (refused, "chown a file", lambda: os.chown(key(), os.getuid(), os.getgid())),
        (refused, "lchown a file", lambda: os.lchown(key(), os.getuid(), os.getgid())),
        (refused, "fchown a file", lambda: with_file(lambda n: os.fchown(n, os.getuid(), os.getgid()))),
        (refused, "fchownat a file", lambda: raw("fchownat", -100, key(), os.getuid(), os.getgid(), 0)),
        (refused, "set the times of a file", lambda: os.utime(key(), (0, 0))),
        (refused, "set the times of a link", lambda: os.utime(key("link"), (0, 0), follow_symlinks=False)),
        (refused, "set the times of a file by utime", lambda: raw("utime", key(), None)),
        (refused, "set the times of a file by utimes", lambda: raw("utimes", key(), None)),
        (refused, "set the times of a file by futimesat", lambda: raw("futimesat", -100, key(), None)),
        (refused, "set an attribute", lambda: os.setxattr(key(), "user.x", b"x")),
        (refused, "set a link's attribute", lambda: os.setxattr(key("link"), "user.x", b"x", follow_symlinks=False)),
        (refused, "set an open file's attribute", lambda: with_file(lambda n: os.setxattr(n, "user.x", b"x"))),
        (refused, "read an attribute", lambda: os.getxattr(key(), "user.mark")),
        (refused, "list attributes", lambda: os.listxattr(key())),
        (refused, "remove an attribute", lambda: os.removexattr(key(), "user.mark")),
        (refused, "set an attribute by setxattrat", lambda: raw("setxattrat", -100, key(), 0, b"user.x", None, 0)),
        (refused, "set a file's flags", lambda: with_file(lambda n: fcntl.ioctl(n, 0x40086602, b"\0" * 8))),
        (refused, "set a file's flags by file_setattr", lambda: raw("file_setattr", -100, key(), None, 0, 0)),
        (refused, "make a handle of a file", lambda: raw("name_to_handle_at", -100, key(), None, None, 0)),
        (refused, "open a file by a handle", lambda: raw("open_by_handle_at", -100, None, 0)),
        # Watching.
        (refused, "watch a folder by inotify", lambda: raw("inotify_init1", 0)),
        (refused, "watch a folder by fanotify", lambda: raw("fanotify_init", 0x200, 0)),
        (refused, "watch a folder by dnotify", lambda: with_file(lambda n: fcntl.fcntl(n, 1026, 0x2E), P["inside"])),
        (refused, "hold a file by a lease", lambda: with_file(lambda n: fcntl.fcntl(n, 1024, fcntl.F_RDLCK))),
        (refused, "lock a file by fcntl", lambda: with_file(lambda n: fcntl.lockf(n, fcntl.LOCK_SH | fcntl.LOCK_NB))),
        (refused, "lock a file by flock", lambda: with_file(lambda n: fcntl.flock(n, fcntl.LOCK_SH | fcntl.LOCK_NB))),
        # Memory of others, and memory that no limit counts.
        (refused, "map the user's shared memory", lambda: raw("shmat", P["shared"], None, 0)),
        (refused, "remove the user's shared memory", lambda: raw("shmctl", P["shared"], 0, None)),
        (refused, "make shared memory", lambda: raw("shmget", 0, 64 << 20, 0o1600)),
        (refused, "use the user's semaphores", lambda: raw("semop", P["semaphores"], None, 0)),
        (refused, "remove the user's semaphores", lambda: raw("semctl", P["semaphores"], 0, 0, 0)),
        (refused, "make semaphores", lambda: raw("semget", 0, 1, 0o1600)),
        (refused, "send to the user's message queue", lambda: raw("msgsnd", P["queue"], None, 8, 0o4000)),
        (refused, "make a message queue", lambda: raw("msgget", 0, 0o1600)),
        (refused, "make a POSIX message queue", lambda: raw("mq_open", "x", 0o102, 0o600, None)),
        (refused, "take shared memory past the limit", lambda: more_memory(1 << 20, 0x21)),
        (refused, "take a growing stack past the limit", lambda: more_memory(1 << 20, 0x122)),
        (refused, "make a file of memory", lambda: os.memfd_create("x")),
        (refused, "make a file of memory to execute", lambda: os.memfd_create("x", 0x10)),
        (refused, "make a secret file of memory", lambda: raw("memfd_secret", 0)),
        (refused, "lock memory", lambda: raw("mlockall", 1)),
        (refused, "raise the limit of memory", lambda: lower_and_raise(DATA)),
        (refused, "raise the limit of files", lambda: lower_and_raise(resource.RLIMIT_NOFILE)),
        (refused, "raise the limit of a file's size", lambda: lower_and_raise(resource.RLIMIT_FSIZE)),
        # Programs and processes.
        (refused, "start a program", lambda: os.execv("/bin/true", ["true"])),
        (refused, "start a program by its descriptor", lambda: raw("execveat", 0, b"", None, None, 0x1000)),
        (refused, "fork", forked),
        (refused, "fork by clone", new_process),
        (refused, "make a thread of the parent's", lambda: raw("clone", 0x3D8F00, 0, 0, 0, 0)),
        (refused, "make a process by clone3", lambda: raw("clone3", None, 0)),
        (refused, "signal another process", lambda: os.kill(victim, 0)),
        (refused, "signal everybody", lambda: os.kill(-1, 0)),
        (refused, "signal a thread of another", lambda: raw("tkill", victim, 0)),
        (refused, "signal a thread of another by its process", lambda: raw("tgkill", victim, victim, 0)),
        (refused, "queue a signal", lambda: raw("rt_sigqueueinfo", victim, 0, None)),
        (refused, "get a handle on another process", lambda: os.pidfd_open(victim)),
        (refused, "take a descriptor of another", lambda: raw("pidfd_getfd", 0, 0, 0)),
        (refused, "have signals sent by a descriptor", lambda: fcntl.fcntl(2, fcntl.F_SETOWN, victim)),
        (refused, "choose that signal", lambda: fcntl.fcntl(2, 10, signal.SIGKILL)),
        (refused, "have signals sent by an ioctl", lambda: fcntl.ioctl(2, 0x8901, b"\1\0\0\0")),
        (refused, "trace another process", lambda: raw("ptrace", 16, victim, 0, 0)),
        (refused, "be traced by its parent", lambda: raw("ptrace", 0, 0, 0, 0)),
        (refused, "read another's memory", lambda: raw("process_vm_readv", victim, None, 0, None, 0, 0)),
        (refused, "write another's memory", lambda: raw("process_vm_writev", victim, None, 0, None, 0, 0)),
        (refused, "compare with another process", lambda: raw("kcmp", victim, os.getpid(), 0, 0, 0)),
        (refused, "limit another process", lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE)),
        (refused, "slow another down", lambda: os.setpriority(os.PRIO_PROCESS, victim, 19)),
        (refused, "tie another to a processor", lambda: os.sched_setaffinity(victim, {0})),
        (refused, "tie itself to a processor", lambda: os.sched_setaffinity(0, {0})),
        (refused, "be scheduled before others", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        (refused, "move another's memory", lambda: raw("migrate_pages", victim, 0, None, None)),
        (refused, "outlive its parent", lambda: raw("prctl", 1, 0)),
        (refused, "become dumpable", lambda: raw("prctl", 4, 1)),
        (refused, "let others trace it", lambda: raw("prctl", 0x59616D61, -1)),
        (refused, "put a filter before this one", lambda: raw("prctl", 22, 2, None)),
        (refused, "change what it is as a program", lambda: raw("prctl", 35, 13, 0, 0, 0)),
        (refused, "change its personality", lambda: raw("personality", 0x40000)),
        (refused, "change its segments", lambda: raw("modify_ldt", 1, None, 0)),
        (refused, "have a session of its own", os.setsid),
        (refused, "join another group of processes", lambda: os.setpgid(0, os.getppid())),
        (refused, "become another user", lambda: os.setresuid(os.getuid(), os.getuid(), os.getuid())),
        (refused, "change its groups", lambda: os.setgroups([])),
        (refused, "change its mask for new files", lambda: raw("umask", 0)),
        # Connections.
        *[
            (refused, f"open socket {family} {kind}", lambda family=family, kind=kind: raw("socket", family, kind, 0))
            for family, kind in ((1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (16, 3), (17, 3), (38, 5), (40, 1), (44, 3))
        ],
        (refused, "make a pair of sockets", socket.socketpair),
        (refused, "connect its connection elsewhere", lambda: raw("connect", P["connection"], None, 0)),
        (refused, "listen on its connection", lambda: raw("listen", P["connection"], 1)),
        (refused, "send a descriptor", lambda: raw("sendmsg", P["connection"], None, 0)),
        (refused, "receive a descriptor", lambda: raw("recvmsg", P["connection"], None, 0)),
        (refused, "type into the terminal", lambda: fcntl.ioctl(2, termios.TIOCSTI, b"x")),
        (refused, "paste into the console", lambda: fcntl.ioctl(2, 0x541C, b"\x03")),
        # Namespaces, mounts, the kernel, the machine.
        (refused, "make a namespace", lambda: raw("unshare", 0x10000000)),
        (refused, "make a namespace for a thread", lambda: raw("clone", 0x403D0F00, 0, 0, 0, 0)),
        (refused, "enter a namespace", lambda: raw("setns", 0, 0)),
        *[
            (refused, f"call {name}", lambda name=name: raw(name, 0, 0, 0, 0, 0, 0))
            for name in (
                "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen",
                "fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount", "quotactl", "acct",
                "swapon", "swapoff", "reboot", "sethostname", "setdomainname", "settimeofday", "adjtimex", "syslog",
                "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf",
                "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl", "io_setup", "io_submit",
                "io_uring_setup", "io_uring_enter", "io_uring_register", "seccomp", "capset", "iopl", "ioperm",
                "landlock_create_ruleset", "move_pages", "mbind", "splice", "vmsplice", "timer_create",
            )
        ],
    ]  # fmt: skip
    return [Operation(what, expected, attempt) for expected, what, attempt in table]


def startable(path):
    """Make a program that runs as the user whoever starts it; by openat2, whose mode no filter sees, if need be."""
    raw("openat2", -100, path, open_how(os.O_CREAT | os.O_WRONLY, 0o4777), 24)
    if os.stat(path).st_mode & 0o077 == 0:
        raise PermissionError(errno.EACCES, "nobody else can start it")


def tried():
    """The outcome of each operation: `works`, `refused`, `absent`, or another error's name."""
    outcomes = {}
    for operation in operations():
        try:
            operation.attempt()
        except AbsentError:
            outcomes[operation.what] = "absent"
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error))
            outcomes[operation.what] = "refused" if name in REFUSED else name
        except Exception as error:  # noqa: BLE001 - it is told
            outcomes[operation.what] = f"{type(error).__name__}: {error}"
        else:
            outcomes[operation.what] = "works"
    return outcomes


def main(descriptor, user, has_landlock):
    """Be the zygote, with children that try."""
    import hashlib

    from swiftd.sandbox import compile as compiling
    from swiftd.sandbox import hardening, landlock, worker, zygote
    from swiftd.sandbox.messages import Compiled, Contract, Failed

    def load(_engine, _guests, _shared, job):
        if job.plugin == "abort":
            os.abort()
        if job.plugin == "fault":
            ctypes.string_at(0)
        P.update(json.loads(job.settings), connection=3)
        return Failed(code="artefact", message=json.dumps(tried()))

    def compiled(wasm, source):
        P.update(json.loads(wasm), connection=3)
        told = bytearray(json.dumps(tried()).encode())
        return Compiled(source, hashlib.sha256(told).hexdigest(), Contract("", "record"), None, []), told

    def hardened(read, write, harden=hardening.harden):
        P["threads"] = len(os.listdir("/proc/self/task"))  # another would keep what this one gives up
        return harden(read, write)

    worker.harden = compiling.harden = hardened
    if not has_landlock:
        landlock.restrict = lambda *_: 0
    worker._load = load
    compiling._compile = compiled
    if user:
        said = zygote.runtime_id()  # from files that this user may not be able to read
        zygote.runtime_id = lambda: said
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    zygote.main(descriptor)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")
