"""Where somebody is between two looks: they move on as they moved.

In: the last two poses of one person, and a moment soon after.  Out: the pose at that moment, all of
whose joints are marked as predicted.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from edge_pose.clock import NS_PER_S
from edge_pose.types import Pose3D

_LONGEST_NS: Final = 3 * NS_PER_S // 10
"""Between poses farther apart nobody knows how somebody moved, nor do they go on for longer."""
_KEPT: Final = 0.5
"""Of the velocity: limbs slow down and turn back, and part of it is noise (docs/log.md)."""


def moved_on(last: Pose3D, before: Pose3D | None, at_ns: int) -> Pose3D:
    """Carry a pose on to a moment after it, joint by joint; without a past nothing moves."""
    pose = held(last, at_ns)
    if before is None or not 0 < last.captured_ns - before.captured_ns <= _LONGEST_NS:
        return pose
    ahead_ns = min(at_ns - last.captured_ns, _LONGEST_NS)
    share = np.float32(_KEPT * ahead_ns / (last.captured_ns - before.captured_ns))
    return replace(
        pose,
        box_px=last.box_px + share * (last.box_px - before.box_px),
        joints_m=last.joints_m + share * (last.joints_m - before.joints_m),
        joints_px=last.joints_px + share * (last.joints_px - before.joints_px),
    )


def resized(pose: Pose3D, scale: Float64[np.ndarray, "2"]) -> Pose3D:
    """Carry a pose over to pictures of another size, so many times as wide and as high."""
    return replace(
        pose,
        box_px=(pose.box_px * np.tile(scale, 2)).astype(np.float32),
        joints_px=(pose.joints_px * scale).astype(np.float32),
    )


def held(last: Pose3D, at_ns: int) -> Pose3D:
    """Carry a pose over to a moment after it as it is."""
    return replace(last, predicted=np.ones_like(last.predicted), captured_ns=at_ns)
