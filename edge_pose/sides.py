"""Which side is left: one person's joints keep their sides while the network changes its mind.

In: poses of one person as the network saw them, frame after frame.  Out: the same poses; where for
a moment left was taken for right, as happens with somebody seen from behind, they are changed back.

From one frame to the next a body moves little, so it can be told whether the network has changed
its mind: then the joints fit those of the other side better than their own.  What it says most of
the time, over the last second or two, is believed.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from edge_pose.clock import NS_PER_S
from edge_pose.skeleton import INDEX, MIRROR
from edge_pose.types import RelativePose

_LONGEST_GAP_S: Final = 0.3
"""After a longer pause the past says nothing about the present."""
_REMEMBERED_S: Final = 1.5
"""Time constant of the opinion."""
_CHANGED: Final = 0.5
"""A mind was changed when joints are this much nearer to those of the other side than to theirs.
"""
_OTHER_SIDE: Final = np.array(MIRROR)
_SIDED: Final = np.array(
    [
        INDEX[f"{side}_{joint}"]
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]
)


@dataclass(slots=True)
class Sides:
    """What is known about one person's sides; freed with the track."""

    _last: RelativePose | None = field(default=None, init=False)
    _at_ns: int = field(default=0, init=False)
    _disagrees: bool = field(default=False, init=False)
    """The network names sides otherwise than it did when it first saw the person."""
    _opinion: float = field(default=0.0, init=False)
    """Mean of what it says: 1 as at first, -1 the other way round."""

    def settle(self, pose: RelativePose, at_ns: int) -> RelativePose:
        """Return the pose with the sides that the network believes in most of the time."""
        gap_s = (at_ns - self._at_ns) / NS_PER_S
        if self._last is None or not 0 < gap_s <= _LONGEST_GAP_S:
            self._disagrees, self._opinion, gap_s = False, 0.0, _LONGEST_GAP_S
        elif _changed_its_mind(self._last, pose):
            self._disagrees = not self._disagrees
        self._last, self._at_ns = pose, at_ns
        vote = -1.0 if self._disagrees else 1.0
        self._opinion += (1 - math.exp(-gap_s / _REMEMBERED_S)) * (vote - self._opinion)
        return _exchanged(pose) if self._disagrees != (self._opinion < 0) else pose


def _changed_its_mind(before: RelativePose, now: RelativePose) -> bool:
    """Tell whether joints, weighed by how sure they are, fit those of the other side better."""
    weight = np.minimum(before.scores, now.scores)[_SIDED]
    same, other = (
        float((np.linalg.norm(now.joints_px[_SIDED] - places_px, axis=1) * weight).sum())
        for places_px in (before.joints_px[_SIDED], before.joints_px[_OTHER_SIDE[_SIDED]])
    )
    return other < _CHANGED * same


def _exchanged(pose: RelativePose) -> RelativePose:
    return replace(
        pose,
        joints_px=pose.joints_px[_OTHER_SIDE],
        joints_m=pose.joints_m[_OTHER_SIDE],
        scores=pose.scores[_OTHER_SIDE],
    )
