"""Triggers: which can be typed, whose a text is, and what is left of the text behind one.

A text goes by its beginning as it was typed. Only where no trigger claims that, a trigger is also found that looks the
same but is written with other characters: full-width forms and the ideographic space, which an input method gives for
`=` and a space; the no-break spaces that French and Mac keyboards give beside a letter; a letter and its accent as one
character or as two; a sign with or without the mark that makes an emoji of it.

Nothing more is taken for the same. A leading space stays one: it is how somebody keeps a trigger from taking a text.
Neither a capital nor a typographic quote is what was asked for: another plugin may have those.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swiftd.sandbox.messages import Limits
from swiftd.text import is_harmless

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from swiftd.catalog import Plugin

MOST_NAMED = 5
"""Plugins that a notice names."""

_EMOJI_MARKS = "\ufe0e\ufe0f"


def problem_of(trigger: str) -> str | None:
    """Why this can't be a trigger; None if it can."""
    if not is_harmless(trigger):
        return f"expected a trigger that can be typed, found {trigger!r}"
    if len(trigger.encode()) > Limits().trigger:
        return f"expected a trigger of at most {Limits().trigger} bytes, found {len(trigger.encode())}"
    return None


def after(text: str, trigger: str) -> str | None:
    """What follows the trigger in `text`; None where it does not start with it."""
    if text.startswith(trigger):
        return _behind(text, trigger)
    plain = _plain(trigger)
    lengths = [length for length, head in _heads(text, len(plain)) if head == plain]
    return text[lengths[-1] :] if lengths else None


def _behind(text: str, trigger: str) -> str:
    """What follows the trigger that the text starts with. A mark that makes an emoji of its last sign belongs to it."""
    rest = text[len(trigger) :]
    return rest if rest.isascii() else rest.lstrip(_EMOJI_MARKS)


@dataclass(frozen=True)
class Claim:
    """Who answers a text."""

    plugins: list[Plugin]
    rest: str
    """The text without the trigger."""
    is_by_trigger: bool
    """Whether they were found by a trigger of theirs, and not for want of any other."""


class Routes:
    """The plugins in service by their triggers: of each trigger a user's own before the bundled ones, then by name."""

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self._plugins: dict[str, list[Plugin]] = {}
        for plugin in sorted(plugins, key=lambda plugin: (plugin.bundled, plugin.name)):
            if plugin.serving is not None:
                self._plugins.setdefault(plugin.serving.trigger, []).append(plugin)
        self._rest = self._plugins.pop("", [])
        self._sorted = sorted(self._plugins)
        self._lengths = sorted({len(trigger) for trigger in self._plugins}, reverse=True)
        self._alike: dict[str, list[Plugin]] = {}
        for trigger, claimants in self._plugins.items():
            self._alike.setdefault(_plain(trigger), []).extend(claimants)
        self._longest = max(map(len, self._alike), default=0)
        self._are_ascii = all(trigger.isascii() for trigger in self._plugins)

    def find(self, text: str, only: Iterable[str] | None = None) -> Claim:
        """The plugins that answer `text`: that of the longest trigger that it starts with.

        Of several with the same trigger the first in order answers alone; those with the empty trigger, which take
        what no other claims, answer together. `only` leaves the others out of account.
        """
        chosen = None if only is None else frozenset(only)
        for length in self._lengths:
            if length <= len(text) and (claimants := _chosen(self._plugins.get(text[:length], ()), chosen)):
                return Claim(claimants[:1], _behind(text, text[:length]), is_by_trigger=True)
        if not (self._are_ascii and text.isascii()):
            longest = None
            for length, head in _heads(text, self._longest):
                if claimants := _chosen(self._alike.get(head, ()), chosen):
                    longest = Claim(claimants[:1], text[length:], is_by_trigger=True)
            if longest is not None:
                return longest
        return Claim(_chosen(self._rest, chosen), text, is_by_trigger=False)

    def notices(self, plugin: Plugin) -> list[str]:
        """What the user should know of a plugin's trigger."""
        trigger = plugin.serving.trigger if plugin.serving else ""
        if not trigger:
            return []
        notices = []
        if len(rivals := self._plugins.get(trigger, [])) > 1:
            losers = [plugin] if plugin is not rivals[0] else rivals[1:]
            notices.append(_conflict(trigger, rivals[0], losers))
        for longer in self._sorted[bisect_right(self._sorted, trigger) :]:
            if not longer.startswith(trigger):  # nor does any after it
                break
            if (taker := self._plugins[longer][0]) is not plugin:
                notices.append(f"what starts with {longer!r} is {taker.name}'s, whose trigger is longer")
        more = len(notices) - MOST_NAMED
        return notices if more <= 0 else [*notices[:MOST_NAMED], f"and {more} longer triggers more take a part"]

    def conflicts(self) -> dict[str, str]:
        """What is to be said of each trigger that several plugins have, by trigger."""
        shared = {trigger: plugins for trigger, plugins in self._plugins.items() if len(plugins) > 1}
        return {trigger: _conflict(trigger, plugins[0], plugins[1:]) for trigger, plugins in shared.items()}


def _conflict(trigger: str, first: Plugin, others: Collection[Plugin]) -> str:
    names = ", ".join([plugin.name for plugin in others][:MOST_NAMED])
    if len(others) > MOST_NAMED:
        names += f" and {len(others) - MOST_NAMED} more"
    return (
        f"the trigger {trigger!r} is {first.name}'s, so {names} never answer{'s' if len(others) == 1 else ''}: "
        f"give {'it' if len(others) == 1 else 'each'} another with `trigger` in config.toml"
    )


def _chosen(plugins: Collection[Plugin], chosen: frozenset[str] | None) -> list[Plugin]:
    return [plugin for plugin in plugins if chosen is None or plugin.name in chosen]


def _heads(text: str, longest: int) -> Iterator[tuple[int, str]]:
    """The beginnings of `text`, each as its length and what it is in plain characters, of which at most `longest`."""
    head = ""
    for length, character in enumerate(text[: 4 * longest], 1):
        head = _plain(head + character)
        if len(head) > longest:
            return
        yield length, head


def _plain(text: str) -> str:
    """The text in the characters that all which look the same have in common, marks after their letters."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFD", "".join(map(_plain_character, text)))


def _plain_character(character: str) -> str:
    if character in _EMOJI_MARKS:
        return ""
    kind, _, codes = unicodedata.decomposition(character).partition(" ")
    if kind in ("<wide>", "<narrow>"):
        return "".join(chr(int(code, 16)) for code in codes.split())
    return " " if unicodedata.category(character) == "Zs" else character
