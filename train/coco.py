"""Key points that a person marked, in COCO's JSON, as any labelling tool writes it.

In: the JSON file and the folder of its pictures.  Out: `MarkedFrame`s with the 17 joints of COCO in
our order, or one sentence on what is wrong with the file.

COCO counts the pixels of key points from zero, as we do; a box is x, y, width, height from the
picture's corner, which in our coordinates lies at -0.5, -0.5.  The flag v of a key point: 0 not
marked, 1 marked though hidden, 2 visible.  A category that lists names of key points may list them
in any order; without names they are taken to be in COCO's.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from jaxtyping import Float32, Float64, Int64

from edge_pose import skeleton
from edge_pose.errors import SourceError

NAMES: Final = tuple(skeleton.JOINTS[joint] for joint in skeleton.COCO_17)
NOT_MARKED: Final = 0
HIDDEN: Final = 1
VISIBLE: Final = 2
_BEYOND_PX: Final = 1.0
"""Tools round: so far beyond the picture's edge nothing is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPerson:
    """One annotation."""

    box_px: Float32[np.ndarray, "4"]
    joints_px: Float32[np.ndarray, "17 2"]
    flags: Int64[np.ndarray, "17"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedFrame:
    """A picture with everybody marked in it."""

    picture: Path
    width_px: int
    height_px: int
    people: tuple[MarkedPerson, ...]


def read_coco(path: Path, pictures: Path) -> tuple[MarkedFrame, ...]:
    """Read the frames in which somebody is marked, in the order of their names.

    Raises SourceError for a file that is not COCO key points, a picture that is missing, a number
    of key points other than 17, and points or boxes outside the picture.
    """
    content = _content(path)
    orders = {
        category["id"]: _order(category.get("keypoints"), path)
        for category in _records(content, "categories", ("id",), path)
    }
    frames = {
        record["id"]: record
        for record in _records(content, "images", ("id", "file_name", "width", "height"), path)
    }
    people: dict[int, list[MarkedPerson]] = defaultdict(list)
    for number, mark in enumerate(_records(content, "annotations", ("image_id", "bbox"), path)):
        where = f"{path}: annotation {mark.get('id', number)}"
        if mark.get("iscrowd"):
            continue
        if mark["image_id"] not in frames:
            _refuse(f"{where} belongs to picture {mark['image_id']}, which the file does not list")
        order = orders.get(mark.get("category_id"), tuple(range(len(NAMES))))
        person = _person(mark, frames[mark["image_id"]], order, where)
        if (person.flags != NOT_MARKED).any():
            people[mark["image_id"]].append(person)
    found = [
        MarkedFrame(
            picture=_existing(pictures / frames[key]["file_name"], path),
            width_px=int(frames[key]["width"]),
            height_px=int(frames[key]["height"]),
            people=tuple(marked),
        )
        for key, marked in people.items()
    ]
    if not found:
        _refuse(f"{path} marks no key points of anybody")
    return tuple(sorted(found, key=lambda frame: frame.picture))


def _person(
    mark: Mapping[str, Any], frame: Mapping[str, Any], order: Sequence[int], where: str
) -> MarkedPerson:
    values = mark.get("keypoints", [])
    if len(values) != 3 * len(NAMES):
        _refuse(
            f"{where} has {len(values)} numbers for key points, wanted {3 * len(NAMES)}: x, y and "
            f"v of {len(NAMES)} joints"
        )
    table = _numbers(values, where).reshape(-1, 3)[list(order)]
    flags = table[:, 2].astype(np.int64)
    if not np.isin(table[:, 2], (NOT_MARKED, HIDDEN, VISIBLE)).all():
        _refuse(f"{where} has a key point flag other than 0, 1 and 2")
    size = np.array([frame["width"], frame["height"]], np.float64)
    limits = f"the picture of {frame['width']} x {frame['height']} pixels"
    points = table[flags != NOT_MARKED, :2]
    if not _inside(points, size - 0.5).all():
        _refuse(f"{where} has a key point outside {limits}")
    box = _numbers(mark["bbox"], where)
    if len(box) != 4:
        _refuse(f"{where} has a box of {len(box)} numbers, wanted x, y, width, height")
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y + height]]) - 0.5
    if not (_inside(corners, size - 0.5).all() and width > 0 and height > 0):
        _refuse(f"{where} has the box {mark['bbox']}, which is empty or outside {limits}")
    return MarkedPerson(
        box_px=corners.ravel().astype(np.float32),
        joints_px=table[:, :2].astype(np.float32),
        flags=flags,
    )


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror}); export the key points as COCO, and name "
            "that file"
        ) from error
    except ValueError as error:
        raise SourceError(f"{path} is not JSON ({error}); export the key points again") from error
    if not isinstance(content, dict):
        _refuse(f"{path} holds a {type(content).__name__}, wanted COCO's table")
    return content


def _records(
    content: Mapping[str, Any], name: str, keys: Sequence[str], path: Path
) -> Sequence[Mapping[str, Any]]:
    records = content.get(name, [] if name == "categories" else None)
    if not isinstance(records, list):
        _refuse(f"{path} has no list {name!r}")
    for number, record in enumerate(records):
        for key in keys:
            if not isinstance(record, dict) or key not in record:
                _refuse(f"{path}: number {number} of {name!r} has no {key!r}")
    return records


def _order(names: Sequence[str] | None, path: Path) -> tuple[int, ...]:
    """Return for each joint of COCO its place in the file."""
    if not names:
        return tuple(range(len(NAMES)))
    written = [name.lower().replace(" ", "_").replace("-", "_") for name in names]
    if sorted(written) != sorted(NAMES):
        strange = sorted(set(written) ^ set(NAMES))
        _refuse(
            f"{path} has {len(names)} named key points, wanted COCO's {len(NAMES)}; in one of them "
            f"only: {', '.join(strange)}"
        )
    return tuple(written.index(name) for name in NAMES)


def _numbers(values: Sequence[Any], where: str) -> Float64[np.ndarray, "_"]:
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError):
        _refuse(f"{where} has something other than numbers in its box or key points")


def _inside(points: np.ndarray, most: np.ndarray) -> np.ndarray:
    return (points >= -0.5 - _BEYOND_PX) & (points <= most + _BEYOND_PX)


def _existing(picture: Path, path: Path) -> Path:
    if not picture.is_file():
        _refuse(f"{path} lists {picture}, which does not exist; give the folder of its pictures")
    return picture


def _refuse(sentence: str) -> NoReturn:
    raise SourceError(
        sentence
        if ";" in sentence
        else f"{sentence}; correct it in the labelling tool, export again"
    )
