"""What stands before people in the frames that the detector learns from: tables, rails, boards.

In: a frame and the boxes of people in it.  Out: the frame with something before some of them, each
box shrunk to what is left in sight, and how much of it that is.  Who is half hidden at a machine is
to be found by what shows; few labelled frames have such people, for who labelled them missed them.

Mostly something hides a box from one side on, from below more often than not, as tables and
machines do, and ends behind it or not; else it is a board somewhere before it.  As often as for a
person something stands where nobody is, so that boards do not mean people.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from train.boards import EDGE_DEG, fill_rectangle, look_of_board

HIDDEN_SHARE: Final = 0.35
"""Of people, each by something of their own; and of frames, with something before nobody."""
_EDGE_SHARE: Final = 0.65
_IN_SIGHT: Final = (0.25, 0.8)
"""Of the box, on the side of an edge that stays in sight."""
_WIDTHS: Final = (0.9, 2.5)
_DEPTHS: Final = (0.3, 1.4)
"""Of what hides from one side on, in sides of the box."""
_EDGE_TILT_DEG: Final = 5.0
_BOARD_SIDES: Final = (0.25, 0.85)
"""Of the box's sides."""
_BOARD_TILT_DEG: Final = 20.0
_SOFT_PX: Final = (0.4, 1.2)
_ROW_IN_SIGHT: Final = 0.3
"""Of what is in sight of the best row or column: those of less do not count as part of a box."""


def hide_people(
    image: UInt8[np.ndarray, "height width 3"],
    boxes_px: Float32[np.ndarray, "people 4"],
    rng: np.random.Generator,
) -> tuple[
    UInt8[np.ndarray, "height width 3"],
    Float32[np.ndarray, "people 4"],
    Float64[np.ndarray, "people"],
]:
    """Put something before some people of a frame.

    Args:
        image: BGR.
        boxes_px: around what of each is in sight, left, top, right, bottom.
        rng: what is drawn and where.

    Returns:
        The frame, the boxes around what is still in sight, and which share of each box that is.

    """
    height_px, width_px = image.shape[:2]
    mask = np.zeros((height_px, width_px), np.uint8)
    for box_px in boxes_px[rng.random(len(boxes_px)) < HIDDEN_SHARE]:
        _draw_before(mask, box_px, rng)
    if rng.random() < HIDDEN_SHARE:
        sides_px = rng.uniform(0.1, 0.5, 2) * [width_px, height_px]
        corner_px = rng.uniform(0, 1, 2) * ([width_px, height_px] - sides_px)
        nobody_px = np.concatenate([corner_px, corner_px + sides_px]).astype(np.float32)
        _draw_before(mask, nobody_px, rng)
    if not mask.any():
        return image, boxes_px, np.ones(len(boxes_px))
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(*_SOFT_PX))
    share = np.asarray(soft, np.float32)[..., None] / 255
    side_px = max(height_px, width_px)
    square = np.asarray(cv2.resize(image, (side_px, side_px)), np.uint8)
    looks = look_of_board(square, rng)[:height_px, :width_px]
    hidden = (image * (1 - share) + looks * share).astype(np.uint8)
    left = [_left_in_sight(mask == 0, box_px) for box_px in boxes_px]
    return (
        hidden,
        np.array([box_px for box_px, _ in left], np.float32).reshape(-1, 4),
        np.array([seen for _, seen in left], np.float64),
    )


def _draw_before(
    mask: UInt8[np.ndarray, "height width"],
    box_px: Float32[np.ndarray, "4"],
    rng: np.random.Generator,
) -> None:
    """Draw a rectangle that hides part of a box."""
    middle_px = (box_px[:2] + box_px[2:]).astype(float) / 2
    sides_px = (box_px[2:] - box_px[:2]).astype(float)
    if rng.random() < _EDGE_SHARE:
        directions, shares = zip(*EDGE_DEG, strict=True)
        towards_deg = float(rng.choice(directions, p=shares))
        towards = np.rint([np.cos(np.radians(towards_deg)), np.sin(np.radians(towards_deg))])
        along_px, across_px = np.abs(towards) @ sides_px, np.abs(towards[::-1]) @ sides_px
        deep_px = rng.uniform(*_DEPTHS) * along_px
        off_px = (rng.uniform(*_IN_SIGHT) - 0.5) * along_px + deep_px / 2
        slip_px = rng.uniform(-0.3, 0.3) * across_px
        middle_px = middle_px + off_px * towards + slip_px * np.abs(towards[::-1])
        size_px = np.abs(towards) * deep_px + np.abs(towards[::-1]) * (
            rng.uniform(*_WIDTHS) * across_px
        )
        tilt_deg = _EDGE_TILT_DEG * rng.standard_normal()
    else:
        size_px = rng.uniform(*_BOARD_SIDES, 2) * sides_px
        middle_px = middle_px + rng.uniform(-0.5, 0.5, 2) * sides_px
        tilt_deg = _BOARD_TILT_DEG * rng.standard_normal()
    fill_rectangle(mask, middle_px, size_px, float(tilt_deg))


def _left_in_sight(
    in_sight: Bool[np.ndarray, "height width"], box_px: Float32[np.ndarray, "4"]
) -> tuple[Float32[np.ndarray, "4"], float]:
    """Shrink a box to its rows and columns of which enough is in sight, and tell their share."""
    height_px, width_px = in_sight.shape
    x0, y0 = (int(np.clip(value, 0, None)) for value in np.floor(box_px[:2]))
    x1, y1 = (int(value) for value in np.ceil(np.minimum(box_px[2:], [width_px, height_px])))
    part = in_sight[y0:y1, x0:x1]
    if part.all():
        return box_px, 1.0
    if not part.any():
        return box_px, 0.0
    of_rows, of_columns = part.mean(1), part.mean(0)
    rows = np.flatnonzero(of_rows >= _ROW_IN_SIGHT * of_rows.max())
    columns = np.flatnonzero(of_columns >= _ROW_IN_SIGHT * of_columns.max())
    shrunk = np.array(
        [x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1], np.float32
    )
    low, high = np.maximum(shrunk[:2], box_px[:2]), np.minimum(shrunk[2:], box_px[2:])
    return np.concatenate([low, high]), float(part.mean())
