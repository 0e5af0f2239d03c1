"""What a body is asked to do, before any bone has turned: goals for hands, feet, trunk and eyes.

The floor frame of a task has its origin on the floor under the person: +X is the person's left, -Y
is forward, +Z is up.  Carried frames ("pelvis", "chest", "head") are the reference pose's axes and
origin, moved along with that part of the body.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth.rotations import Vector

Frame: TypeAlias = Literal["floor", "pelvis", "chest", "head"]

_FLIP_X = np.array([-1.0, 1.0, 1.0])


def at(*, forward: float = 0.0, left: float = 0.0, up: float = 0.0) -> Vector:
    """Build a point or a direction from words instead of axes."""
    return np.array([left, -forward, up], np.float64)


def _mirrored(vector: Vector | None) -> Vector | None:
    return None if vector is None else vector * _FLIP_X


@dataclass(frozen=True, slots=True, kw_only=True)
class HandGoal:
    """Where one wrist should be and how the hand should be held."""

    wrist_m: Float64[np.ndarray, "3"]
    frame: Frame = "floor"
    palm: Float64[np.ndarray, "3"] | None = None
    """Direction out of the palm, in `frame`."""
    fingers: Float64[np.ndarray, "3"] | None = None
    """Direction from the wrist to the middle knuckle, in `frame`."""
    elbow: Float64[np.ndarray, "3"] | None = None
    """Direction in which the elbow should point, in `frame`."""
    curls: Float64[np.ndarray, "5"] = field(default_factory=lambda: np.full(5, 0.35))
    """Thumb to little finger: 0 is straight, 1 is a fist."""
    spread_rad: float = 0.0

    def mirrored(self) -> "HandGoal":
        """Give the same goal to the other hand."""
        return replace(
            self,
            wrist_m=self.wrist_m * _FLIP_X,
            palm=_mirrored(self.palm),
            fingers=_mirrored(self.fingers),
            elbow=_mirrored(self.elbow),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FootGoal:
    """Where one ankle should be, relative to the ankle of someone standing: z is 0 sole down."""

    ankle_m: Float64[np.ndarray, "3"]
    toe_out_rad: float = 0.1
    heel_lift_rad: float = 0.0
    """How far the heel is lifted; near pi, the instep lies on the floor."""
    knee: Float64[np.ndarray, "3"] | None = None
    """Direction in which the knee should point; None is forward and a little outward."""
    knee_on_floor: bool = False
    """Kneeling: the knee rests on the floor below and before the hip, the shin behind it."""
    follows_shin: bool = False
    """The foot hangs from the shin instead of standing on something."""
    frame: Literal["floor", "pelvis"] = "floor"
    """In the pelvis frame the ankle is relative to the hip, in leg lengths: for lying."""

    def mirrored(self) -> "FootGoal":
        """Give the same goal to the other foot."""
        return replace(self, ankle_m=self.ankle_m * _FLIP_X, knee=_mirrored(self.knee))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Something to sit on."""

    height_m: float
    centre_m: tuple[float, float]
    """From the pelvis's place on the floor, in world axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Props:
    """Objects that the pose makes sense with; drawing them is another's business."""

    bench_height_m: float | None = None
    """Top of a bench, table or machine in front of the person."""
    bench_near_m: float = 0.3
    """How far before the pelvis, along the facing direction, the bench may begin untouched."""
    is_machine: bool = False
    """The bench is a solid block down to the floor."""
    seat: Seat | None = None
    box_between_hands: bool = False
    ladder: bool = False
    """Rungs pass through both hands and under both feet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One posture wanted, in words that do not depend on the bones."""

    left_hand: HandGoal
    right_hand: HandGoal
    left_foot: FootGoal
    right_foot: FootGoal
    pelvis_m: Float64[np.ndarray, "3"]
    """Hip centre in the floor frame; lowered where the feet would not reach."""
    pelvis_pitch_rad: float = 0.0
    """Forward tilt of the whole pelvis: pi/2 lies on the belly, -pi/2 on the back."""
    pelvis_roll_rad: float = 0.0
    pelvis_yaw_rad: float = 0.0
    bend_rad: float = 0.0
    """Forward bend of the spine, spread over its joints; likewise the next two."""
    lean_rad: float = 0.0
    twist_rad: float = 0.0
    """To the left."""
    look_m: Float64[np.ndarray, "3"] | None = None
    """What the eyes look at, in the floor frame; None leaves it to the next two angles."""
    head_yaw_rad: float = 0.0
    head_pitch_rad: float = 0.0
    """Down, relative to the horizon as far as the neck allows."""
    grounded: bool = True
    """The lowest point of the body rests on the floor."""
    flat: bool = False
    """Lying: arms may not reach below the trunk, where the floor is."""
    props: Props = field(default_factory=Props)

    def mirrored(self) -> "Task":
        """Swap left and right."""
        return replace(
            self,
            left_hand=self.right_hand.mirrored(),
            right_hand=self.left_hand.mirrored(),
            left_foot=self.right_foot.mirrored(),
            right_foot=self.left_foot.mirrored(),
            pelvis_m=self.pelvis_m * _FLIP_X,
            pelvis_roll_rad=-self.pelvis_roll_rad,
            pelvis_yaw_rad=-self.pelvis_yaw_rad,
            lean_rad=-self.lean_rad,
            twist_rad=-self.twist_rad,
            look_m=_mirrored(self.look_m),
            head_yaw_rad=-self.head_yaw_rad,
        )
