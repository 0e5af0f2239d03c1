"""What a detector took for people: squares without anybody, for the pose network to turn down.

In: a detector, and folders of which it is known who is where: rendered ones, and labelled ones in
whose pictures the teachers found everybody (in crowds they do not).  Out: one file of squares cut
about the boxes that hold nobody, and `Inventions`, which reads it as people who are not there.  A
chair that looks like somebody sitting teaches more than any square cut at random.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.boxes import overlaps
from edge_pose.detect import DetectSettings, find_people
from edge_pose.engines import Engine
from edge_pose.errors import SourceError
from edge_pose.manifest import NetworkSpec
from edge_pose.sweep import views_of
from train.detector_data import Scene, Scenes
from train.pose_augment import Person
from train.pose_data import nobody_in

_LEAST_SCORE: Final = 0.35
_KNOWN_IOU: Final = 0.05
_SURROUNDINGS: Final = 2.0
"""Side of what is kept over the longer side of the box: as much as any crop of it shows."""
_LARGEST_PX: Final = 512
_LEAST_BOX_PX: Final = 24
_JPEG: Final = [cv2.IMWRITE_JPEG_QUALITY, 92]

Square = tuple[UInt8[np.ndarray, "_ _ 3"], Float32[np.ndarray, "4"]]
"""Pixels, BGR, and the box in them."""


def find_inventions(
    engine: Engine, network: NetworkSpec, scenes: Scenes, numbers: Iterable[int]
) -> Iterator[Square]:
    """Look for people in scenes and yield squares about whoever is not there."""
    settings = DetectSettings(score_min=_LEAST_SCORE)
    for number in numbers:
        scene = scenes.scene(number)
        height, width = scene.image.shape[:2]
        found = find_people(engine, network, scene.image, views_of(width, height), settings)
        boxes = np.array([person.box_px for person in found], np.float32).reshape(-1, 4)
        for box in boxes[_nobody(boxes, scene)]:
            yield _cut(scene.image, box)


def _nobody(boxes: Float32[np.ndarray, "boxes 4"], scene: Scene) -> np.ndarray:
    """Tell which boxes share nothing to speak of with anybody, known or doubted, [boxes] bool."""
    known = np.concatenate([scene.people_px, scene.unsure_px])
    large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= _LEAST_BOX_PX
    return np.asarray(large & (overlaps(boxes, known).max(axis=1, initial=0.0) < _KNOWN_IOU))


def _cut(image: UInt8[np.ndarray, "height width 3"], box_px: Float32[np.ndarray, "4"]) -> Square:
    """Keep the surroundings of a box, made smaller where they are large."""
    height, width = image.shape[:2]
    middle = (box_px[:2] + box_px[2:]) / 2
    half = _SURROUNDINGS * float((box_px[2:] - box_px[:2]).max()) / 2
    x0, y0 = np.floor(np.maximum(middle - half, 0)).astype(int)
    x1, y1 = np.ceil(np.minimum(middle + half, (width, height))).astype(int)
    square = image[y0:y1, x0:x1]
    scale = min(_LARGEST_PX / max(square.shape[:2]), 1.0)
    size = (max(round(square.shape[1] * scale), 1), max(round(square.shape[0] * scale), 1))
    small = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
    box = (box_px - np.array([x0, y0, x0, y0], np.float32)) * np.float32(scale)
    return np.asarray(small, np.uint8), box.astype(np.float32)


def write_inventions(path: Path, squares: Sequence[Square]) -> None:
    """Write squares as one file, whole or not at all."""
    encoded = [cv2.imencode(".jpg", pixels, _JPEG)[1].ravel() for pixels, _ in squares]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            jpeg_bytes=np.concatenate([np.zeros(0, np.uint8), *encoded]),
            jpeg_offsets=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            box_px=np.array([box for _, box in squares], np.float32).reshape(-1, 4),
        )
    part.replace(path)


class Inventions:
    """People who are not there, drawn by number."""

    def __init__(self, path: Path) -> None:
        """Read what `write_inventions` wrote."""
        if not path.is_file():
            raise SourceError(f"{path} does not exist; make it with `python -m train inventions`")
        with np.load(path, allow_pickle=False) as arrays:
            self._bytes = arrays["jpeg_bytes"]
            self._offsets = arrays["jpeg_offsets"]
            self._boxes = arrays["box_px"]

    def __len__(self) -> int:
        """Count the squares."""
        return len(self._boxes)

    def person(self, index: int) -> Person:
        """Decode one."""
        first, last = self._offsets[index : index + 2]
        image = cv2.imdecode(self._bytes[first:last], cv2.IMREAD_COLOR)
        return nobody_in(np.asarray(image, np.uint8), self._boxes[index])
