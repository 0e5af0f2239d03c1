"""What MediaPipe's pose networks (Apache-2.0) see of one person in a real picture.

In: a BGR picture and a box around a person.  Out: 33 landmarks in picture pixels with their
visibility, a foreground mask, and how far the opinions on the picture and on its mirror image lie
apart.

The landmark network wants its person upright in a square, centred on the hips: the *region*.
Three looks lead to it:

1. the pose detector on the box (224×224, RGB, `pixel / 127.5 - 1`, letterboxed with 0) gives the
   middle of the hips and a point as far from it as the body reaches; where it sees nobody, the
   box itself is the first region;
2. a small landmark network (256×256, RGB, `pixel / 255`) on that region gives two auxiliary
   landmarks of the same meaning (numbers 33 and 34), which give the next region, as MediaPipe
   does from frame to frame;
3. the large landmark network looks at that region, and the small one at its mirror image: two
   opinions that share few faults, at two thirds of the price of asking the large one twice.

The region is a square of side 1.25 · 2 · |reach - hips|, turned so that reach lies straight above
hips.  The networks' own 3D output is not read: it is far from true and must never become a label.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float, Float32, Float64, UInt8

from edge_pose.region import REACH as SIDE_PER_REACH
from edge_pose.region import Region, region_of_body, region_of_box

DETECTOR_PX: Final = 224
DETECTOR_MARGIN: Final = 1.3
"""Side of the square that the pose detector sees over the longer side of the box."""
LANDMARK_PX: Final = 256
LANDMARKS: Final = 33
HIPS, REACH = 33, 34
CORNER_TO_CENTRE: Final = 0.5
"""The network counts pixels from the corner of the first one: on 100 pictures, x on a picture plus
x on its mirror image was 256.1 ± 0.2, where pixel centres at integers would give 255."""
FINAL_WEIGHT: Final = 2 / 3
"""Of the large network's opinion, when it is averaged with the small one's."""
LEAST_DETECTION: Final = 0.4
LEAST_FIT: Final = 0.1
SHOULDERS_DOWN: Final = 0.2
"""Where the shoulders of a standing or sitting person lie in the box, from the top."""

_MIRROR_BODY: Final = tuple(i + 1 if i % 2 else i - 1 for i in range(11, LANDMARKS))
MIRROR: Final = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *_MIRROR_BODY)
"""Left for right among the 33 landmarks."""


def draw(
    image: UInt8[np.ndarray, "h w 3"], region: Region, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw a region upright; beyond the picture its outermost pixels go on."""
    return cv2.warpAffine(
        image,
        region.image_from_region(size),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def reach_of_region(region: Region) -> Float32[np.ndarray, "2 2"]:
    """Return the two points that span a region, as `region_of_body` takes them."""
    up = np.array([np.sin(region.turn_rad), -np.cos(region.turn_rad)])
    hips = np.asarray(region.centre_px)
    return np.stack([hips, hips + region.side_px / SIDE_PER_REACH * up]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One person as the teacher sees it, in picture pixels."""

    landmarks_px: Float32[np.ndarray, "33 2"]
    visibility: Float32[np.ndarray, "33"]
    """Probability that the landmark is inside the picture and not hidden."""
    apart_px: Float32[np.ndarray, "33"]
    """Distance between the two opinions (picture and mirror image)."""
    person: float
    """Probability that the region shows a person at all."""
    region: Region
    mask: Float32[np.ndarray, "256 256"]
    """Foreground probability in the region."""

    def mask_in_picture(self, width: int, height: int) -> UInt8[np.ndarray, "height width"]:
        """Draw the mask where it belongs, 0 to 255."""
        soft = np.rint(self.mask * 255).astype(np.uint8)
        return cv2.warpAffine(
            soft,
            self.region.image_from_region(LANDMARK_PX),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a landmark network says about one region, in the region's pixels."""

    points: Float32[np.ndarray, "39 2"]
    visibility: Float32[np.ndarray, "39"]
    person: float
    mask: Float32[np.ndarray, "256 256"]


class _Network:
    """A `.tflite` file with one image input."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {d["name"]: d["index"] for d in self._interpreter.get_output_details()}

    def __call__(self, image: Float32[np.ndarray, "size size 3"]) -> dict[str, np.ndarray]:
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()
        }


class LandmarkNetwork:
    """MediaPipe's pose landmark network, any size of it."""

    def __init__(self, path: Path) -> None:
        """Load the network from a `.tflite` file."""
        self._network = _Network(path)

    def look(self, square: UInt8[np.ndarray, "256 256 3"]) -> _Look:
        """Find the landmarks of the one person in an upright square."""
        rgb = cv2.cvtColor(square, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        outputs = self._network(rgb)
        table = outputs["Identity"].reshape(39, 5)
        return _Look(
            points=table[:, :2] - CORNER_TO_CENTRE,
            visibility=_sigmoid(table[:, 3]),
            person=float(outputs["Identity_1"][0]),
            mask=_sigmoid(outputs["Identity_2"][:, :, 0]),
        )


class PoseDetector:
    """MediaPipe's pose detector: where the hips are and how far the body reaches."""

    def __init__(self, path: Path) -> None:
        """Load the network from a `.tflite` file."""
        self._network = _Network(path)
        self._centres = cell_centres()

    def find(
        self, image: UInt8[np.ndarray, "h w 3"], box_px: Float32[np.ndarray, "4"]
    ) -> Region | None:
        """Return the region of the person who fits the box best, or None."""
        square = region_of_box(box_px, DETECTOR_MARGIN)
        image_from_square = square.image_from_region(DETECTOR_PX)
        drawn = cv2.warpAffine(
            image,
            image_from_square,
            (DETECTOR_PX, DETECTOR_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        rgb = cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB).astype(np.float32) / 127.5 - 1
        outputs = self._network(rgb)
        scores = _sigmoid(np.clip(outputs["Identity_1"][:, 0], -100, 100))
        points = (
            outputs["Identity"][:, 4:10].reshape(-1, 3, 2) + self._centres[:, None] * DETECTOR_PX
        )
        shoulders_px = points[:, 2] @ image_from_square[:, :2].T + image_from_square[:, 2]
        fit = scores * _closeness(shoulders_px, box_px)
        best = int(np.argmax(np.where(scores >= LEAST_DETECTION, fit, 0)))
        if fit[best] < LEAST_FIT or scores[best] < LEAST_DETECTION:
            return None
        return region_of_body(
            points[best, :2] @ image_from_square[:, :2].T + image_from_square[:, 2]
        )


class PoseTeacher:
    """Sees one person three times and says how sure it is."""

    def __init__(self, *, detector: Path, first: Path, final: Path) -> None:
        """Load the pose detector, the landmark network for the region and the one for the label."""
        self._detector = PoseDetector(detector)
        self._first = LandmarkNetwork(first)
        self._final = LandmarkNetwork(final)

    def see(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        box_px: Float32[np.ndarray, "4"],
        *,
        least_person: float,
    ) -> Sighting | None:
        """Look at the person in a box; None when the first look finds nobody there."""
        detected = self._detector.find(image, box_px)
        starts = [region_of_box(box_px)] if detected is None else [detected, region_of_box(box_px)]
        for start in starts:
            first = self._first.look(draw(image, start, LANDMARK_PX))
            if first.person >= least_person:
                break
        else:
            return None
        to_image = start.image_from_region(LANDMARK_PX)
        placed = first.points[[HIPS, REACH]] @ to_image[:, :2].T + to_image[:, 2]
        region = region_of_body(placed)
        square = draw(image, region, LANDMARK_PX)
        plain = self._final.look(square)
        mirrored = self._first.look(cv2.flip(square, 1))
        return _agree(plain, mirrored, region)


def _agree(plain: _Look, mirrored: _Look, region: Region) -> Sighting:
    names = list(MIRROR)
    turned = mirrored.points[names] * np.array([-1, 1]) + np.array([LANDMARK_PX - 1, 0])
    points = _weighted(plain.points[:LANDMARKS], turned)
    apart = np.linalg.norm(plain.points[:LANDMARKS] - turned, axis=1)
    to_image = region.image_from_region(LANDMARK_PX)
    return Sighting(
        landmarks_px=(points @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32),
        visibility=_weighted(plain.visibility[:LANDMARKS], mirrored.visibility[names]),
        apart_px=(apart * region.side_px / LANDMARK_PX).astype(np.float32),
        person=min(plain.person, mirrored.person),
        region=region,
        mask=_weighted(plain.mask, mirrored.mask[:, ::-1]),
    )


def _weighted(
    final: Float[np.ndarray, "..."], first: Float[np.ndarray, "..."]
) -> Float32[np.ndarray, "..."]:
    return (FINAL_WEIGHT * final + (1 - FINAL_WEIGHT) * first).astype(np.float32)


def _closeness(
    shoulders_px: Float64[np.ndarray, "n 2"], box_px: Float32[np.ndarray, "4"]
) -> Float64[np.ndarray, "n"]:
    """Return 1 where the shoulders fit the person in the box, falling to 0 at neighbours'."""
    size = (box_px[2:] - box_px[:2]).astype(np.float64)
    expected = box_px[:2] + size * [0.5, SHOULDERS_DOWN]
    off = (shoulders_px - expected) / size
    return np.asarray(np.exp(-0.5 * np.sum((off / [0.25, 0.35]) ** 2, axis=1)))


def cell_centres() -> Float32[np.ndarray, "2254 2"]:
    """Return where the pose detector's anchors stand, fractions of its picture."""
    layers = []
    for stride, each in ((8, 2), (16, 2), (32, 6)):
        cells = DETECTOR_PX // stride
        x, y = np.meshgrid(np.arange(cells), np.arange(cells))
        centres = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) / cells
        layers.append(np.repeat(centres, each, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _sigmoid(logits: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
