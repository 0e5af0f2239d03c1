"""Runs of pictures that follow each other: the groups of footage that is all of one piece.

In: the name of a folder or clip, and the number of a picture in it.  Out: the name of the run of
neighbours that the picture belongs to, which tells by itself whose run it is and which of them.
"""

import re
from typing import Final

RUN_PICTURES: Final = 20
"""So few that of 60 labelled frames some are learned from and some are held out."""
_RUN: Final = re.compile(r"(.+)#run-(\d{4,})", re.DOTALL)


def run_of(whole: str, picture: int) -> str:
    """Name the run that a picture of a folder or clip belongs to, counted from 0."""
    return _named(whole, picture // RUN_PICTURES)


def run_number(group: str) -> int | None:
    """Return which run of its folder or clip a group is, from 0; None if it is none."""
    found = _RUN.fullmatch(group)
    return None if found is None else int(found[2])


def whole_of(group: str) -> str:
    """Name the folder or clip that a run is part of; any other group is whole itself."""
    found = _RUN.fullmatch(group)
    return group if found is None else found[1]


def goes_on(before: str, group: str) -> bool:
    """Tell whether pictures of a group may come right after those of the one before."""
    number = run_number(before)
    return group == before or (number is not None and group == _named(whole_of(before), number + 1))


def _named(whole: str, number: int) -> str:
    return f"{whole}#run-{number:04d}"
