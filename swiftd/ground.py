"""What a grant must not hand over, and which links plugins could have made: the folders as they are at one moment.

A plugin that may write a folder decides what is in it, and where a link in it leads. Three things follow.

- **What decides over swiftd is not to be written**: its own folders, each link on the way to one of them or to a
  plugin, and where those lead. Dotfile managers put such links where one would not look for them.
- **What is run outside of the sandbox is not to be written either**: where the session finds what it starts by itself,
  where programs are looked for, and swiftd's own code. What other programs run by their configuration can't be listed
  here: who grants that of his window manager has granted everything.
- **A grant leads through no link that a plugin could have made**, be it that plugin's or another's, one that is there,
  or one that is switched off. The rest of the way is the user's own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swiftd import paths
from swiftd.links import follow
from swiftd.mounts import Mounts
from swiftd.paths import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swiftd.links import Trail

_CONFIG = ("autostart", "autostart-scripts", "environment.d", "plasma-workspace", "systemd")
"""Below `XDG_CONFIG_HOME`: what sessions of any desktop start by themselves."""
_DATA = ("applications", "dbus-1", "systemd")
"""Below `XDG_DATA_HOME`: what they start when something is asked for."""
_SHELLS = (".bash_login", ".bash_profile", ".bashrc", ".profile", ".zlogin", ".zprofile", ".zshenv", ".zshrc")
_HOME = (*_SHELLS, ".gnupg", ".local/bin", ".ssh", ".xinitrc", ".xprofile", ".xsession", "bin")
"""Below home."""


@dataclass(frozen=True)
class _Guarded:
    """What must not be written."""

    place: Path
    why: str
    below: bool = False
    """Whether that holds for all that lies in it, too."""


@dataclass(frozen=True)
class _Written:
    """What a plugin may write, if it is given what it asks for."""

    plugin: str
    folder: Path
    places: tuple[Path, ...]


class Ground:
    """Judges where a grant leads."""

    def __init__(
        self, own: Iterable[Path], files: Iterable[Path] = (), written: Iterable[tuple[str, Path]] = ()
    ) -> None:
        """Look around. Blocks for some calls of `readlink` a path.

        `own` are swiftd's own folders and files, `files` those of the plugins, and `written` what the plugins of these
        names ask to write.
        """
        self._mounts = Mounts.now()
        self._private: dict[Path, Path] = {}  # by place
        self._guarded: list[_Guarded] = []
        for path in own:
            trail = follow(path)
            self._private[self._mounts.place(trail.end)] = trail.end
            self._guard_way(trail, f"decides where swiftd's own {printable(path)} is")
        for path in files:
            if os.path.islink(path):  # noqa: PTH114 - unlike Path's, it never raises
                trail = follow(path)
                why = f"decides what the plugin {printable(path.name)} is"
                self._guard_way(trail, why)
                self._guard(trail.end, why)
        why = "decides which programs are run"
        for name in os.environ.get("PATH", "").split(":"):
            if name.startswith("/"):
                self._guard_way(trail := follow(Path(name)), why)
                self._guard(trail.end, why)
        for path in _run():
            self._guard_way(trail := follow(path), why)
            self._guard(trail.end, why, below=True)
        self._written = [
            _Written(plugin, end := follow(path).end, tuple(self._mounts.places(end))) for plugin, path in written
        ]

    def _guard_way(self, trail: Trail, why: str) -> None:
        for link in trail.links:
            self._guard(link, why)

    def _guard(self, path: Path, why: str, *, below: bool = False) -> None:
        self._guarded.append(_Guarded(self._mounts.place(path), f"{printable(path)}, which {why}", below))

    def judge(self, trail: Trail, *, writes: bool) -> list[str]:
        """What the user should know of a grant that leads there.

        Raises:
            ValueError: it must not be given, and why.

        """
        self._expect_no_foreign_link(trail)
        here = self._mounts.place(trail.end)
        within = set(self._mounts.places(trail.end))
        notes = []
        for place, path in self._private.items():
            holds = not within.isdisjoint([place, *place.parents])
            if place == here or place in here.parents or (writes and holds):
                raise ValueError(f"it would hand over swiftd's own {printable(path)}")
            if holds:
                notes.append(f"includes swiftd's own {printable(path)}")
        if writes:
            for guarded in self._guarded:
                holds = not within.isdisjoint([guarded.place, *guarded.place.parents])
                if holds or (guarded.below and guarded.place in here.parents):
                    raise ValueError(f"with it a plugin could change {guarded.why}")
        return notes

    def _expect_no_foreign_link(self, trail: Trail) -> None:
        for link in trail.links:
            above = set(self._mounts.place(link).parents)
            for written in self._written:
                if not above.isdisjoint(written.places):
                    raise ValueError(
                        f"it leads through the link {printable(link)}, which {written.plugin} could have made, as it "
                        f"may write {printable(written.folder)}: name {printable(trail.end)} itself"
                    )


def _run() -> list[Path]:
    """The code of swiftd, and where the session finds what it starts without being asked for exactly that."""
    config, data = paths.base("XDG_CONFIG_HOME", ".config"), paths.base("XDG_DATA_HOME", ".local/share")
    return [
        Path(sys.prefix),
        Path(__file__).parent,
        *(config / name for name in _CONFIG),
        *(data / name for name in _DATA),
        *(paths.home() / name for name in _HOME),
    ]
