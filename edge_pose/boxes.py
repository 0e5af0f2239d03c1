"""Boxes x0, y0, x1, y1: how much two share, and which stay of many that cover each other."""

import numpy as np
from jaxtyping import Float32, Float64


def overlaps(
    boxes_a: Float32[np.ndarray, "a 4"], boxes_b: Float32[np.ndarray, "b 4"]
) -> Float64[np.ndarray, "a b"]:
    """Intersection over union of every pair of boxes."""
    first, second = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    common = np.prod(np.clip(sides, 0.0, None), axis=-1)
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
