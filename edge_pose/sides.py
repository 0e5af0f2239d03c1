"""Which side is left: one person's joints keep their sides while the network changes its mind.

In: poses of one person as the network saw them, picture after picture.  Out: the same poses; where
left was taken for right, as happens with somebody seen from behind, they are changed back.

One thing is not known: whether the network names the sides rightly.  Its odds are carried on from
picture to picture, as by a filter of two states: a body moves little in so short a time, so it
shows whether the naming was kept or turned round; and every picture speaks for the network, the
more the surer it is of its joints.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.clock import NS_PER_S
from edge_pose.skeleton import INDEX, MIRROR
from edge_pose.types import RelativePose

_LONGEST_GAP_S: Final = 1.0
"""After a longer pause the past says nothing about the present."""
_SETTLES_S: Final = 1.0
"""Time constant in which the network is believed: its mistakes last, so pictures say the same."""
_FIRST_S: Final = 0.3
"""So long a look counts the first picture."""
_STILL: Final = 0.15
"""How far joints seem to move between two pictures of somebody at rest, in half bodies."""
_RESTLESS: Final = 2.0
"""What each second adds to it."""
_FARTHEST: Final = 3.0
"""In these: farther away a joint says no more against a naming."""
_INDEPENDENT: Final = 3.0
"""As many joints as say something of their own: they move together."""
_TURNS_HZ: Final = 1.0
"""How often the network changes its mind, before anything is seen of it."""
_CERTAIN: Final = 8.0
"""Log odds beyond which nothing is believed."""
_WORTH_OF_NONE: Final = 1.0
"""Log odds that sides are right where joints are as likely right as wrong; what they have beyond
that is added.  On people rendered for no other use it is 3 to 8 % wrong at scores of 0.6 to 0.8,
and 0.3 % beyond 0.9 (docs/log.md).
"""
_LEAST_WORTH: Final = 0.2
_SUREST: Final = 1e-3
"""Scores nearer to 0 and to 1 than this say no more."""
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
    _odds: float = field(default=0.0, init=False)
    """Log odds that the network names the sides rightly."""

    def settle(self, pose: RelativePose, at_ns: int) -> RelativePose:
        """Return the pose with the sides that are the likelier ones."""
        gap_s = (at_ns - self._at_ns) / NS_PER_S
        if self._last is None or not 0 < gap_s <= _LONGEST_GAP_S:
            self._odds, gap_s = 0.0, _FIRST_S
        else:
            # Two things are not known: whether it was right, and whether it kept to what it said.
            kept = math.tanh(naming_kept(self._last, pose, gap_s) / 2)
            self._odds = 2 * math.atanh(math.tanh(self._odds / 2) * kept)
        self._odds += (1 - math.exp(-gap_s / _SETTLES_S)) * (_worth(pose) - self._odds)
        self._last, self._at_ns = pose, at_ns
        return _exchanged(pose) if self._odds < 0 else pose


def naming_kept(before: RelativePose, now: RelativePose, gap_s: float) -> float:
    """Say how likely joints are still called what they were, as log odds.

    Each joint's distance from where it was, and from where that of the other side was, is measured
    in what it may have moved since; joints count as they are sure.
    """
    weight = np.minimum(before.scores, now.scores)[_SIDED].astype(np.float64)
    half_length_px = float(np.ptp(now.joints_px[_SIDED], axis=0).max()) / 2
    moved_px = (_STILL + _RESTLESS * gap_s) * max(half_length_px, 1.0)
    same, other = (
        _surprise(now.joints_px[_SIDED] - places_px, moved_px)
        for places_px in (before.joints_px[_SIDED], before.joints_px[_OTHER_SIDE[_SIDED]])
    )
    seen = _INDEPENDENT * float(weight @ (other - same)) / max(float(weight.sum()), 1e-6)
    return max(-_CERTAIN, min(_CERTAIN, seen - math.log(_TURNS_HZ * gap_s)))


def _surprise(
    steps_px: Float32[np.ndarray, "sided 2"], moved_px: float
) -> Float64[np.ndarray, "sided"]:
    distance = np.linalg.norm(steps_px.astype(np.float64), axis=1) / moved_px
    return np.square(np.minimum(distance, _FARTHEST)) / 2


def _worth(pose: RelativePose) -> float:
    """Say what one picture speaks for the sides as they are named in it, as log odds."""
    scores = np.clip(pose.scores.astype(np.float64), _SUREST, 1 - _SUREST)
    return max(_WORTH_OF_NONE + float(np.log(scores / (1 - scores)).mean()), _LEAST_WORTH)


def _exchanged(pose: RelativePose) -> RelativePose:
    return replace(
        pose,
        joints_px=pose.joints_px[_OTHER_SIDE],
        joints_m=pose.joints_m[_OTHER_SIDE],
        scores=pose.scores[_OTHER_SIDE],
    )
