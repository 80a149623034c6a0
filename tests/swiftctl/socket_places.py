"""What an environment may name for the socket's folder: the good, the missing, and what belongs to somebody else."""

from __future__ import annotations

import os

SOMEBODY = 65534


def ours(place, mode=0o700):
    place.mkdir(mode=0o700)
    place.chmod(mode)
    return place


def link(place, target):
    place.symlink_to(target)
    return place


def file(place):
    place.touch()
    return place


def anothers(place):
    os.chown(place, SOMEBODY, SOMEBODY)
    return place


def holding(make, *more):
    """A place of ours in which `make` has made what has the name of the socket's folder."""

    def made(place, inside):
        make(ours(place) / inside, *more)
        return place

    return made


KINDS = {
    "unset": lambda place, inside: None,
    "empty": lambda place, inside: "",
    "relative": lambda place, inside: "relative/folder",
    "logind's": lambda place, inside: f"/run/user/{SOMEBODY}",
    "ours": lambda place, inside: ours(place),
    "ours with a slash": lambda place, inside: f"{ours(place)}/",
    "ours and used": holding(ours),
    "holding a file": holding(file),
    "holding a link": holding(link, "/"),
    "missing": lambda place, inside: place,
    "missing below ours": lambda place, inside: ours(place) / "a" / "b",
    "missing below a file": lambda place, inside: file(place) / "a",
    "a file": lambda place, inside: file(place),
    "a loop": lambda place, inside: link(place, place),
    "a link to ours": lambda place, inside: link(place, ours(place.with_name("target"))),
}
OF_ANOTHER = {
    "another's": lambda place, inside: anothers(ours(place)),
    "another's for all": lambda place, inside: anothers(ours(place, 0o1777)),
    "holding another's": holding(lambda place: anothers(ours(place))),
    "another's holding ours": lambda place, inside: anothers(holding(ours)(place, inside)),
    "missing in another's": lambda place, inside: anothers(ours(place)) / "a",
}
if os.geteuid() == 0:
    KINDS |= OF_ANOTHER


def name_place(monkeypatch, variable, kind, folder, inside):
    """Have the variable name such a place below `folder`, in which the socket's own folder is called `inside`."""
    monkeypatch.delenv(variable, raising=False)
    if (place := KINDS[kind](folder / "place", inside)) is not None:
        monkeypatch.setenv(variable, str(place))
