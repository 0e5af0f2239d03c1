"""Angles of a body that ergonomists ask for: joints in camera axes come in, degrees by name go out.

Angles between limbs need nothing else; that of the trunk needs to know which way is up.  An angle
of which any joint is not known is left out.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from edge_pose.skeleton import INDEX

SHORTEST_M: Final = 0.03
"""The direction of a limb that is shorter means nothing."""
SIDES: Final = ("left", "right")
NAMES: Final = (
    "trunk_flexion_deg",
    "neck_flexion_deg",
    *(
        f"{side}_{name}_deg"
        for name in ("upper_arm_elevation", "elbow_flexion", "knee_flexion")
        for side in SIDES
    ),
)

Direction = Float64[np.ndarray, "3"]


def angles_deg(
    joints_m: Float64[np.ndarray, "joints 3"],
    known: Bool[np.ndarray, "joints"],
    up: Direction | None,
) -> dict[str, float]:
    """Give every angle that can be told, in the order of `NAMES`.

    Flexion is positive forwards, and zero in a straight limb and an upright trunk; a hanging arm
    has no elevation, one along the head's direction 180 degrees.
    """
    body = _Body(joints_m, known)
    trunk = body.limb("pelvis", "neck")
    head = body.limb("neck", "head_top")
    hips, shoulders = body.across("hip"), body.across("shoulder")
    found: dict[str, float | None] = {
        "trunk_flexion_deg": _forward_deg(trunk, up, hips),
        "neck_flexion_deg": _forward_deg(head, trunk, shoulders),
    }
    for side in SIDES:
        upper_arm = body.limb(f"{side}_shoulder", f"{side}_elbow")
        forearm = body.limb(f"{side}_elbow", f"{side}_wrist")
        thigh = body.limb(f"{side}_hip", f"{side}_knee")
        shank = body.limb(f"{side}_knee", f"{side}_ankle")
        hanging = None if trunk is None else -trunk
        found[f"{side}_upper_arm_elevation_deg"] = _between_deg(upper_arm, hanging)
        found[f"{side}_elbow_flexion_deg"] = _between_deg(upper_arm, forearm)
        found[f"{side}_knee_flexion_deg"] = _between_deg(thigh, shank)
    return {name: angle for name in NAMES if (angle := found[name]) is not None}


class _Body:
    """Directions of limbs, where both ends are known."""

    def __init__(
        self, joints_m: Float64[np.ndarray, "joints 3"], known: Bool[np.ndarray, "joints"]
    ) -> None:
        self._joints_m = joints_m
        self._known = known

    def limb(self, start: str, end: str) -> Direction | None:
        """Point from one joint to another."""
        first, last = INDEX[start], INDEX[end]
        if not (self._known[first] and self._known[last]):
            return None
        return _unit(self._joints_m[last] - self._joints_m[first])

    def across(self, name: str) -> Direction | None:
        """Point to the person's own left."""
        return self.limb(f"right_{name}", f"left_{name}")


def _unit(vector: Direction) -> Direction | None:
    length = float(np.linalg.norm(vector))  # not a number where a joint has no place
    return vector / length if length >= SHORTEST_M else None


def _between_deg(one: Direction | None, other: Direction | None) -> float | None:
    if one is None or other is None:
        return None
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(one, other))), float(one @ other)))


def _forward_deg(
    limb: Direction | None, straight: Direction | None, left: Direction | None
) -> float | None:
    """How far a limb leans forwards, seen from the person's side."""
    if limb is None or straight is None or left is None:
        return None
    forward = _unit(np.cross(left, straight))
    if forward is None:
        return None
    return math.degrees(math.atan2(float(limb @ forward), float(limb @ straight)))
