"""Where people are, by source, and how far each mask may be believed.

In: masks from a file, from the teachers' segmenter or from a background model
(`train/foreground_camera.py`), joints with confidence, detected boxes, and for clips the masks of
the frames before and after.  Out: `MaskQuality`, a score in 0..1 for each mask, and the names of
those too bad to use.

Masks are 8-bit, 0 to 255: the share of each pixel that shows people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.errors import SourceError
from train.labelled_image import LabelledImage
from train.teacher_people import iou

LEAST_SCORE: Final = 0.75
"""Masks below are left out, unless somebody asks for another limit."""
SURE: Final = 0.5
"""Joints below this confidence say nothing about a mask."""
_FEWEST_JOINTS: Final = 4
_RIM: Final = 0.02
"""Of the longer side of the joints' box: a wrist so near the mask lies in it."""
_INSIDE: Final = 127
_MARGIN: Final = 0.1
"""Of the longer side of a person's box: so far around it, masks are compared."""
_LEAST_MOVED: Final = 0.25
"""Of the mask's area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskQuality:
    """How far a mask may be believed; None where nothing is there to compare it with."""

    agreement: float | None = None
    """Share of what a background model saw move that the mask covers, 0 to 1."""
    stability: float | None = None
    """Overlap with the better of the frames before and after, moved onto each other, 0 to 1."""
    joints: float | None = None
    """Share of confident joints that lie in the mask, 0 to 1."""
    box: float | None = None
    """Overlap of the mask's box with one that a detector found, 0 to 1."""

    @property
    def score(self) -> float | None:
        """Return the geometric mean of what is known; None where nothing is.

        On 400 labelled workers it told spoiled masks from good ones better than the minimum did:
        5 % of the good ones lie below 0.79, and 100 % of those shifted or empty, 99 % of another
        picture's, 98 % of those cut, 90 % of the eroded, but only 14 % of the dilated.
        """
        parts = (self.agreement, self.stability, self.joints, self.box)
        known = [part for part in parts if part is not None]
        return float(np.prod(known)) ** (1 / len(known)) if known else None


def given(path: Path, width: int, height: int) -> UInt8[np.ndarray, "height width"]:
    """Read a mask from an 8-bit picture file; it must be as large as its picture."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise SourceError(f"{path} cannot be read as a mask; save it as an 8-bit grey picture.")
    if mask.shape != (height, width):
        raise SourceError(
            f"the mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels and its picture "
            f"{width}x{height}; save it at the size of the picture."
        )
    return np.asarray(mask, np.uint8)


def segmented(labelled: LabelledImage) -> UInt8[np.ndarray, "height width"]:
    """Return where the teachers' segmenter sees any of the people they label."""
    nobody = np.zeros((labelled.height_px, labelled.width_px), np.uint8)
    return np.maximum.reduce([nobody, *(person.mask() for person in labelled.people)])


def overlap(
    one: UInt8[np.ndarray, "height width"], other: UInt8[np.ndarray, "height width"]
) -> float:
    """Intersection over union of soft masks, Σ min / Σ max; two empty ones agree."""
    union = np.maximum(one, other).sum(dtype=np.int64)
    return float(np.minimum(one, other).sum(dtype=np.int64) / union) if union else 1.0


def stability(
    mask: UInt8[np.ndarray, "height width"],
    neighbours: Sequence[UInt8[np.ndarray, "height width"]],
) -> float | None:
    """Compare one person's mask with those in the frames before and after, if there are any.

    The neighbours are moved so that centres of mass meet, because people walk; the best of them
    counts, because a wrong neighbour must not cost a good mask.
    """
    return max((overlap(mask, _moved_onto(one, mask)) for one in neighbours), default=None)


def motion_agreement(
    mask: UInt8[np.ndarray, "height width"],
    box_px: Float32[np.ndarray, "4"],
    moved: UInt8[np.ndarray, "height width"],
) -> float | None:
    """Return the share of what moved near one person that the mask of all people covers.

    A background model misses parts of people that look like the background, so only what it saw
    counts.  None where hardly anything moved: whoever stays in one place has become background.
    """
    height, width = mask.shape
    margin = _MARGIN * float(np.max(box_px[2:] - box_px[:2]))
    x0, y0 = np.clip(np.floor(box_px[:2] - margin).astype(int), 0, [width, height])
    x1, y1 = np.clip(np.ceil(box_px[2:] + margin).astype(int), 0, [width, height])
    here, there = mask[y0:y1, x0:x1], moved[y0:y1, x0:x1]
    if there.sum(dtype=np.int64) < _LEAST_MOVED * here.sum(dtype=np.int64) or not there.any():
        return None
    covered = np.minimum(here, there).sum(dtype=np.int64)
    return float(covered / there.sum(dtype=np.int64))


def box_agreement(
    mask: UInt8[np.ndarray, "height width"], boxes_px: Float32[np.ndarray, "boxes 4"]
) -> float | None:
    """Compare the box around one person's mask with the detected box that it fits best.

    Intersection over union; None where no box was detected.
    """
    if not len(boxes_px):
        return None
    rows, columns = np.nonzero(mask > _INSIDE)
    if not len(rows):
        return 0.0
    ends = (columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5)
    return float(iou(np.array(ends, np.float32), boxes_px).max())


def joint_agreement(
    mask: UInt8[np.ndarray, "height width"],
    joints_px: Float32[np.ndarray, "joints 2"],
    confidence: Float32[np.ndarray, "joints"],
) -> float | None:
    """Return the share of confident joints that lie in one person's mask, or at its rim.

    None when fewer than four joints are sure.
    """
    sure = joints_px[confidence > SURE]
    if len(sure) < _FEWEST_JOINTS:
        return None
    reach = max(round(_RIM * float(np.max(sure.max(axis=0) - sure.min(axis=0)))), 1)
    wider = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    height, width = mask.shape
    columns, rows = np.rint(sure).astype(int).T
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    return float((wider[rows, columns] > _INSIDE).mean())


def sift(
    qualities: Mapping[str, MaskQuality], least: float = LEAST_SCORE
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of masks to use and of those to leave out.

    A mask about which nothing is known is used: that nobody complains is no complaint.
    """
    scores = {name: quality.score for name, quality in qualities.items()}
    left_out = tuple(name for name, score in scores.items() if score is not None and score < least)
    return tuple(name for name in scores if name not in set(left_out)), left_out


def _moved_onto(
    mask: UInt8[np.ndarray, "height width"], target: UInt8[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Move a mask so that its centre of mass lies where the target's does."""
    here, there = cv2.moments(mask), cv2.moments(target)
    if not here["m00"] or not there["m00"]:
        return mask
    x = there["m10"] / there["m00"] - here["m10"] / here["m00"]
    y = there["m01"] / there["m00"] - here["m01"] / here["m00"]
    move = np.array([[1, 0, x], [0, 1, y]])
    return np.asarray(cv2.warpAffine(mask, move, mask.shape[::-1]), np.uint8)
