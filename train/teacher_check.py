"""Teacher labels against points that people set in the same pictures.

In: labelled pictures, and points by the pictures' keys.  Out: how far the teacher is from each.

What the desk-work set calls head sits at the ear, shoulder at the shoulder and bottom at the hip;
its back lies on the surface of the back, where our skeleton has nothing, and is left out.  Of two
joints, that of the side of which the teacher is surer is compared: the set shows people side on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_pose.skeleton import INDEX
from train.labelled_image import LabelledImage, LabelledPerson
from train.sources import GivenPoint, Stills

COMPARED: Final[Mapping[str, str]] = {"head": "ear", "shoulder": "shoulder", "bottom": "hip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PointError:
    """How far one label of the teacher is from the point that a person set."""

    name: str
    error_px: float
    """Not a number where the teacher labelled nobody, or gave no label."""
    box_px: float
    """Longer side of the box around what is visible of the person."""


def point_errors(images: Iterable[LabelledImage], source: Stills) -> list[PointError]:
    """Compare each point of the pictures with the person whose labels are nearest to all."""
    stills = {still.key: still for still in source.files}
    errors = []
    for image in images:
        still = stills.get(image.key)
        points = () if still is None else still.points_in(image.width_px, image.height_px)
        compared = [point for point in points if point.name in COMPARED]
        if not compared:
            continue
        people = [_errors_of(person, compared) for person in image.people]
        nobody = [
            PointError(name=point.name, error_px=float("nan"), box_px=float("nan"))
            for point in compared
        ]
        errors += _nearest(people) if people else nobody
    return errors


def _errors_of(person: LabelledPerson, points: Iterable[GivenPoint]) -> list[PointError]:
    x0, y0, x1, y1 = (float(value) for value in person.box_px)
    errors = []
    for point in points:
        sides = [INDEX[f"{side}_{COMPARED[point.name]}"] for side in ("left", "right")]
        joint = max(sides, key=lambda index: float(person.confidence[index]))
        away_px = float(np.linalg.norm(person.joints_px[joint] - point.place_px))
        errors.append(
            PointError(
                name=point.name,
                error_px=away_px if person.confidence[joint] > 0.0 else float("nan"),
                box_px=max(x1 - x0, y1 - y0),
            )
        )
    return errors


def _nearest(people: list[list[PointError]]) -> list[PointError]:
    """Choose the person whose known errors are smallest on average."""
    means = [
        np.mean([e.error_px for e in errors if np.isfinite(e.error_px)] or np.inf)
        for errors in people
    ]
    return people[int(np.argmin(means))]
