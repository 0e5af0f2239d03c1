"""What a tailor would measure: in go the reference pose's vertices, out come a body's lengths.

Everything is in the reference pose (A-pose, +Z up, facing -Y, the person's left is +X).  Outlines
are coarse solids (ellipses by height for the torso, an ellipsoid for the head, capsules for the
thighs): they keep hands out of the body, they are not labels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from train.synth.kinematics import Skeleton
from train.synth.rotations import Vector, length

TORSO_BONES: Final = ("root", "spine05", "spine04", "spine03", "spine02", "spine01")
HEAD_BONES: Final = ("head", "neck03")
NUM_SLICES: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """Which vertices are measured, chosen once on the template."""

    vertices: Int64[np.ndarray, "measured"]
    torso_order: Int64[np.ndarray, "torso"]
    """Positions in `vertices` of the torso, sorted from the lowest slice to the highest."""
    torso_starts: Int64[np.ndarray, "slices"]
    head: Int64[np.ndarray, "head"]
    feet: Int64[np.ndarray, "feet"]
    thigh: Int64[np.ndarray, "thigh"]

    @classmethod
    def choose(
        cls,
        skeleton: Skeleton,
        *,
        template_m: Float32[np.ndarray, "vertices 3"],
        weights: Float32[np.ndarray, "vertices bones"],
        heads_m: Float32[np.ndarray, "bones 3"],
    ) -> "Landmarks":
        """Take every second vertex of the torso, head and left thigh, and all of the feet."""
        labels = np.array(skeleton.labels)[weights.argmax(axis=1)]
        torso = np.flatnonzero(np.isin(labels, TORSO_BONES))[::2]
        head = np.flatnonzero(np.isin(labels, HEAD_BONES))[::2]
        thigh = np.flatnonzero(np.isin(labels, ("upperleg01.L", "upperleg02.L")))[::2]
        feet = np.flatnonzero([label.startswith(("foot", "toe")) for label in labels])
        bottom_m = heads_m[skeleton.index["upperleg01.L"], 2] - 0.06
        top_m = heads_m[skeleton.index["neck01"], 2]
        share = (template_m[torso, 2] - bottom_m) / (top_m - bottom_m)
        slices = np.clip((share * NUM_SLICES).astype(np.int64), 0, NUM_SLICES - 1)
        order = np.argsort(slices, kind="stable")
        offsets = np.cumsum([0, len(torso), len(head), len(feet), len(thigh)])
        return cls(
            vertices=np.concatenate([torso, head, feet, thigh]),
            torso_order=order,
            torso_starts=np.searchsorted(slices[order], np.arange(NUM_SLICES)),
            head=np.arange(offsets[1], offsets[2]),
            feet=np.arange(offsets[2], offsets[3]),
            thigh=np.arange(offsets[3], offsets[4]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Lengths and outlines of one body."""

    skeleton: Skeleton
    reference_m: Float64[np.ndarray, "bones 3"]
    stature_m: float
    thigh_m: float
    shin_m: float
    arm_m: float
    """Shoulder joint to wrist, along the bones."""
    ankle_height_m: float
    hip_half_width_m: float
    thigh_radius_m: float
    slice_heights_m: Float64[np.ndarray, "slices"]
    half_widths_m: Float64[np.ndarray, "slices"]
    fronts_m: Float64[np.ndarray, "slices"]
    """y of the chest and belly: the smallest of each slice."""
    backs_m: Float64[np.ndarray, "slices"]
    head_centre_m: Float64[np.ndarray, "3"]
    head_radii_m: Float64[np.ndarray, "3"]

    @property
    def leg_m(self) -> float:
        """Hip joint to ankle, along the bones."""
        return self.thigh_m + self.shin_m

    def head_m(self, bone: str) -> Vector:
        """Where a bone begins in the reference pose."""
        return self.reference_m[self.skeleton.index[bone]]

    def half_width_m(self, height_m: float) -> float:
        """Half the width of the torso at a height of the reference pose."""
        return float(np.interp(height_m, self.slice_heights_m, self.half_widths_m))

    def front_m(self, height_m: float) -> float:
        """Y of the front of the torso at a height of the reference pose."""
        return float(np.interp(height_m, self.slice_heights_m, self.fronts_m))

    def back_m(self, height_m: float) -> float:
        """Y of the back of the torso at a height of the reference pose."""
        return float(np.interp(height_m, self.slice_heights_m, self.backs_m))

    def torso_depth_m(self, point_m: Vector) -> float:
        """How deep a point of the reference pose lies in the torso; negative outside."""
        height_m = float(point_m[2])
        if not self.slice_heights_m[0] - 0.05 < height_m < self.slice_heights_m[-1] + 0.02:
            return -1.0
        front_m, back_m = self.front_m(height_m), self.back_m(height_m)
        half_width_m, half_depth_m = self.half_width_m(height_m), (back_m - front_m) / 2.0
        across_share = float(point_m[0]) / half_width_m
        along_share = (float(point_m[1]) - (front_m + back_m) / 2.0) / half_depth_m
        share = (across_share**2 + along_share**2) ** 0.5
        return float((1.0 - share) * min(half_width_m, half_depth_m))

    def head_depth_m(self, point_m: Vector) -> float:
        """How deep a point of the reference pose lies in the head; negative outside."""
        share = length((point_m - self.head_centre_m) / self.head_radii_m)
        return (1.0 - share) * float(self.head_radii_m.min())


def measure(
    skeleton: Skeleton,
    *,
    landmarks: Landmarks,
    measured_m: Float64[np.ndarray, "measured 3"],
    reference_m: Float64[np.ndarray, "bones 3"],
) -> Measures:
    """Measure one body, given its landmark vertices and bone heads in the reference pose."""

    def head(bone: str) -> Vector:
        return reference_m[skeleton.index[bone]]

    def span_m(first: str, second: str) -> float:
        return length(head(first) - head(second))

    torso_m = measured_m[landmarks.torso_order]
    counts = np.diff(np.append(landmarks.torso_starts, len(torso_m)))
    skull_m = measured_m[landmarks.head]
    lowest_m, highest_m = skull_m.min(axis=0), skull_m.max(axis=0)
    sole_m = float(measured_m[landmarks.feet, 2].min())
    hip_m, knee_m = head("upperleg01.L"), head("lowerleg01.L")
    axis = (knee_m - hip_m) / length(knee_m - hip_m)
    from_hip_m = measured_m[landmarks.thigh] - hip_m
    off_axis_m = from_hip_m - (from_hip_m @ axis)[:, None] * axis
    return Measures(
        skeleton=skeleton,
        reference_m=reference_m,
        stature_m=float(highest_m[2]) - sole_m,
        thigh_m=span_m("upperleg01.L", "lowerleg01.L"),
        shin_m=span_m("lowerleg01.L", "foot.L"),
        arm_m=span_m("upperarm01.L", "lowerarm01.L") + span_m("lowerarm01.L", "wrist.L"),
        ankle_height_m=float(head("foot.L")[2]) - sole_m,
        hip_half_width_m=float(hip_m[0]),
        thigh_radius_m=float(np.median(np.linalg.norm(off_axis_m, axis=1))),
        slice_heights_m=np.add.reduceat(torso_m[:, 2], landmarks.torso_starts) / counts,
        half_widths_m=np.maximum.reduceat(np.abs(torso_m[:, 0]), landmarks.torso_starts),
        fronts_m=np.minimum.reduceat(torso_m[:, 1], landmarks.torso_starts),
        backs_m=np.maximum.reduceat(torso_m[:, 1], landmarks.torso_starts),
        head_centre_m=(lowest_m + highest_m) / 2.0,
        head_radii_m=(highest_m - lowest_m) / 2.0,
    )
