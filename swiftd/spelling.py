"""What somebody who wrote a name that is not there will have meant."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING

from swiftd.folders import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MOST_STRANGERS = 20
"""Sections of which something is said. Each is compared with all plugins there are."""


def composed(name: str) -> str:
    """A name with each letter and its accents as one character."""
    return unicodedata.normalize("NFC", name)


def nearest(written: str, known: Collection[str]) -> str | None:
    """The one of the known names that is most like what was written; None where none is."""
    by_folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    folded = written.strip().casefold()
    close = [folded] if folded in by_folded else difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def strangers(sections: Mapping[str, int], known: Collection[str]) -> list[str]:
    """What is to be said of the sections of config.toml, by name with their lines, that are for no known plugin."""
    there = set(map(composed, known))
    found = sorted((line, name) for name, line in sections.items() if composed(name) not in there)
    said = [
        f"line {line}: `[plugins.{toml_key(name)}]`: {_meant(name, known)}" for line, name in found[:MOST_STRANGERS]
    ]
    if more := found[MOST_STRANGERS:]:
        said.append(f"line {more[0][0]}: that and {len(more) - 1} more are for plugins that are not there either")
    return said


def _meant(name: str, known: Collection[str]) -> str:
    if name.casefold().endswith(SUFFIX):
        bare = name[: -len(SUFFIX)]
        return f"write the name without {SUFFIX}: `[plugins.{toml_key(nearest(bare, known) or bare)}]`"
    guess = nearest(name, known)
    return f"there is no plugin {name!r}" + (f": did you mean {guess!r}?" if guess else " (yet)")


def toml_key(name: str) -> str:
    """The name as TOML writes it behind a dot."""
    if name and name.isascii() and name.replace("-", "").replace("_", "").isalnum():
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
