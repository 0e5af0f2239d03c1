"""Who of the people seen stands upright, and what is then known of the line from feet to head.

In: sightings.  Out: landmarks with standard deviations (`Standing`).

Upright is told from the shape of the body, by angles between its own bones: those are right also
where the network does not know how a body is tilted towards a steep camera.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from edge_pose.skeleton import INDEX
from train.mounting.geometry import Standing
from train.mounting.sightings import Sightings

_LEAST_KNEE_DEG: Final = 140.0
_LEAST_TRUNK_DEG: Final = 150.0
"""At the hips, between shoulders and knees, and between head and ankles."""
_LEAST_SCORE: Final = 0.5
"""Of the worst landmark; below, a joint is hidden and its place a guess."""
_RADIUS: Final = 0.05
"""Of the square's side: what scores are the probability to be within."""
_MOST_SURE: Final = 0.97
_ERRORS: Final = np.array([1.4, 1.2, 0.9, 0.6, 0.9])
"""How much farther off than its score says each landmark is beside the others, measured."""
_PAIRS: Final = ("ankle", "knee", "hip", "shoulder")


def find_standing(seen: Sightings) -> Standing:
    """Keep those who stand with straight knees and hips, whole inside the picture."""
    landmarks_px = _landmarks(seen.joints_px)
    scores = _landmarks(seen.scores[..., None])[..., 0]
    size_px = np.array([seen.width_px, seen.height_px])
    inside = ((landmarks_px > 0) & (landmarks_px < size_px - 1)).all(axis=(1, 2))
    which = inside & _is_upright(seen.joints_m) & (scores.min(axis=1, initial=1) >= _LEAST_SCORE)
    # Of errors that are normal in both directions, a share p lies within sd * sqrt(-2 ln(1 - p)).
    sure = np.minimum(scores, _MOST_SURE)
    sd_px = _ERRORS * _RADIUS * seen.side_px[:, None] / np.sqrt(-2 * np.log(1 - sure))
    everybody = Standing(
        landmarks_px=landmarks_px,
        sd_px=sd_px,
        frame=seen.frame,
        width_px=seen.width_px,
        height_px=seen.height_px,
    )
    return everybody.some(which)


def _landmarks(
    values: Float64[np.ndarray, "seen joints n"],
) -> Float64[np.ndarray, "seen landmarks n"]:
    pairs = [
        (values[:, INDEX[f"left_{name}"]] + values[:, INDEX[f"right_{name}"]]) / 2
        for name in _PAIRS
    ]
    return np.stack([*pairs, values[:, INDEX["head_top"]]], axis=1)


def _is_upright(joints_m: Float64[np.ndarray, "seen joints 3"]) -> np.ndarray:
    """Tell by angles of the body, [seen] bool."""
    knees = [
        _angle_deg(*(joints_m[:, INDEX[f"{side}_{name}"]] for name in ("hip", "knee", "ankle")))
        for side in ("left", "right")
    ]
    ankles, middle, hips, shoulders, head = np.moveaxis(_landmarks(joints_m), 1, 0)
    trunk = np.minimum(_angle_deg(shoulders, hips, middle), _angle_deg(head, hips, ankles))
    return np.asarray((np.minimum(*knees) > _LEAST_KNEE_DEG) & (trunk > _LEAST_TRUNK_DEG))


def _angle_deg(
    one: Float64[np.ndarray, "seen 3"],
    corner: Float64[np.ndarray, "seen 3"],
    other: Float64[np.ndarray, "seen 3"],
) -> Float64[np.ndarray, "seen"]:
    first, second = one - corner, other - corner
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = (first * second).sum(axis=1) / np.maximum(lengths, 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
