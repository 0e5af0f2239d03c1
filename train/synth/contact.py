"""How far arms and head run into the own body: in goes a posture, out comes a depth in metres.

Soft contact is wanted (hands on hips, arms crossed), so a little depth is forgiven by the caller.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from train.synth.kinematics import Posture
from train.synth.measures import TORSO_BONES, Measures
from train.synth.rotations import TINY, Vector, length

FOREARM_APART_M: Final = 0.06
"""Twice the radius of a slim forearm: bone axes that come closer mean that the flesh overlaps."""
ARM_RADIUS_M: Final = 0.03
SHIN_RADIUS_M: Final = 0.045


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share))


def segment_distance_m(a: Vector, b: Vector, c: Vector, d: Vector) -> float:
    """Distance between the segments ab and cd: nearest points of the lines, clamped in turn."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = float(u @ u), float(v @ v), float(u @ v)
    uw, vw = float(u @ w), float(v @ w)
    slant = uu * vv - uv * uv
    s = _clamp((uv * vw - vv * uw) / slant) if slant > TINY else 0.0
    t = _clamp((uv * s + vw) / max(vv, TINY))
    s = _clamp((uv * t - uw) / max(uu, TINY))
    return length(a + s * u - c - t * v)


def point_distance_m(point_m: Vector, a: Vector, b: Vector) -> float:
    """Distance from a point to the segment ab."""
    along = b - a
    share = float((point_m - a) @ along) / max(float(along @ along), TINY)
    return length(point_m - a - _clamp(share) * along)


def _torso_depth_m(posture: Posture, measures: Measures, point_m: Vector) -> float:
    """Depth in the torso, bone by bone: each carries the part of the outline near it."""
    deepest_m = -1.0
    tops = (*TORSO_BONES[1:], "neck01")
    for bone, top in zip(TORSO_BONES, tops, strict=True):
        low_m = float(posture.reference_head_m(bone)[2]) - (0.2 if bone == "root" else 0.0)
        high_m = float(posture.reference_head_m(top)[2])
        local_m = posture.world_turn(bone).T @ (point_m - posture.head_m(bone))
        local_m = local_m + posture.reference_head_m(bone)
        if low_m <= local_m[2] <= high_m:
            deepest_m = max(deepest_m, measures.torso_depth_m(local_m))
    return deepest_m


def _leg_depth_m(posture: Posture, measures: Measures, point_m: Vector) -> float:
    """Depth in the nearest thigh or shin."""
    deepest_m = -1.0
    for side in "LR":
        hip_m, knee_m, ankle_m = (
            posture.head_m(f"{bone}.{side}") for bone in ("upperleg01", "lowerleg01", "foot")
        )
        thigh_m = point_distance_m(point_m, hip_m, knee_m)
        shin_m = point_distance_m(point_m, knee_m, ankle_m)
        deepest_m = max(deepest_m, measures.thigh_radius_m - thigh_m, SHIN_RADIUS_M - shin_m)
    return deepest_m


def arm_points_m(posture: Posture, side: str) -> Float64[np.ndarray, "5 3"]:
    """Elbow, middle of the forearm, wrist, middle knuckle and last finger joint."""
    elbow_m, wrist_m = posture.head_m(f"lowerarm01.{side}"), posture.head_m(f"wrist.{side}")
    knuckle_m, tip_m = (
        posture.head_m(f"finger3-1.{side}"),
        posture.head_m(f"finger3-3.{side}"),
    )
    return np.stack([elbow_m, (elbow_m + wrist_m) / 2.0, wrist_m, knuckle_m, tip_m])


def deepest_contact_m(posture: Posture, measures: Measures) -> float:
    """Deepest overlap of an arm with torso, head, legs or the other arm, or of head and knees."""
    deepest_m = -1.0
    for side in "LR":
        for number, point_m in enumerate(arm_points_m(posture, side)):
            deepest_m = max(deepest_m, _torso_depth_m(posture, measures, point_m))
            if number == 0:
                continue
            head_local_m = posture.world_turn("head").T @ (point_m - posture.head_m("head"))
            head_local_m = head_local_m + posture.reference_head_m("head")
            deepest_m = max(
                deepest_m,
                measures.head_depth_m(head_local_m),
                _leg_depth_m(posture, measures, point_m),
            )
    left, right = arm_points_m(posture, "L"), arm_points_m(posture, "R")
    for i in (0, 2):
        for j in (0, 2):
            apart_m = segment_distance_m(
                left[i], left[min(i + 2, 3)], right[j], right[min(j + 2, 3)]
            )
            deepest_m = max(deepest_m, FOREARM_APART_M - apart_m)
    face_m = posture.place("head", measures.head_centre_m)
    knees = _leg_depth_m(posture, measures, face_m) + float(measures.head_radii_m.mean())
    return max(deepest_m, knees)


def deepest_in_floor_m(posture: Posture, measures: Measures) -> float:
    """How far an arm of a lying body reaches below the trunk that lies on the floor."""
    trunk = [posture.head_m(bone)[2] for bone in TORSO_BONES[2:]]
    half_depth_m = float(measures.backs_m.max() - measures.fronts_m.min()) / 2.0
    sideways = abs(float(posture.world_turn("root")[2, 0]))
    half_m = sideways * float(measures.half_widths_m.mean()) + (1.0 - sideways) * half_depth_m
    arms_m = np.concatenate([arm_points_m(posture, side) for side in "LR"])
    return float(min(trunk)) - half_m + ARM_RADIUS_M - float(arms_m[:, 2].min())
