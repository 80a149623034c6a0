"""What front ends say of what may be asked."""

from __future__ import annotations

import pytest

from swiftctl import hints


def plugin(name, state="ready", trigger="="):
    return {"name": name, "state": state, "trigger": trigger, "bundled": name in hints.EXAMPLES}


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ([], [hints.NONE]),
        ([plugin("a", "found", None), plugin("b", "compiling", None)], ["still compiling: a, b"]),
        ([plugin("a", "refused", None)], ["refused (`swiftctl plugins` says why): a"]),
        ([plugin("a", "disabled", None), plugin("b", "disabled")], [hints.OFF]),
        ([plugin("calc"), plugin("b", "disabled")], ["calc: =2+2*3"]),
        (
            [plugin("z", trigger="z "), plugin("all", trigger=""), plugin("a", "failing", "a/")],
            ["a: a/…", "z: z …", "all: whatever no other plugin takes"],
        ),
    ],
)
def test_every_state_is_told_as_what_it_is(plugins, told):
    assert hints.lines(plugins) == told


def test_many_plugins_leave_room_for_rows():
    told = hints.rows([plugin(f"p{number:02}", trigger=f"{number}/") for number in range(20)])
    assert len(told) == hints.SHOWN
    assert told[0] == ("p00: 0/…", "0/")
    assert told[-1] == ("… and 9 more: `swiftctl plugins` lists them", "")
