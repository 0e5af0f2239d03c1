"""Where somebody is between two looks: they move on as they moved.

In: the last two poses of one person, and a moment soon after.  Out: the pose at that moment, all of
whose joints are marked as predicted.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from edge_pose.clock import NS_PER_S
from edge_pose.types import Pose3D

_LONGEST_NS: Final = 3 * NS_PER_S // 10
"""Between poses farther apart nobody knows how somebody moved, nor do they go on for longer."""
_KEPT: Final = 0.5
"""Of the velocity: limbs slow down and turn back, and part of it is noise (docs/log.md)."""


def moved_on(last: Pose3D, before: Pose3D | None, at_ns: int) -> Pose3D:
    """Carry a pose on to a moment after it, joint by joint; without a past nothing moves."""
    share = 0.0
    if before is not None:
        gap_ns = last.captured_ns - before.captured_ns
        if 0 < gap_ns <= _LONGEST_NS:
            share = _KEPT * min(at_ns - last.captured_ns, _LONGEST_NS) / gap_ns
    past = before if before is not None else last

    def ahead(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return new + np.float32(share) * (new - old)

    return replace(
        last,
        box_px=ahead(last.box_px, past.box_px),
        joints_m=ahead(last.joints_m, past.joints_m),
        joints_px=ahead(last.joints_px, past.joints_px),
        predicted=np.ones_like(last.predicted),
        captured_ns=at_ns,
    )
