"""Where a person stands in metres, and how big this person is.

In: a relative pose, its pixels and the camera. Out: the pelvis in camera axes, and relative joints
that keep one body size for as long as the person is followed.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose import camera
from edge_pose.skeleton import EDGES, INDEX
from edge_pose.types import Intrinsics

_NEAREST_M: Final = 0.2
"""No joint comes closer to the lens than this: a person there is not in focus, nor in the
training data.
"""
_FARTHEST_M: Final = 100.0
_PIXEL_ERROR: Final = 4.0
_PRIOR_ERROR: Final = 0.15
"""Relative standard deviation of the depth believed beforehand.

A whole body at 4 m in a 640-pixel picture fixes its depth to 1 %, so the prior weighs nothing;
three joints of a face alone fix it to a quarter, and then the prior holds it.
"""
_SURENESS: Final = (0.001, 0.98)
"""Scores below count as the one: a pose without one good joint still has a place; those above as
the other: a few sure joints of a face do not make all of it.
"""

_BONES: Final = np.array(
    [
        *(edge for edge in EDGES if INDEX["left_shoulder"] <= edge[1] <= INDEX["head_top"]),
        (INDEX["left_shoulder"], INDEX["right_shoulder"]),
        (INDEX["left_hip"], INDEX["right_hip"]),
    ]
)
"""Limbs and trunk; the face and the feet are too short to measure a person by."""
_BELIEVED_SCORE: Final = 0.2
_MEMORY: Final = 300.0
"""Confident sightings after which the oldest fade: ten seconds of a person in full view at 30
frames a second.
"""
_LARGEST_STEP: Final = 0.25
"""Log length by which one frame may contradict the size known so far: an outlier cannot pull
harder.
"""


def root_translation(
    joints_m: Float32[np.ndarray, "joints 3"],
    joints_px: Float32[np.ndarray, "joints 2"],
    scores: Float32[np.ndarray, "joints"],
    intrinsics: Intrinsics,
    *,
    expected_depth_m: float | None,
) -> Float64[np.ndarray, "3"]:
    """Place the pelvis so that the joints fall on their pixels, by weighted least squares.

    A joint of score s counts s^2 / (1 - s): legs behind a table have scores of a half and more, and
    span more of the picture than the head and shoulders that are seen.

    With rays (u, v) and joint (X, Y, Z), each joint asks for `tx - u tz = u Z - X` and `ty - v tz =
    v Z - Y`; tx and ty drop out as weighted means, which leaves one equation for the depth. To it
    comes the depth expected beforehand (from the frame before, or else from the sizes of picture
    and body), which only counts when the joints say little. No joint ever lies behind the camera.
    """
    points = joints_m.astype(np.float64)
    at_one = camera.rays(joints_px, intrinsics)
    sure = np.clip(scores.astype(np.float64), *_SURENESS)
    weights = np.square(sure) / (1.0 - sure)
    weights /= weights.sum()
    effective = float(np.square(sure).sum())
    flat_mean, ray_mean = weights @ points[:, :2], weights @ at_one
    spread_m, spread = points[:, :2] - flat_mean, at_one - ray_mean
    nearest = _NEAREST_M - float(points[:, 2].min())
    seen = float(weights @ np.square(spread).sum(axis=1))
    by_size = math.sqrt(float(weights @ np.square(spread_m).sum(axis=1)) / max(seen, 1e-12))
    expected = by_size if expected_depth_m is None else expected_depth_m
    expected = min(max(expected, nearest), _FARTHEST_M)

    # Depth alone: sum of w |spread tz - (spread_m - centred(ray Z))|^2, plus the prior.
    bent = at_one * points[:, 2:]
    wanted = spread_m - (bent - weights @ bent)
    error = expected * _PIXEL_ERROR / intrinsics.matrix[0, 0]
    trust = effective / error**2
    prior = 1.0 / (_PRIOR_ERROR * expected) ** 2
    matched = float(weights @ (spread * wanted).sum(axis=1))
    depth = (trust * matched + prior * expected) / (trust * seen + prior)
    depth = min(max(depth, nearest), _FARTHEST_M)
    across = weights @ (at_one * (points[:, 2:] + depth)) - flat_mean
    return np.array([across[0], across[1], depth])


@dataclass(slots=True)
class BodySize:
    """The bone lengths of one person, learnt while following; frames are scaled towards them."""

    log_lengths: Float64[np.ndarray, "bones"] = field(default_factory=lambda: np.zeros(len(_BONES)))
    sightings: Float64[np.ndarray, "bones"] = field(default_factory=lambda: np.zeros(len(_BONES)))

    def settle(
        self, joints_m: Float32[np.ndarray, "joints 3"], scores: Float32[np.ndarray, "joints"]
    ) -> Float32[np.ndarray, "joints 3"]:
        """Learn from a frame and return its joints at this person's own size."""
        ends = joints_m[_BONES].astype(np.float64)
        logs = np.log(np.maximum(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), 1e-3))
        trust = scores[_BONES].min(axis=1).astype(np.float64)
        trust[trust < _BELIEVED_SCORE] = 0.0
        known = self.sightings > 0.0
        steps = np.where(
            known, np.clip(logs - self.log_lengths, -_LARGEST_STEP, _LARGEST_STEP), 0.0
        )
        self.log_lengths = np.where(known, self.log_lengths, logs)
        total = np.minimum(self.sightings + trust, _MEMORY)
        self.log_lengths += (
            np.divide(trust, total, out=np.zeros_like(trust), where=total > 0.0) * steps
        )
        self.sightings = total
        weights = trust * (total > 0.0)
        if weights.sum() <= 0.0:
            return joints_m
        correction = _weighted_median(self.log_lengths - logs, weights)
        return joints_m * np.float32(math.exp(min(max(correction, -_LARGEST_STEP), _LARGEST_STEP)))


def _weighted_median(
    values: Float64[np.ndarray, "items"], weights: Float64[np.ndarray, "items"]
) -> float:
    order = np.argsort(values)
    climbing = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(climbing, climbing[-1] / 2.0)]])
