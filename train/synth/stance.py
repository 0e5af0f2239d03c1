"""How a body carries itself, feet to spine, and what makes of stances have in common.

In go measures, out comes a stance.  Lengths scale with the body; angles are radians, drawn in
degrees because people think in them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth.measures import Measures
from train.synth.rotations import Vector
from train.synth.task import FootGoal, Props, at


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """Feet, pelvis and spine; hands and eyes come later."""

    left_foot: FootGoal
    right_foot: FootGoal
    pelvis_m: Float64[np.ndarray, "3"]
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    yaw_rad: float = 0.0
    bend_rad: float = 0.0
    lean_rad: float = 0.0
    twist_rad: float = 0.0
    work_height_m: float = 1.0
    """Where hands would work in this stance."""
    stride: float = 0.0
    """How far the left foot is ahead, in leg lengths: arms swing against it."""
    lap: float = 0.0
    """How far the thighs reach forward of the hips, as a share of their length."""
    grounded: bool = True
    flat: bool = False
    """Lying: there is nothing below the body to reach into."""
    props: Props = field(default_factory=Props)


MakeStance: TypeAlias = Callable[[Measures, np.random.Generator], Stance]


def degrees(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw an angle between two angles given in degrees."""
    return math.radians(rng.uniform(low, high))


def feet(
    measures: Measures,
    rng: np.random.Generator,
    *,
    apart_m: tuple[float, float] = (0.02, 0.11),
    stagger_m: float = 0.0,
    heel_lifts_rad: tuple[float, float] = (0.0, 0.0),
    lifts_m: tuple[float, float] = (0.0, 0.0),
) -> tuple[FootGoal, FootGoal]:
    """Both feet, each `apart_m` outside of its hip's half width; the left is `stagger_m` ahead."""
    goals = []
    for number, sign in enumerate((1.0, -1.0)):
        sideways_m = 0.6 * measures.hip_half_width_m + rng.uniform(*apart_m)
        goals.append(
            FootGoal(
                ankle_m=at(forward=sign * stagger_m, left=sign * sideways_m, up=lifts_m[number]),
                toe_out_rad=degrees(rng, -6.0, 28.0),
                heel_lift_rad=heel_lifts_rad[number],
            )
        )
    return goals[0], goals[1]


def hip_height_m(measures: Measures, crouch: float) -> float:
    """Hip height from standing straight (0) to a full squat (1)."""
    return measures.ankle_height_m + measures.leg_m * (0.985 - 0.68 * crouch)


def balanced(measures: Measures, *, pitch: float, bend: float, crouch: float) -> Vector:
    """Hip centre above the feet, moved back as the trunk leans forward."""
    back_m = 0.18 * math.sin(pitch + 0.5 * bend) + 0.12 * crouch
    return at(forward=-back_m, up=hip_height_m(measures, crouch))
