"""How far a body reaches in a picture, for people whose joints are known in 3D.

In: the joints of one person in pixels and metres.  Out: the two points that span the region the
pose network looks at: the middle of the hips, and the point straight above it as far away as the
whole body would reach.  BlazePose's teacher gives such points for real pictures; this rule gives
them for rendered people.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.skeleton import INDEX

_REACH: Final = 0.655
"""Reach over torso plus thigh plus shank: 0.87 m for a body of average size.

Median of BlazePose's opinion over 26 rendered people seen whole.
"""
_FORESHORTENED: Final = 0.35
"""A torso that points at the camera so far that no more of its length is seen has no upright."""
_TORSO: Final = (INDEX["pelvis"], INDEX["neck"])
_LEG: Final = tuple(
    (INDEX[f"{side}_{upper}"], INDEX[f"{side}_{lower}"])
    for side in ("left", "right")
    for upper, lower in (("hip", "knee"), ("knee", "ankle"))
)


def reach_of(
    joints_px: Float32[np.ndarray, "joints 2"], joints_m: Float32[np.ndarray, "joints 3"]
) -> Float32[np.ndarray, "2 2"]:
    """Return the middle of the hips and the point above it, in pixels.

    Pixels per metre are the ratio of how far the joints spread in the picture and in metres across
    the line of sight (a scaled-orthographic camera).
    """
    spread_px = float(joints_px.std(axis=0, dtype=np.float64).sum())
    spread_m = float(joints_m[:, :2].std(axis=0, dtype=np.float64).sum())
    px_per_m = spread_px / max(spread_m, 1e-6)
    torso_m = _length(joints_m, _TORSO)
    leg_m = sum(_length(joints_m, bone) for bone in _LEG) / 2.0
    pelvis_px, neck_px = joints_px[_TORSO[0]], joints_px[_TORSO[1]]
    dx, dy = (float(value) for value in neck_px - pelvis_px)
    length_px = math.hypot(dx, dy)
    if length_px > _FORESHORTENED * px_per_m * torso_m and length_px > 0:
        up = np.array([dx, dy]) / length_px
    else:
        up = np.array([0.0, -1.0])
    reach_px = _REACH * (torso_m + leg_m) * px_per_m
    return np.stack([pelvis_px, pelvis_px + reach_px * up]).astype(np.float32)


def _length(joints_m: Float32[np.ndarray, "joints 3"], bone: tuple[int, int]) -> float:
    return float(np.linalg.norm(joints_m[bone[0]] - joints_m[bone[1]]))
