"""A zone that somebody drew: what the configuration says of it comes in, how far inside one is out.

A zone lies in the picture, in parts of its width and height, or on the floor, in metres to the
right of the camera and ahead of it, as seen from above.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Final, Literal, cast

Place = tuple[float, float]
Space = Literal["picture", "floor_m"]
Part = Literal["feet", "hips"]
SPACES: Final = ("picture", "floor_m")
PARTS: Final = ("feet", "hips")
WANTED: Final = (
    "wanted a table such as {press = {picture = [[0.1, 0.4], [0.5, 0.4], [0.5, 1.0], [0.1, 1.0]]}}"
)
FURTHEST_PICTURE: Final = 2.0
"""A corner may lie beyond the picture's edge, but not so far that it must be meant in pixels."""


class NotAZone(ValueError):
    """What stands in the configuration is no zone; the sentence goes on after the key's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A polygon, and which part of a person counts."""

    name: str
    space: Space
    corners: tuple[Place, ...]
    part: Part = "feet"

    def depth(self, place: Place) -> float:
        """How far a place lies inside, from the nearest side; negative outside."""
        sides = list(pairwise((*self.corners, self.corners[0])))
        nearest = min(_distance(place, start, end) for start, end in sides)
        crossings = sum(_crosses(place, start, end) for start, end in sides)
        return nearest if crossings % 2 else -nearest


def read_zones(told: object) -> tuple[Zone, ...]:
    """Read the zones of a configuration, or of JSON text; `NotAZone` says what is wrong."""
    try:
        table = json.loads(told) if isinstance(told, str) else told
    except (ValueError, RecursionError) as error:
        raise NotAZone(f"is not JSON ({error}); {WANTED}") from None
    if not isinstance(table, Mapping):
        raise NotAZone(f"is {told!r}; {WANTED}")
    return tuple(_zone(str(name), value) for name, value in table.items())


def _zone(name: str, table: object) -> Zone:
    if not name or not name.isprintable() or any(sign in name for sign in "/+#.&%="):
        raise NotAZone(
            f"has a zone named {name!r}; its name becomes a tag, so write letters and digits"
        )
    if not isinstance(table, Mapping):
        raise NotAZone(f"has a zone {name!r} that is {table!r}; {WANTED}")
    for key in table:
        if key not in (*SPACES, "part"):
            hint = get_close_matches(str(key), (*SPACES, "part"), n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else "known are picture, floor_m and part"
            raise NotAZone(f"has a zone {name!r} with a key {key!r}; {advice}")
    spaces = [space for space in SPACES if space in table]
    if len(spaces) != 1:
        raise NotAZone(
            f"has a zone {name!r} with {' and '.join(spaces) or 'no corners'}; give the corners "
            "either as picture, in parts of its width and height, or as floor_m, in metres"
        )
    part = table.get("part", "feet")
    if part not in PARTS:
        raise NotAZone(f"has a zone {name!r} with the part {part!r}; wanted 'feet' or 'hips'")
    space = cast("Space", spaces[0])
    corners = _corners(name, table[space])
    if space == "picture" and any(abs(value) > FURTHEST_PICTURE for c in corners for value in c):
        raise NotAZone(
            f"has a zone {name!r} with corners in pixels; wanted parts of the picture from 0 to 1, "
            "so divide by its width and its height"
        )
    return Zone(name=name, space=space, corners=corners, part=cast("Part", part))


def _corners(name: str, told: object) -> tuple[Place, ...]:
    wrong = NotAZone(
        f"has a zone {name!r} with the corners {told!r}; wanted three or more of [x, y]"
    )
    if not isinstance(told, Sequence) or isinstance(told, str) or len(told) < len("xyz"):
        raise wrong
    found = []
    for corner in told:
        if not isinstance(corner, Sequence) or len(corner) != len("xy"):
            raise wrong
        x, y = corner
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in (x, y)):
            raise wrong
        found.append((float(x), float(y)))
    return tuple(found)


def _distance(place: Place, start: Place, end: Place) -> float:
    """From a place to the nearest point of a side."""
    along = (end[0] - start[0], end[1] - start[1])
    to = (place[0] - start[0], place[1] - start[1])
    length_2 = along[0] ** 2 + along[1] ** 2
    share = (to[0] * along[0] + to[1] * along[1]) / length_2 if length_2 else 0.0
    share = min(max(share, 0.0), 1.0)
    return math.hypot(to[0] - share * along[0], to[1] - share * along[1])


def _crosses(place: Place, start: Place, end: Place) -> bool:
    """Tell whether a line from the place to the right crosses the side."""
    if (start[1] > place[1]) == (end[1] > place[1]):
        return False
    share = (place[1] - start[1]) / (end[1] - start[1])
    return place[0] < start[0] + share * (end[0] - start[0])
