"""The filter itself, run by a small interpreter of the kernel's classic BPF: both machines, every call, arguments."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from swiftd.sandbox import seccomp
from swiftd.sandbox.syscalls import ALWAYS, CHECKED, WALKING, WRITING

PROCESS = 4321
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PROFILES = {
    "compiles": {"walks": False, "writes": False},
    "reads": {"walks": True, "writes": False},
    "writes": {"walks": True, "writes": True},
}
EVERY = [(machine, profile) for machine in MACHINES for profile in PROFILES]
NEW = 424
"""From this number on a call came with Linux 5.1 or later, and has the same number everywhere."""

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def numbers():
    """Every call's number by machine and name."""
    lines = Path(__file__).with_name("syscalls.txt").read_text().splitlines()[1:]
    found = {machine: {} for machine in MACHINES}
    for name, *each in (line.split() for line in lines):
        for machine, number in zip(MACHINES, each, strict=True):
            if number != "-":
                found[machine][name] = int(number)
    return found


NUMBERS = numbers()

# What must not be there whatever else changes: each of it changes, watches, reaches or names something outside.
NEVER = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    removexattr lremovexattr fremovexattr setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark
    io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_uring_setup io_uring_enter io_uring_register
    name_to_handle_at open_by_handle_at personality modify_ldt arch_prctl memfd_secret
    fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount mount_setattr statmount listmount
    mount umount2 pivot_root chroot unshare setns quotactl quotactl_fd swapon swapoff acct
    move_pages migrate_pages mbind set_mempolicy get_mempolicy set_mempolicy_home_node mlock mlockall mlock2
    fork vfork clone3 execve execveat kill rt_sigqueueinfo rt_tgsigqueueinfo
    pidfd_open pidfd_getfd pidfd_send_signal process_madvise process_mrelease process_vm_readv process_vm_writev
    ptrace kcmp setpriority getpriority ioprio_set sched_setaffinity sched_setscheduler sched_setparam sched_setattr
    setsid setpgid setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset umask
    socket socketpair connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg shutdown setsockopt
    bpf perf_event_open userfaultfd add_key request_key keyctl seccomp landlock_restrict_self landlock_create_ruleset
    init_module finit_module delete_module kexec_load kexec_file_load reboot iopl ioperm vhangup syslog
    sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime setrlimit
    mknod mknodat creat mkdir rmdir unlink rename link symlink truncate chdir fchdir flock
    timer_create setitimer alarm splice tee vmsplice sendfile copy_file_range
"""


def verdict(program, machine, number, arguments=(), architecture=None):
    """What the filter says of a call: `allow`, `kill`, or an error's name. Runs the instructions as the kernel does."""
    data = struct.pack("<IIQ6Q", number, architecture or MACHINES[machine], 0, *[*arguments, *[0] * 6][:6])
    instructions = list(struct.iter_unpack("<HBBI", program))
    word = at = 0
    for _ in range(len(instructions)):
        code, then, otherwise, value = instructions[at]
        at += 1
        if code == 0x20:  # load
            (word,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:  # return
            action, low = value & 0xFFFF0000, value & 0xFFFF
            return {0x7FFF0000: "allow", 0x80000000: "kill"}.get(action) or errno.errorcode[low]
        else:
            found = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[code]
            at += then if found else otherwise
    raise AssertionError("it never returns")


def filters():
    for machine, profile in EVERY:
        yield machine, profile, seccomp.build(machine, PROCESS, **PROFILES[profile])


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernels(machine):
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"there is no {header} (linux-libc-dev)")
    text = header.read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    for name, of_64_bits in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text):
        if of_64_bits in known:
            known[name] = known[of_64_bits]
    column = list(MACHINES).index(machine)
    for name, pair in (ALWAYS | CHECKED | WALKING | WRITING).items():
        assert pair[column] == known.get(name), name
    for name, number in NUMBERS[machine].items():
        assert number == known.get(name, number), name
    # What this header knows and the table does not is another name, for other machines, or newer.
    for name in known.keys() - NUMBERS[machine].keys() - {"syscalls", "arch_specific_syscall"}:
        assert name.endswith("time64") or known[name] in NUMBERS[machine].values() or known[name] > 469, name


def test_no_call_stands_in_two_lists():
    assert len(ALWAYS | CHECKED | WALKING | WRITING) == sum(map(len, (ALWAYS, CHECKED, WALKING, WRITING)))
    assert len(ALWAYS | CHECKED | WALKING | WRITING) < 100


@pytest.mark.parametrize("name", NEVER.split())
def test_what_reaches_outside_is_refused_whatever_its_arguments(name):
    for machine, profile, program in filters():
        if (number := NUMBERS[machine].get(name)) is not None:
            for arguments in ((), (PROCESS,), (1, 2, 3, 4, 5, 6), ((1 << 64) - 1,) * 6):
                found = verdict(program, machine, number, arguments)
                assert found == ("ENOSYS" if number >= NEW else "EPERM"), (machine, profile)


def test_a_call_that_is_not_named_gets_an_error_that_is_no_surprise():
    """All numbers up to 1023: as on an older kernel where the call is younger than Linux 5.1, EPERM otherwise."""
    for machine, profile, program in filters():
        lists = [ALWAYS, CHECKED]
        lists += [WALKING] * PROFILES[profile]["walks"] + [WRITING] * PROFILES[profile]["writes"]
        named = {NUMBERS[machine][name] for each in lists for name in each if name in NUMBERS[machine]}
        allowed = {number for number in range(1024) if verdict(program, machine, number, (PROCESS,)) == "allow"}
        assert allowed <= named
        for number in set(range(1024)) - named:
            assert verdict(program, machine, number) == ("ENOSYS" if number >= NEW else "EPERM")
        for name in ALWAYS.keys() & NUMBERS[machine].keys():
            assert verdict(program, machine, NUMBERS[machine][name]) == "allow"


def test_changing_folders_takes_a_grant_to_write():
    for machine, profile, program in filters():
        for name in WRITING.keys() & NUMBERS[machine].keys():
            found = verdict(program, machine, NUMBERS[machine][name])
            assert (found == "allow") == (profile == "writes"), name


def test_openat2_is_let_through_where_landlock_looks_at_what_is_opened():
    for machine, profile, program in filters():
        found = verdict(program, machine, NUMBERS[machine]["openat2"])
        assert found == ("ENOSYS" if profile == "compiles" else "allow")


def test_calls_of_another_architecture_kill_and_x32_is_not_there():
    for machine, _, program in filters():
        for other in (0x40000003, 0x40000028, 0xC000003E, 0xC00000B7, 0):
            if other != MACHINES[machine]:
                assert verdict(program, machine, 0, architecture=other) == "kill" or other == 0
        assert all(verdict(program, machine, 0x40000000 | number) == "ENOSYS" for number in range(600))
        assert verdict(program, machine, 0xFFFFFFFF) == "ENOSYS"


GLIBC, MUSL, THREAD = 0x3D0F00, 0x7D0F00, 0x10000
HIGH = 1 << 32
ARGUMENTS = [
    ("mmap", (0, 4096, 3, 0x22), "allow", "private, anonymous"),
    ("mmap", (0, 4096, 0, 0x20022), "allow", "a thread's stack"),
    ("mmap", (0, 4096, 5, 0x2, 7), "allow", "code of a file"),
    *[("mmap", (0, 4096, 3, flags), "EPERM", "past the limit of memory") for flags in (0x21, 0x1, 0x3, 0x28, 0x122)],
    *[("memfd_create", (1, flags), "ENOSYS", "memory in a file") for flags in (0, 3, 8, 0x10)],
    ("clone", (GLIBC,), "allow", "a thread of glibc's"),
    ("clone", (MUSL,), "allow", "a thread of musl's"),
    ("clone", (0x1200011,), "EPERM", "fork"),
    ("clone", (0x4111,), "EPERM", "vfork"),
    ("clone", (0,), "EPERM", "a process"),
    *[("clone", (GLIBC | 1 << bit,), "EPERM", f"with bit {bit}") for bit in (13, 14, 15, 17, 23, *range(25, 31))],
    ("clone", (GLIBC | 17,), "EPERM", "with a signal at its end"),
    ("tgkill", (PROCESS, 5, 6), "allow", "abort"),
    ("tgkill", (PROCESS + 1, 5, 6), "EPERM", "another process"),
    ("tgkill", (0, 0, 0), "EPERM", "another process"),
    ("tkill", (PROCESS, 6), "allow", "abort"),
    ("tkill", (PROCESS + 1, 6), "EPERM", "another process"),
    ("prlimit64", (0, 2), "allow", "its own limits"),
    ("prlimit64", (PROCESS, 2), "allow", "its own limits"),
    ("prlimit64", (1, 2), "EPERM", "another's"),
    ("prctl", (15,), "allow", "PR_SET_NAME"),
    ("prctl", (0x53564D41,), "allow", "PR_SET_VMA"),
    *[("prctl", (option,), "EPERM", "another option") for option in range(80) if option != 15],
    ("prctl", (0x59616D61, 1), "EPERM", "PR_SET_PTRACER"),
    *[("fcntl", (3, command), "allow", "of this descriptor alone") for command in (1, 2, 3, 4, 1030, 1033, 1034)],
    *[("fcntl", (3, command), "EPERM", "locks, owners, leases, watches") for command in range(5, 40)],
    *[("fcntl", (3, command), "EPERM", "leases and others") for command in (0, *range(1024, 1030), 1031, 1032)],
    *[("ioctl", (3, request), "allow", "of any file") for request in (0x5401, 0x5413, 0x5421, 0x5450, 0x5451)],
    *[("ioctl", (2, request), "EPERM", "TIOCSTI, …") for request in (0x5412, 0x541C, 0x5402, 0x540E, 0x8901, 0x8902)],
    *[("ioctl", (3, request), "EPERM", "chattr, …") for request in (0x40086602, 0x401C5820, 0x40049409, 0xC0185879)],
    ("utimensat", (3, 0, 0, 0), {"writes": "allow"}, "of a file that is open"),
    ("utimensat", (3, 0x7000, 0, 0), "EPERM", "of a name"),
    ("utimensat", (3, HIGH, 0, 0), "EPERM", "of a name that lies high"),
    ("utimensat", (3, 7 * HIGH + 0x1000, 0, 0), "EPERM", "of a name"),
    ("openat", (0xFFFFFF9C, 1, 0o2000000), "allow", "for reading"),
    ("openat", (0xFFFFFF9C, 1, 0o10200000), "allow", "as a place (O_PATH)"),
    *[("openat", (5, 1, flags), {"writes": "allow"}, "for a change") for flags in (1, 2, 0o100, 0o1000, 0o20200002)],
    ("open", (1, 0o2000000), "allow", "for reading"),
    *[("open", (1, flags), {"writes": "allow"}, "for a change") for flags in (1, 2, 0o100, 0o1000, 0o20200002)],
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "expected", "what"), ARGUMENTS)
def test_arguments(name, arguments, expected, what):
    for machine, profile, program in filters():
        if (number := NUMBERS[machine].get(name)) is not None:
            wanted = expected if isinstance(expected, str) else expected.get(profile, "EPERM")
            assert verdict(program, machine, number, arguments) == wanted, (machine, profile, what)


# Every call that a hardened process was seen to make, its threads included, without the attempts of the tests. On
# x86_64: the tests and plugins in Rust, C, Go, JavaScript and Python with grants, under CPython 3.11 and 3.13. On
# aarch64: compiling, loading and calling Rust and JavaScript, emulated.
SEEN = {
    "x86_64": """
        brk close epoll_create1 epoll_ctl epoll_wait eventfd2 exit exit_group fsync futex getpid getrandom gettid lseek
        madvise mprotect mremap munmap newfstatat pread64 read recvfrom rseq rt_sigaction rt_sigprocmask rt_sigreturn
        sched_getaffinity sched_yield sendto set_robust_list sigaltstack statfs statx uname write
    """,
    "aarch64": """
        brk clock_gettime close exit exit_group fsync futex getrandom gettid lseek madvise membarrier mprotect mremap
        munmap newfstatat pread64 read recvfrom rt_sigaction rt_sigprocmask sched_getaffinity sched_yield sendto
        set_robust_list sigaltstack statfs statx write
    """,
}
SEEN_WITH_FOLDERS = "fadvise64 fdatasync getdents64 openat2 pwrite64 pwritev2 readlinkat"
SEEN_WRITING = "ftruncate linkat mkdirat renameat symlinkat unlinkat"


def test_what_was_seen_in_use_is_let_through():
    for machine, profile, program in filters():
        names = SEEN[machine].split()
        names += SEEN_WITH_FOLDERS.split() * PROFILES[profile]["walks"]
        names += SEEN_WRITING.split() * PROFILES[profile]["writes"]
        assert [name for name in names if verdict(program, machine, NUMBERS[machine][name]) != "allow"] == []


def test_it_is_made_of_whole_instructions_and_no_jump_leaves_it():
    for _, _, program in filters():
        instructions = list(struct.iter_unpack("<HBBI", program))
        assert len(instructions) < 4096
        for at, (code, then, otherwise, _) in enumerate(instructions):
            if code in (0x15, 0x35, 0x45):
                assert at + 1 + max(then, otherwise) < len(instructions)
        assert instructions[-1][0] == 0x06


def test_a_machine_without_a_table_is_left_without_a_filter(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert seccomp.install(walks=False, writes=False) is False
