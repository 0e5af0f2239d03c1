"""Boxes x0, y0, x1, y1: how much two share, and which stay of many that cover each other."""

import numpy as np
from jaxtyping import Float, Float32, Float64


def overlaps(
    boxes_a: Float32[np.ndarray, "a 4"], boxes_b: Float32[np.ndarray, "b 4"]
) -> Float64[np.ndarray, "a b"]:
    """Intersection over union of every pair of boxes."""
    first, second = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)[None]
    common = _common(first, second)
    areas = np.prod(first[..., 2:] - first[..., :2], axis=-1) + np.prod(
        second[..., 2:] - second[..., :2], axis=-1
    )
    return common / np.maximum(areas - common, 1e-9)


def suppress(boxes_px: Float32[np.ndarray, "boxes 4"], *, max_overlap: float) -> list[int]:
    """Drop boxes that cover a better one; the boxes come best first."""
    overlap = overlaps(boxes_px, boxes_px)
    alive = np.ones(len(boxes_px), bool)
    kept = []
    for index in range(len(boxes_px)):
        if alive[index]:
            kept.append(index)
            alive &= overlap[index] <= max_overlap
    return kept


def contains_middle(outer_px: Float32[np.ndarray, "4"], box_px: Float32[np.ndarray, "4"]) -> bool:
    """Tell whether the middle of a box lies in another one."""
    middle = (box_px[:2] + box_px[2:]) / 2.0
    return bool(((middle >= outer_px[:2]) & (middle < outer_px[2:])).all())


def inside_share(box_px: Float32[np.ndarray, "4"], outer_px: Float32[np.ndarray, "4"]) -> float:
    """Return how much of a box's area lies in another one."""
    whole = float(np.prod(box_px[2:] - box_px[:2]))
    return float(_common(box_px, outer_px)) / max(whole, 1e-9)


def clipped(
    boxes_px: Float32[np.ndarray, "*boxes 4"], frame_size_px: tuple[int, int]
) -> Float32[np.ndarray, "*boxes 4"]:
    """Leave of boxes what lies in the frame, whose width and height are given."""
    return np.clip(boxes_px, 0.0, np.array(2 * frame_size_px, np.float32) - 1.0)


def is_inside(box_px: Float32[np.ndarray, "4"], frame_size_px: tuple[int, int]) -> bool:
    """Tell whether a fifth of the box is in the frame and large enough to show a person."""
    limit = np.array(frame_size_px, np.float32)
    sides = np.clip(box_px[2:], 0.0, limit) - np.clip(box_px[:2], 0.0, limit)
    whole = float(np.prod(box_px[2:] - box_px[:2]))
    return float(sides.max()) >= 8.0 and float(np.prod(sides)) >= 0.2 * whole  # noqa: PLR2004 stated above


def _common(
    boxes_a: Float[np.ndarray, "*a 4"], boxes_b: Float[np.ndarray, "*b 4"]
) -> Float[np.ndarray, "*both"] | np.floating:
    """Area that boxes share, pair by pair."""
    sides = np.minimum(boxes_a[..., 2:], boxes_b[..., 2:]) - np.maximum(
        boxes_a[..., :2], boxes_b[..., :2]
    )
    return np.prod(np.clip(sides, 0.0, None), axis=-1)
