"""Text is cut where nobody is hurt: between signs, not within them."""

from __future__ import annotations

import random

import pytest

from swiftd.sandbox.shorten import shortened

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("abcdefghij", 9, "abcdef…"),
        ("abcdeüüü", 9, "abcde…"),
        ("abcd üüü", 8, "abcd…"),
        ("ab" + "e\u0301" * 5, 9, "abe\u0301…"),
        ("ab" + "e\u0301" * 5, 7, "ab…"),
        ("ab" + FAMILY * 2, 20, "ab…"),
        ("ab" + FAMILY * 2, 23, "ab" + FAMILY + "…"),
        ("ab" + SCOTLAND * 2, 32, "ab…"),
        ("a\U0001f44d\U0001f3fdb" + "x" * 9, 8, "a…"),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1ec\U0001f1e7", 16, "\U0001f1e9\U0001f1ea…"),
        ("\u1100\u1161\u11a8" * 4, 14, "\u1100\u1161\u11a8…"),
        ("e" + "\u0301" * 4000, 4096, "e" + "\u0301" * 2046 + "…"),
        ("abcdef", 3, "…"),
        ("abcdef", 2, ""),
    ],
)
def test_it_ends_with_a_whole_sign(text, most, expected):
    assert shortened(text.encode(), most) == expected


def test_it_is_never_longer_than_allowed_and_always_the_start():
    chance = random.Random(8)
    signs = ["a", " ", "ü", "e\u0301", "か", "😀", FAMILY, SCOTLAND, "\U0001f1e9\U0001f1ea", "\0", "\n"]
    for _ in range(2000):
        text = "".join(chance.choices(signs, k=chance.randrange(8, 60)))
        size = len(text.encode())
        most = chance.randrange(3, size)
        short = shortened(text.encode()[: chance.choice([size, most + 4])], most)
        assert len(short.encode()) <= most
        assert short.endswith("…")
        assert text.startswith(short[:-1])
