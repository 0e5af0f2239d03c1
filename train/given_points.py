"""Points that people set in pictures: a COCO file comes in, named points of each picture come out.

Such sets name points in their own way (the desk-work set knows bottom, shoulder, head and back), so
no skeleton is assumed.  Exporters rename pictures' endings; a picture is known by its name without.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from edge_pose.errors import SourceError

NamedPoint: TypeAlias = tuple[str, float, float]
"""Name, x and y; fractions of the picture, from its left and upper edge."""


def read_given_points(path: Path) -> Mapping[str, tuple[NamedPoint, ...]]:
    """Read the points of everybody in each picture, but for those that were not set (flag 0)."""
    try:
        content = json.loads(path.read_text())
        names = {
            category["id"]: category.get("keypoints", []) for category in content["categories"]
        }
        pictures = {picture["id"]: picture for picture in content["images"]}
        found: dict[str, tuple[NamedPoint, ...]] = defaultdict(tuple)
        for mark in content["annotations"]:
            picture, values = pictures[mark["image_id"]], mark.get("keypoints", [])
            triples = zip(
                names[mark["category_id"]], values[::3], values[1::3], values[2::3], strict=True
            )
            found[PurePosixPath(picture["file_name"]).stem] += tuple(
                (name, float(x) / picture["width"], float(y) / picture["height"])
                for name, x, y, flag in triples
                if flag
            )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"{path} is no COCO file with key points: {error!r}, wanted categories with keypoints, "
            "images and annotations; unpack the set again"
        ) from error
    return dict(found)
