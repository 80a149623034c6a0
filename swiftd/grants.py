"""From the grants in config.toml to what a sandbox process is told: paths expanded, checked and absolute.

A grant that can't be given is left out and reported; the plugin runs without it. A folder that is not there is given
nevertheless, for it may be made or mounted at any time, and is reported as long as it is missing.

Some are refused on purpose: see ground.py. Writing where swiftd keeps its socket, configuration or cache would let a
plugin change what other plugins may do, or run code of its own outside the sandbox. Reading there is refused as well
when it is named; a grant to read a whole home folder includes the configuration, and says so.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import PlatformDirs

from swiftd import files
from swiftd.ground import Ground
from swiftd.links import follow
from swiftd.sandbox.messages import Grants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from swiftd.config import Config, GrantSettings
    from swiftd.folders import Found
    from swiftd.links import Trail

HARMLESS_ENVIRONMENT = ("LANG", "TZ", "XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE")
"""What every plugin sees of the environment, beside LC_*."""

LONGEST_NAME = 255
"""Bytes of a folder's name: no file system of Linux takes more."""


def expand(settings: GrantSettings, ground: Ground) -> tuple[Grants, list[str]]:
    """What is given of what the settings say, and why the rest is not. Blocks for some calls of `readlink` a path."""
    problems: list[str] = []

    def usable(kind: str, written: Iterable[str]) -> list[tuple[str, str]]:
        given = []
        for text in written:
            try:
                trail = follow(path := _path(text))
                problems.extend(
                    f"grants.{kind}: {text!r} {note}" for note in ground.judge(trail, writes=kind == "write")
                )
                given.append((str(path), _real(trail)))
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


Given = tuple[Grants, list[str]]
"""What a plugin is given, and why the rest is not."""


class Grantor:
    """Decides what plugins are given: all together, for what one may write no other may be led through."""

    def __init__(self, own: Iterable[Path]) -> None:
        self._own = list(own)

    def given(self, config: Config, plugins: Mapping[str, Found | None]) -> dict[str, Given]:
        """What these are given as the folders are now, by name. Blocks: for a thread."""
        there = [found.path for found in plugins.values() if found is not None]
        ground = Ground(self._own, there, _written(config))
        return {name: expand(config.plugin(name).grants, ground) for name in plugins}


def _written(config: Config) -> Iterator[tuple[str, Path]]:
    """What all plugins ask to write, those that are not there or switched off included."""
    for plugin, section in config.plugins.items():
        for text in section.grants.write:
            with suppress(ValueError, RuntimeError):
                yield plugin, _path(text)


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
        return f"{guest} can't be looked at: {files.reason(error)}"


def _is_text(value: str | None) -> bool:
    """Whether it is there and is UTF-8: WASI knows no other strings."""
    try:
        return value is not None and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _path(text: str) -> Path:
    """The path that a grant names.

    Raises:
        ValueError: it names none, and why.

    """
    path = Path(_expanded(text))
    if not path.is_absolute():
        raise ValueError("expected a path from the root, `~` or `$XDG_...`")
    if not _is_text(str(path)):
        raise ValueError("it is no UTF-8")
    if max(map(len, os.fsencode(path).split(b"/"))) > LONGEST_NAME:
        raise ValueError(f"a name in it is longer than {LONGEST_NAME} bytes")
    return path


def _real(trail: Trail) -> str:
    """Where a path leads, as a worker is told.

    Raises:
        ValueError: a worker can't be told.

    """
    if not _is_text(str(trail.end)):
        raise ValueError("it leads to what is no UTF-8")
    return str(trail.end)


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
