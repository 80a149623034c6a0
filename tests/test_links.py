"""Where a path leads is what the system says, and no link on the way is missed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swiftd.links import MOST_LINKS, follow


@pytest.fixture
def place(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "to-a").symlink_to("a")
    (tmp_path / "to-b").symlink_to(tmp_path / "to-a" / "b")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "odd").symlink_to(".//./../to-b/")
    (tmp_path / "nowhere").symlink_to("missing/x")
    (tmp_path / "file").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("a/b", []),
        ("to-a/b", ["to-a"]),
        ("to-b", ["to-b", "to-a"]),
        ("to-b/../up/to-a", ["to-b", "to-a", "a/up", "to-a"]),
        ("a/odd/c", ["a/odd", "to-b", "to-a"]),
        ("nowhere/y", ["nowhere"]),
        ("missing/../a", []),
        ("file/x", []),
        ("file/../to-a", ["to-a"]),
        ("a/../../../../../../../../../../../../etc", []),
    ],
)
def test_a_path_leads_where_the_system_says(place, path, links):
    trail = follow(place / path)
    assert trail.end == Path(os.path.realpath(place / path))
    assert trail.links == tuple(place / link for link in links)


def test_a_path_that_goes_round_has_an_end(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one/x")
    assert len(follow(tmp_path / "one").links) == MOST_LINKS
