"""The socket: where it is, how to connect, one request and its frames.

Whoever listens is sent what is typed, and says what is run. So before the first byte the kernel is asked who that is:
it must be this very user, whatever the path, and neither root nor, for root, an ordinary user is good enough.

Every step is bounded by one deadline, a value of `time.monotonic()`. Requests and answers are described in the
daemon's protocol.py. `_socket` is what the socket module wraps; importing that one takes longer than a query.
The same goes for pathlib.
"""
# ruff: noqa: PTH109, PTH116, PTH118, PTH120

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812 - a class, and `socket` is a path here
from stat import S_ISDIR, S_ISVTX, S_IWGRP, S_IWOTH

from swiftctl import DaemonError, NoDaemonError
from swiftctl.jsonlines import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swiftctl import Options
    from swiftctl.jsonlines import Message

PROTOCOL = 1
"""The version of the wire that this client speaks."""

ANSWER_MAX = 256 << 20
"""Bytes of one answer. The daemon's own limits keep it far below; this only ends what will not end by itself."""

CHUNK = 256 << 10
"""Bytes to read at once: an ordinary answer in one go."""

LOGIND = "/run/user"
"""Where logind makes each user's runtime folder."""

SHARED = S_ISVTX | S_IWOTH
"""The mode of a folder that is meant for all, such as /tmp."""

UNKNOWN = 65534
"""The number by which a user namespace shows all whom it does not know."""

LATE = "no answer in time: `swiftctl plugins` shows what is compiling or failing; --timeout gives more time"

BACKLOG_PAUSE = 0.01
"""Seconds until the next try when the daemon has no room for another connection."""


def default_socket() -> str:
    """Where the daemon listens if nobody says otherwise.

    The rule is that of the daemon's paths.py, with the reasons; a test compares. In the plain case it costs two calls
    of the kernel.

    Raises:
        NoDaemonError: no folder can be ours, or be made private: what listens there could be somebody else's.

    """
    if chosen := os.environ.get("SWIFT_SOCKET"):
        return os.path.join(os.getcwd(), chosen)
    uid = os.geteuid()
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), f"{LOGIND}/{uid}"):
        if _is_ours(place, "swift", uid):
            return os.path.join(place, "swift", "swiftd.sock")
    name = f"swift-{uid}"
    for place in (os.environ.get("TMPDIR", ""), "/tmp"):  # noqa: S108 - the folder in it must be ours
        if _is_ours(place, name, uid, shared=True):
            return os.path.join(place, name, "swiftd.sock")
    raise NoDaemonError(f"{name} in /tmp belongs to somebody else, or can't be made: set TMPDIR to a folder of yours")


def _is_ours(place: str, name: str, uid: int, *, shared: bool = False) -> bool:
    """Whether the folder `name` in a place is, or can be made, this user's. A shared place may be meant for all."""
    if not place.startswith("/"):
        return False
    try:
        above = os.stat(place)
    except OSError:
        return not shared and _can_be_made(place, uid)
    meant_for_all = shared and above.st_mode & SHARED == SHARED
    if not S_ISDIR(above.st_mode) or (above.st_uid != uid and not meant_for_all):
        return False
    try:
        found = os.lstat(f"{place}/{name}")
    except OSError:
        return os.access(place, os.W_OK | os.X_OK)
    if not S_ISDIR(found.st_mode) or found.st_uid != uid:
        return False
    if found.st_mode & (S_IWGRP | S_IWOTH):
        from swiftctl import strangers  # noqa: PLC0415 - the rare way

        strangers.shut_out(f"{place}/{name}")
    return True


def _can_be_made(place: str, uid: int) -> bool:
    """Whether a folder that is not there is ours to make: below a folder of ours, and not in logind's."""
    place = os.path.normpath(place)
    if os.path.dirname(place) == LOGIND:
        return False
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    try:
        found = os.stat(place)
    except OSError:
        return False
    return S_ISDIR(found.st_mode) and found.st_uid == uid and os.access(place, os.W_OK | os.X_OK)


def connect(options: Options, deadline: float) -> Connection:
    """Connect to the daemon, which is started if nobody listens (unless `--no-start`).

    Raises:
        NoDaemonError: there is none, and none could be started.
        StrangerError: another user listens there.

    """
    path = os.path.join(os.getcwd(), options.socket) if options.socket else default_socket()
    try:
        return Connection(path, deadline)
    except (FileNotFoundError, ConnectionRefusedError):
        pass
    except OSError as error:
        raise unreachable(path, error) from None
    from swiftctl import launch  # noqa: PLC0415 - the rare way

    if not options.start:
        raise launch.not_started(path, options)
    return launch.start(path, options, deadline)


def unreachable(path: str, error: OSError) -> NoDaemonError:
    """What to say of a socket that can't be connected to, for another reason than that nobody listens."""
    return NoDaemonError(f"cannot connect to {path}: {error.strerror or error}; choose another with --socket")


class Connection:
    """One connection, for one request after the other.

    Raises:
        StrangerError: another user listens. Nothing was sent.
        DaemonError: it took too long.
        OSError: nobody listens (FileNotFoundError, ConnectionRefusedError), or it can't be reached.

    """

    def __init__(self, path: str, deadline: float) -> None:
        self.path = path
        self.deadline = deadline
        self.frames = Frames()
        self._socket = Socket(AF_UNIX, SOCK_STREAM)
        try:
            self._connect()
            self.pid = self._listener()
        except BaseException:
            self.close()
            raise

    def _listener(self) -> int:
        """The process that has called listen(), 0 if it is out of sight, after it was seen that it is this user's."""
        credentials = self._socket.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)  # of ints: process, user, group
        user = memoryview(credentials).cast("I")[1]
        if user != os.geteuid() or user == UNKNOWN:
            from swiftctl import strangers  # noqa: PLC0415 - the rare way

            strangers.check(self.path, user)
        return memoryview(credentials).cast("i")[0]

    def _connect(self) -> None:
        while True:
            try:
                self._wait_at_most()
                self._socket.connect(self.path)
            except BlockingIOError:
                time.sleep(BACKLOG_PAUSE)
            else:
                return

    def _wait_at_most(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DaemonError(LATE)
        self._socket.settimeout(left)

    def ask(self, request: Message, on_event: Callable[[Message], None] | None = None) -> tuple[str, Message]:
        """Send a request; its final answer as received and as understood. Events before it go to `on_event`.

        Raises:
            DaemonError: the answer is an error, makes no sense or is late.
            NoDaemonError: the daemon hung up.

        """
        self.send({"id": 1, **request})
        for line in self._lines():
            answer = self.understand(line)
            if answer.get("id") not in (1, None):
                continue
            if answer.get("type") == "error":
                raise DaemonError(f"{answer.get('message')} ({answer.get('code')})", line)
            if answer.get("done", True):
                return line, answer
            if on_event:
                on_event(answer)
        raise NoDaemonError(f"the daemon at {self.path} hung up without an answer: its log says why")

    def understand(self, line: str) -> Message:
        """The message in a line that came.

        Raises:
            DaemonError: there is none.

        """
        try:
            return decode(line)
        except ValueError as error:
            raise DaemonError(f"what came from {self.path} makes no sense ({error}): is it swiftd?") from None

    def fileno(self) -> int:
        """The socket's descriptor, for those who wait for several things."""
        return self._socket.fileno()

    def send(self, request: Message) -> None:
        """Send a request that has its id.

        Raises:
            DaemonError: it took too long.

        """
        try:
            self._wait_at_most()
            self._socket.sendall(encode(request))
        except TimeoutError:
            raise DaemonError(LATE) from None
        except OSError:  # it hung up, but may have said why before
            pass

    def receive(self) -> list[str] | None:
        """Wait for bytes; the lines that are complete with them, or None if the daemon hung up.

        Raises:
            DaemonError: it took too long.

        """
        try:
            self._wait_at_most()
            data = self._socket.recv(CHUNK)
        except TimeoutError:
            raise DaemonError(LATE) from None
        except OSError:
            return None
        return self.frames.feed(data) if data else None

    def _lines(self) -> Iterator[str]:
        while (lines := self.receive()) is not None:
            yield from lines

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Frames:
    """Lines out of bytes that come in pieces. No byte is looked at twice."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now, without their newlines.

        Raises:
            DaemonError: a line is longer than any answer.

        """
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            lines.append((b"".join(self._pieces) + end).decode(errors="replace"))
            self._pieces, self._size = [], 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > ANSWER_MAX:
                raise DaemonError(f"the answer is longer than {ANSWER_MAX >> 20} MiB: give a smaller --limit")
        return [line for line in lines if line]
