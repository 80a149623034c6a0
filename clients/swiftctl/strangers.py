"""What to do where somebody else listens, or could: nothing is sent to him, started over him, or ended.

In a user namespace that does not know all users, one number stands for all the others. If that is our own number, too,
nobody can be told from us there, so nobody is trusted.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from swiftctl import NoDaemonError, StrangerError
from swiftd import exposure, paths


def check(path: str, user: int) -> None:
    """See whether the user who listens at `path` is this one.

    Raises:
        StrangerError: he is not, or that can't be known.

    """
    if user == exposure.UNKNOWN and not exposure.knows_all_users():
        who = f"a user whom this user namespace does not know ({user})"
    elif user != os.geteuid():
        who = f"user {_named(user)}"
    else:
        return
    raise StrangerError(
        f"{who} listens at {path}, and you are user {_named(os.geteuid())}: nothing was sent. If that is you, too, "
        "call swiftctl as him; else see who may write to that folder, remove the socket, or choose one with --socket"
    )


def shut_out(folder: str) -> None:
    """Make a folder of ours private in which others could write.

    Raises:
        NoDaemonError: it can't be made so.

    """
    try:
        paths.make_private(Path(folder))
    except OSError as error:
        raise NoDaemonError(f"others may write to {folder}, where the socket lies: {error}") from None


def _named(user: int) -> str:
    try:
        return f"{user} ({pwd.getpwuid(user).pw_name})"
    except KeyError:
        return str(user)
