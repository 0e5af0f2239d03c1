"""What two poses in a picture have in common, how good one is, and the box around it."""

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.types import RelativePose

FEWEST_JOINTS: Final = 3
"""Fewer confident joints than this are not a person, nor span a box."""
_SHOWN_AT_LEAST: Final = 5
"""Joints that are seen of whoever is seen at all: of a head and two shoulders, for example."""
_MARGIN: Final = 0.1


def pose_likeness(
    joints_a_px: Float32[np.ndarray, "a joints 2"],
    joints_b_px: Float32[np.ndarray, "b joints 2"],
    scores_a: Float32[np.ndarray, "a joints"],
    scores_b: Float32[np.ndarray, "b joints"],
    *,
    tolerance: Float64[np.ndarray, "a"],
) -> Float64[np.ndarray, "a b"]:
    """Mean over confident joints of exp(-d^2 / 2 s^2), like COCO's object keypoint similarity.

    s is `tolerance` times half the longer side that the joints of `a` span.
    """
    half_length = np.ptp(joints_a_px, axis=1).max(axis=1) / 2.0
    sigma = np.maximum(tolerance * half_length, 1.0)
    steps = joints_a_px[:, None].astype(np.float64) - joints_b_px[None]
    close = np.exp(-0.5 * np.square(steps).sum(axis=-1) / np.square(sigma)[:, None, None])
    trust = scores_a[:, None] * scores_b[None]
    return (close * trust).sum(axis=-1) / np.maximum(trust.sum(axis=-1), 1e-6)


def quality(pose: RelativePose) -> float:
    """Mean joint score times presence."""
    return float(pose.scores.mean()) * pose.presence


def best_seen(pose: RelativePose) -> float:
    """Mean score of the joints that are seen best, times presence.

    Of somebody half hidden the mean of all joints is as low as of a chair; the best ones are not.
    """
    best = np.partition(pose.scores, -_SHOWN_AT_LEAST)[-_SHOWN_AT_LEAST:]
    return float(best.mean()) * pose.presence


def box_of(pose: RelativePose, joint_score_min: float) -> Float32[np.ndarray, "4"]:
    """Box the confident joints, a tenth wider on each side; all joints when too few are."""
    confident = pose.scores > joint_score_min
    if np.count_nonzero(confident) < FEWEST_JOINTS:
        confident = np.ones_like(confident)
    points = pose.joints_px[confident]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * (high - low)
    return np.concatenate([low - margin, high + margin]).astype(np.float32)
