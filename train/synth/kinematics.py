"""Forward kinematics and limbs of two bones: in go rotations or a target, out come places of bones.

All rotations are in world-aligned axes at the reference pose (an A-pose), as the body model wants
them: the world turn of a bone is the product of the turns from the root down to it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from train.synth.rotations import Matrix, Vector, across, basis, cross, length, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Names and parents of the bones; a parent always comes before its children."""

    labels: tuple[str, ...]
    parents: tuple[int, ...]
    index: dict[str, int]

    @classmethod
    def of(cls, labels: Iterable[str], parents: Iterable[int]) -> "Skeleton":
        """Build the name index."""
        names = tuple(labels)
        return cls(
            labels=names,
            parents=tuple(int(parent) for parent in parents),
            index={name: number for number, name in enumerate(names)},
        )


@dataclass(slots=True, kw_only=True)
class Posture:
    """One body's bones while it is being posed.

    `turns` are relative to the parent; `world_turns` and `heads_m` hold for a bone after `update`.
    """

    skeleton: Skeleton
    reference_m: Float64[np.ndarray, "bones 3"]
    """Bone heads in the reference pose."""
    root_m: Float64[np.ndarray, "3"]
    turns: Float64[np.ndarray, "bones 3 3"] = field(init=False)
    world_turns: Float64[np.ndarray, "bones 3 3"] = field(init=False)
    heads_m: Float64[np.ndarray, "bones 3"] = field(init=False)

    def __post_init__(self) -> None:
        """Start in the reference pose."""
        count = len(self.skeleton.labels)
        self.turns = np.tile(np.eye(3), (count, 1, 1))
        self.world_turns = self.turns.copy()
        self.heads_m = self.reference_m.copy()

    def turn(self, bone: str, turn: Matrix) -> None:
        """Set a bone's turn relative to its parent."""
        self.turns[self.skeleton.index[bone]] = turn

    def head_m(self, bone: str) -> Vector:
        """Where the bone begins, in the world."""
        return self.heads_m[self.skeleton.index[bone]]

    def world_turn(self, bone: str) -> Matrix:
        """World turn of a bone since the reference pose."""
        return self.world_turns[self.skeleton.index[bone]]

    def reference_head_m(self, bone: str) -> Vector:
        """Where the bone begins in the reference pose."""
        return self.reference_m[self.skeleton.index[bone]]

    def update(self, bones: Iterable[int] | None = None) -> None:
        """Recompute world turns and places of the given bones (by default all), in order."""
        parents = self.skeleton.parents
        for bone in range(len(parents)) if bones is None else bones:
            parent = parents[bone]
            if parent < 0:
                self.world_turns[bone] = self.turns[bone]
                self.heads_m[bone] = self.root_m
            else:
                outer = self.world_turns[parent]
                self.world_turns[bone] = outer @ self.turns[bone]
                offset_m = self.reference_m[bone] - self.reference_m[parent]
                self.heads_m[bone] = self.heads_m[parent] + outer @ offset_m

    def place(self, bone: str, reference_point_m: Vector) -> Vector:
        """World place of a point that is carried by a bone, given in the reference pose."""
        offset_m = reference_point_m - self.reference_head_m(bone)
        return self.head_m(bone) + self.world_turn(bone) @ offset_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """A solved limb of two bones: world turns since the reference pose and the joints' places."""

    upper_turn: Matrix
    lower_turn: Matrix
    middle_m: Vector
    end_m: Vector


def bend_limb(
    reference_m: Float64[np.ndarray, "3 3"],
    *,
    start_m: Vector,
    target_m: Vector,
    pole: Vector,
    least_angle_rad: float = 0.6,
) -> Limb:
    """Bend a limb so that its end lies at the target, its middle joint pointing along `pole`.

    `reference_m` holds start, middle and end in the reference pose, where the limb must be slightly
    bent: that bend tells which way the hinge closes.  Targets out of reach are approached along
    their direction; `least_angle_rad` is the smallest angle between the bones: flesh stops a fold.
    """
    upper_m, lower_m = reference_m[1] - reference_m[0], reference_m[2] - reference_m[1]
    a, b = length(upper_m), length(lower_m)
    nearest_m = math.sqrt(a * a + b * b - 2.0 * a * b * math.cos(least_angle_rad))
    reach_m = target_m - start_m
    distance_m = min(max(length(reach_m), nearest_m), 0.998 * (a + b))
    along = unit(reach_m)
    side = unit(across(pole, along))
    cosine = min(1.0, (a * a + distance_m**2 - b * b) / (2.0 * a * distance_m))
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    middle_m = start_m + a * (along * cosine + side * sine)
    end_m = start_m + along * distance_m
    hinge = cross(side, along)
    reference_hinge = cross(upper_m, lower_m)
    return Limb(
        upper_turn=basis(middle_m - start_m, hinge) @ basis(upper_m, reference_hinge).T,
        lower_turn=basis(end_m - middle_m, hinge) @ basis(lower_m, reference_hinge).T,
        middle_m=middle_m,
        end_m=end_m,
    )


def aim_limb(
    reference_m: Float64[np.ndarray, "3 3"], *, start_m: Vector, middle_m: Vector, end_m: Vector
) -> Limb:
    """Point both bones of a limb at given places; lengths stay those of the reference."""
    upper_m, lower_m = reference_m[1] - reference_m[0], reference_m[2] - reference_m[1]
    solved_middle_m = start_m + unit(middle_m - start_m) * length(upper_m)
    solved_end_m = solved_middle_m + unit(end_m - solved_middle_m) * length(lower_m)
    hinge = cross(unit(solved_middle_m - start_m), unit(solved_end_m - solved_middle_m))
    reference_hinge = cross(upper_m, lower_m)
    return Limb(
        upper_turn=basis(solved_middle_m - start_m, hinge) @ basis(upper_m, reference_hinge).T,
        lower_turn=basis(solved_end_m - solved_middle_m, hinge) @ basis(lower_m, reference_hinge).T,
        middle_m=solved_middle_m,
        end_m=solved_end_m,
    )
