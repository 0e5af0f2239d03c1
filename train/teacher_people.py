"""Where the people are in a real picture, according to a detector trained by others.

In: a BGR picture.  Out: person boxes in picture pixels with scores.

The network is the SSD-MobileNetV2 (Open Images v4, Apache-2.0) that MediaPipe's Objectron ships:

* input `normalized_input_image_tensor` float32 [1,300,300,3], RGB, `pixel / 127.5 - 1`; the whole
  picture is stretched to the square in its authors' pipeline; letterboxed with grey (127) it
  finds as much (148 of 170 annotated people against 143, and 160 of 167 heads against 154), so
  here the shape is kept;
* output `raw_outputs/box_encodings` float32 [1,1917,4]: (ty, tx, th, tw), in that order, and
  `raw_outputs/class_predictions` float32 [1,1917,24]: logits, each to be put through a sigmoid on
  its own; column 0 is background, **column 4 is Person** (line 4 of the label map in the same
  package, counted from 0).

Anchors and coding are those of `train/ssd.py`.

The teacher looks twice, at the picture and at its mirror image; boxes that agree are averaged by
score.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float32, UInt8

from train.ssd import INPUT_PX, PAD_VALUE, PERSON, anchors, decode

SAME_PERSON_IOU: Final = 0.55
PART_OF_PERSON: Final = 0.85
"""A weaker box that lies within a stronger one by this share of its area is part of that person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The person boxes of one picture, best first."""

    boxes_px: Float32[np.ndarray, "people 4"]
    scores: Float32[np.ndarray, "people"]


def iou(
    one: Float32[np.ndarray, "4"], many: Float32[np.ndarray, "boxes 4"]
) -> Float32[np.ndarray, "boxes"]:
    """Return the overlap of one box with each of many, intersection over union."""
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(many[:, 2:] - many[:, :2], axis=1)
    area = np.prod(one[2:] - one[:2])
    return (common / np.maximum(area + areas - common, 1e-9)).astype(np.float32)


def _share_inside(
    many: Float32[np.ndarray, "boxes 4"], one: Float32[np.ndarray, "4"]
) -> Float32[np.ndarray, "boxes"]:
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    return (common / np.maximum(np.prod(many[:, 2:] - many[:, :2], axis=1), 1e-9)).astype(
        np.float32
    )


def merge(boxes_px: Float32[np.ndarray, "boxes 4"], scores: Float32[np.ndarray, "boxes"]) -> People:
    """Keep one box a person: the best takes in those that overlap it, averaged by score."""
    kept: list[np.ndarray] = []
    kept_scores: list[float] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best = left[0]
        same = iou(boxes_px[best], boxes_px[left]) >= SAME_PERSON_IOU
        same[0] = True
        group = left[same]
        same |= _share_inside(boxes_px[left], boxes_px[best]) >= PART_OF_PERSON
        kept.append(np.average(boxes_px[group], axis=0, weights=scores[group]).astype(np.float32))
        kept_scores.append(float(scores[best]))
        left = left[~same]
    return People(
        boxes_px=np.asarray(kept, np.float32).reshape(-1, 4),
        scores=np.asarray(kept_scores, np.float32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letterbox:
    """A picture in the middle of a grey square."""

    image: UInt8[np.ndarray, "side side 3"]
    left_px: int
    top_px: int
    size_px: tuple[int, int]

    def place(self, boxes: Float32[np.ndarray, "boxes 4"]) -> Float32[np.ndarray, "boxes 4"]:
        """Take boxes from fractions of the square to picture pixels (pixel centres at integers)."""
        in_picture = boxes * len(self.image) - np.array([self.left_px, self.top_px] * 2)
        return (np.clip(in_picture, 0, np.array(self.size_px * 2)) - 0.5).astype(np.float32)


def _letterbox(image: UInt8[np.ndarray, "height width 3"]) -> _Letterbox:
    height, width = image.shape[:2]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    square = np.full((side, side, 3), PAD_VALUE, np.uint8)
    square[top : top + height, left : left + width] = image
    return _Letterbox(image=square, left_px=left, top_px=top, size_px=(width, height))


class PeopleTeacher:
    """Finds people with two looks of the SSD, one of them at the mirror image."""

    def __init__(self, path: Path, *, least_score: float = 0.3) -> None:
        """Load the network from a `.tflite` file."""
        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {d["name"]: d["index"] for d in self._interpreter.get_output_details()}
        self._encodings = outputs["raw_outputs/box_encodings"]
        self._classes = outputs["raw_outputs/class_predictions"]
        self._anchors = anchors()
        self._least_score = least_score

    def find(self, image: UInt8[np.ndarray, "height width 3"]) -> People:
        """Return the people in a picture."""
        letterbox = _letterbox(image)
        boxes, scores = self._run(letterbox.image)
        mirrored, mirrored_scores = self._run(cv2.flip(letterbox.image, 1))
        unmirrored = mirrored[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
        all_boxes = np.concatenate([boxes, unmirrored.astype(np.float32)])
        all_scores = np.concatenate([scores, mirrored_scores])
        found = all_scores >= self._least_score
        return merge(letterbox.place(all_boxes[found]), all_scores[found])

    def _run(
        self, image: UInt8[np.ndarray, "side side 3"]
    ) -> tuple[Float32[np.ndarray, "anchors 4"], Float32[np.ndarray, "anchors"]]:
        resized = cv2.resize(image, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_LINEAR)
        rgb = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.float32) / 127.5 - 1
        self._interpreter.set_tensor(self._input, rgb[None])
        self._interpreter.invoke()
        encodings = self._interpreter.get_tensor(self._encodings)[0]
        logits = self._interpreter.get_tensor(self._classes)[0, :, PERSON]
        return decode(encodings, self._anchors), 1 / (1 + np.exp(-logits))
