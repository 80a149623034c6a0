"""From the grants in config.toml to what a sandbox process is told: paths expanded, checked and absolute.

A grant that can't be given is left out and reported; the plugin runs without it. A folder that is not there is given
nevertheless, for it may be made or mounted at any time, and is reported as long as it is missing.

Two kinds are refused on purpose. Writing where swiftd keeps its socket, configuration or cache would let a plugin
change what other plugins may do, or run code of its own outside the sandbox. Reading there is refused as well when it
is named; a grant to read a whole home folder includes the configuration, and says so.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import PlatformDirs

from swiftd.paths import printable
from swiftd.sandbox.messages import Grants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swiftd.config import GrantSettings

HARMLESS_ENVIRONMENT = ("LANG", "TZ", "XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE")
"""What every plugin sees of the environment, beside LC_*."""

LONGEST_NAME = 255
"""Bytes of a folder's name: no file system of Linux takes more."""


def expand(settings: GrantSettings, protected: Iterable[Path]) -> tuple[Grants, list[str]]:
    """What is given of what the settings say, and why the rest is not.

    `protected` are swiftd's own folders.
    """
    problems: list[str] = []
    own = [_real(path) for path in protected]

    def usable(kind: str, written: Iterable[str]) -> list[tuple[str, str]]:
        given = []
        for text in written:
            try:
                given.append(_folder(text, kind, own, problems))
            except (ValueError, RuntimeError) as error:
                problems.append(f"grants.{kind}: {text!r} is not given: {error}")
        return given

    write = usable("write", settings.write)
    read = []
    for guest, real in usable("read", settings.read):
        # What a plugin may write it could turn into a link; and it may read there anyway.
        if any(Path(real).is_relative_to(writable) for _, writable in write):
            problems.append(f"grants.read: {guest!r} is a part of what is granted for writing")
        else:
            read.append((guest, real))
    environment = {name for name in os.environ if name in HARMLESS_ENVIRONMENT or name.startswith("LC_")}
    environment.update(settings.env)
    grants = Grants(
        read=tuple(read),
        write=tuple(write),
        env=tuple((name, os.environ[name]) for name in sorted(environment) if _is_text(os.environ.get(name))),
        clock=settings.clock,
    )
    return grants, problems


def lacking(grants: Grants) -> list[str]:
    """What of the granted folders is not there now, and why. Blocks for some calls of `stat`."""
    folders = [("read", *folder) for folder in grants.read] + [("write", *folder) for folder in grants.write]
    return [f"grants.{kind}: {why}" for kind, guest, real in folders if (why := _why_not(guest, real))]


def _why_not(guest: str, real: str) -> str | None:
    """Why a worker can't be let into a folder now (sandbox/capabilities.py)."""
    if os.path.realpath(guest) != real:
        return f"{guest} leads elsewhere than when it was granted"
    try:
        return None if stat.S_ISDIR(Path(real).stat().st_mode) else f"{guest} is not a folder"
    except FileNotFoundError:
        return f"there is no {guest}"
    except OSError as error:
        return f"{guest} can't be looked at: {(error.strerror or str(error)).lower()}"


def _real(path: Path) -> Path:
    """Where a path leads. Unlike `Path.resolve`, that of a link to itself is itself."""
    return Path(os.path.realpath(path))


def _is_text(value: str | None) -> bool:
    """Whether it is there and is UTF-8: WASI knows no other strings."""
    try:
        return value is not None and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _folder(text: str, kind: str, own: list[Path], notes: list[str]) -> tuple[str, str]:
    """What a folder is called, and what it really is.

    Raises:
        ValueError: it is not given, and why.

    """
    path = Path(_expanded(text))
    if not path.is_absolute():
        raise ValueError("expected a path from the root, `~` or `$XDG_...`")
    real = _real(path)
    if not _is_text(str(path)) or not _is_text(str(real)):
        raise ValueError("it is no UTF-8")
    if max(map(len, os.fsencode(path).split(b"/"))) > LONGEST_NAME:
        raise ValueError(f"a name in it is longer than {LONGEST_NAME} bytes")
    for private in own:
        if real == private or private in real.parents or (kind == "write" and real in private.parents):
            raise ValueError(f"it would hand over swiftd's own {printable(private)}")
        if real in private.parents:
            notes.append(f"grants.{kind}: {text!r} includes swiftd's own {printable(private)}")
    return str(path), str(real)


def _expanded(text: str) -> str:
    """`text` with `~` and `$XDG_...` replaced, by what the desktop uses where they are not set.

    Raises:
        ValueError: there is no such variable.

    """
    if text == "~" or text.startswith("~/"):
        return str(Path.home()) + text[1:]
    if not (found := re.match(r"\$(XDG_\w+)|\$\{(XDG_\w+)\}", text)):
        return text
    name = found[1] or found[2]
    value = os.environ.get(name) or _by_default(name)
    if not value:
        raise ValueError(f"${name} is not set")
    return value + text[found.end() :]


def _by_default(name: str) -> str:
    dirs = PlatformDirs()
    places = {
        "XDG_CONFIG_HOME": dirs.user_config_dir,
        "XDG_DATA_HOME": dirs.user_data_dir,
        "XDG_CACHE_HOME": dirs.user_cache_dir,
        "XDG_STATE_HOME": dirs.user_state_dir,
        "XDG_DESKTOP_DIR": dirs.user_desktop_dir,
        "XDG_DOCUMENTS_DIR": dirs.user_documents_dir,
        "XDG_DOWNLOAD_DIR": dirs.user_downloads_dir,
        "XDG_MUSIC_DIR": dirs.user_music_dir,
        "XDG_PICTURES_DIR": dirs.user_pictures_dir,
        "XDG_VIDEOS_DIR": dirs.user_videos_dir,
    }
    return places.get(name, "")
