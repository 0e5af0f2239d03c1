"""What somebody wears, as few numbers: enough to tell a stranger from one who comes back.

In: pixels of one person, and where their joints are in them.  Out: `Appearance`, colours of the
torso; and how alike two of them are.

Colour is taken relative to brightness (the a and b of CIELAB), so that a step out of a lamp's light
changes little, with a coarse scale of lightness beside it.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from edge_pose.skeleton import INDEX

Appearance = Float32[np.ndarray, "colours"]

_CORNERS: Final = [
    INDEX[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
]
_LEAST_SCORE: Final = 0.3
_SIDE_PX: Final = 24
_LEAST_TORSO_PX: Final = 12.0
"""Narrower, as from the side, the quadrangle of the corners shows more background than person."""
_COLOUR_BINS: Final = 12
_COLOUR_SPAN: Final = (58, 198)
"""Of OpenCV's a and b, 128 in the middle; more vivid colours count as these."""
_LIGHTNESS_BINS: Final = 12
_COLOUR_WEIGHT: Final = 0.4


def torso_of(
    joints_px: Float32[np.ndarray, "joints 2"], scores: Float32[np.ndarray, "joints"]
) -> Float32[np.ndarray, "4 2"] | None:
    """Return the corners between which colours count, in pixels; None when too little shows."""
    corners = joints_px[_CORNERS]
    if scores[_CORNERS].min() < _LEAST_SCORE:
        return None
    width_px = float(np.linalg.norm(corners[0] - corners[1]))
    height_px = float(np.linalg.norm((corners[0] + corners[1] - corners[2] - corners[3]) / 2))
    if min(width_px, height_px) < _LEAST_TORSO_PX:
        return None
    middle = corners.mean(axis=0)
    return (middle + 0.8 * (corners - middle)).astype(np.float32)


def appearance_of(
    crop: UInt8[np.ndarray, "height width 3"], torso_px: Float32[np.ndarray, "4 2"]
) -> Appearance:
    """Describe the colours of a torso in BGR pixels."""
    target = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * (_SIDE_PX - 1)
    torso = cv2.warpPerspective(
        crop, cv2.getPerspectiveTransform(torso_px, target), (_SIDE_PX, _SIDE_PX)
    )
    lab = cv2.cvtColor(torso, cv2.COLOR_BGR2LAB).reshape(-1, 3)
    a, b = _bins(lab[:, 1:], _COLOUR_SPAN, _COLOUR_BINS).T
    colour = np.bincount(a * _COLOUR_BINS + b, minlength=_COLOUR_BINS**2).astype(np.float64)
    lightness = np.bincount(_bins(lab[:, 0], (0, 256), _LIGHTNESS_BINS), minlength=_LIGHTNESS_BINS)
    # A bin's rim must not make a step: what lies near it counts on both sides.
    soft = cv2.GaussianBlur(
        colour.reshape(_COLOUR_BINS, _COLOUR_BINS), (5, 5), 1.0, borderType=cv2.BORDER_CONSTANT
    )
    grades = cv2.GaussianBlur(
        lightness.astype(np.float64)[None], (7, 1), 1.5, borderType=cv2.BORDER_REPLICATE
    )[0]
    both = np.concatenate(
        [
            _COLOUR_WEIGHT * soft.ravel() / max(soft.sum(), 1e-6),
            (1 - _COLOUR_WEIGHT) * grades / max(grades.sum(), 1e-6),
        ]
    )
    return np.sqrt(both).astype(np.float32)


def _bins(
    values: UInt8[np.ndarray, "*values"], span: tuple[int, int], bins: int
) -> Int64[np.ndarray, "*values"]:
    """Give the equal part of a span in which each value lies, or to which it lies closest."""
    low, high = span
    return np.clip((values.astype(np.int64) - low) * bins // (high - low), 0, bins - 1)


def make_ready() -> None:
    """Let OpenCV build its tables of colours, which takes a tenth of a second the first time."""
    cv2.cvtColor(np.zeros((1, 1, 3), np.uint8), cv2.COLOR_BGR2LAB)


def alikeness(one: Appearance, other: Appearance) -> float:
    """Return the overlap of two appearances: 1 the same, 0 nothing in common.

    The coefficient of Bhattacharyya (1943) of the two histograms, weighed together.
    """
    return float(one @ other)


def blended(known: Appearance | None, seen: Appearance | None, share: float) -> Appearance | None:
    """Move what is known a share of the way to what is seen now."""
    if known is None or seen is None:
        return seen if known is None else known
    mixed = (1.0 - share) * np.square(known) + share * np.square(seen)
    return np.sqrt(mixed).astype(np.float32)
