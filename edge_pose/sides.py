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
from jaxtyping import Float64

from edge_pose.clock import NS_PER_S
from edge_pose.skeleton import LIMBS_12, MIRROR
from edge_pose.types import RelativePose

_LONGEST_GAP_S: Final = 1.0
"""After a longer pause the past says nothing about the present."""
_SETTLES_S: Final = 1.0
"""Time constant in which the network is believed: its mistakes last, so pictures say the same."""
_FIRST_S: Final = 0.3
"""So long a look counts the first picture."""
_STILL: Final = 0.1
"""How far joints seem to move between two pictures of somebody at rest, in half bodies."""
_USUAL_SPEED: Final = 1.0
"""Half bodies a second, of whoever was not seen moving yet."""
_FASTEST: Final = 2.0
"""The same of whoever moves most."""
_SPEED_SETTLES_S: Final = 0.5
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
_SIDED: Final = np.array(LIMBS_12)


@dataclass(slots=True)
class Sides:
    """What is known about one person's sides; freed with the track."""

    _last: RelativePose | None = field(default=None, init=False)
    _at_ns: int = field(default=0, init=False)
    _odds: float = field(default=0.0, init=False)
    """Log odds that the network names the sides rightly."""
    _speed: float = field(default=_USUAL_SPEED, init=False)
    """Of the joints, lately, in half bodies a second."""

    def settle(self, pose: RelativePose, at_ns: int) -> RelativePose:
        """Return the pose with the sides that are the likelier ones."""
        gap_s = (at_ns - self._at_ns) / NS_PER_S
        if self._last is None or not 0 < gap_s <= _LONGEST_GAP_S:
            self._odds, self._speed, gap_s = 0.0, _USUAL_SPEED, _FIRST_S
        else:
            steps = _steps(self._last, pose)
            # Two things are not known: whether it was right, and whether it kept to what it said.
            kept = _naming_kept(steps, min(self._speed, _FASTEST), gap_s)
            self._odds = 2 * math.atanh(math.tanh(self._odds / 2) * math.tanh(kept / 2))
            moved = min(float(steps.weight @ steps.same), float(steps.weight @ steps.other))
            settled = 1 - math.exp(-gap_s / _SPEED_SETTLES_S)
            self._speed += settled * (moved / gap_s - self._speed)
        self._odds += (1 - math.exp(-gap_s / _SETTLES_S)) * (_worth(pose) - self._odds)
        self._last, self._at_ns = pose, at_ns
        return _exchanged(pose) if self._odds < 0 else pose


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """How far joints are from where they were a picture before, in half bodies."""

    same: Float64[np.ndarray, "sided"]
    other: Float64[np.ndarray, "sided"]
    """From where those of the other side were."""
    weight: Float64[np.ndarray, "sided"]
    """What each of them counts, in all 1: joints count as they are sure."""


def _steps(before: RelativePose, now: RelativePose) -> _Steps:
    places_px = now.joints_px[_SIDED].astype(np.float64)
    half_length_px = max(float(np.ptp(places_px, axis=0).max()) / 2, 1.0)
    weight = np.minimum(before.scores, now.scores)[_SIDED].astype(np.float64)
    same, other = (
        np.linalg.norm(places_px - before.joints_px[joints], axis=1) / half_length_px
        for joints in (_SIDED, _OTHER_SIDE[_SIDED])
    )
    return _Steps(same=same, other=other, weight=weight / max(float(weight.sum()), 1e-6))


def _naming_kept(steps: _Steps, speed: float, gap_s: float) -> float:
    """Say how likely joints are still called what they were, as log odds.

    Steps are measured in what joints move in that time, as fast as this person moves.
    """
    moved = _STILL + speed * gap_s
    same, other = (
        np.square(np.minimum(step / moved, _FARTHEST)) / 2 for step in (steps.same, steps.other)
    )
    seen = _INDEPENDENT * float(steps.weight @ (other - same))
    return max(-_CERTAIN, min(_CERTAIN, seen - math.log(_TURNS_HZ * gap_s)))


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
