"""How a body carries itself, feet to spine: in go measures, out comes a stance.

Ranges are wide on purpose: the poses that training never shows are the ones a camera will.  Lengths
scale with the body; angles are radians, drawn in degrees because people think in them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth.measures import Measures
from train.synth.rotations import Vector
from train.synth.task import FootGoal, Props, Seat, at


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


def _feet(
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


def _hip_height_m(measures: Measures, crouch: float) -> float:
    """Hip height from standing straight (0) to a full squat (1)."""
    return measures.ankle_height_m + measures.leg_m * (0.985 - 0.68 * crouch)


def _balanced(measures: Measures, *, pitch: float, bend: float, crouch: float) -> Vector:
    """Hip centre above the feet, moved back as the trunk leans forward."""
    back_m = 0.18 * math.sin(pitch + 0.5 * bend) + 0.12 * crouch
    return at(forward=-back_m, up=_hip_height_m(measures, crouch))


def stand(measures: Measures, rng: np.random.Generator) -> Stance:
    """Stand as people do who wait: weight on one leg or both, never quite straight."""
    left, right = _feet(
        measures,
        rng,
        apart_m=(0.0, 0.05) if rng.random() < 0.5 else (0.03, 0.2),
        stagger_m=rng.normal(0.0, 0.05),
    )
    crouch, bend = rng.uniform(0.0, 0.07), degrees(rng, -10.0, 14.0)
    weight_m = rng.normal(0.0, 0.04)
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=_balanced(measures, pitch=0.0, bend=bend, crouch=crouch) + at(left=weight_m),
        pitch_rad=degrees(rng, -6.0, 6.0),
        roll_rad=-weight_m * 1.5 + rng.normal(0.0, 0.02),
        bend_rad=bend,
        lean_rad=weight_m * 1.5 + rng.normal(0.0, 0.06),
        twist_rad=rng.normal(0.0, 0.2),
        work_height_m=rng.uniform(0.52, 0.66) * measures.stature_m,
    )


def lean_over(measures: Measures, rng: np.random.Generator) -> Stance:
    """Stand bent over work, from slightly to deeply."""
    depth = rng.random()
    bend, pitch = math.radians(5.0 + 40.0 * depth), degrees(rng, 0.0, 8.0 + 30.0 * depth)
    left, right = _feet(measures, rng, stagger_m=rng.normal(0.0, 0.1))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=_balanced(measures, pitch=pitch, bend=bend, crouch=rng.uniform(0.0, 0.12)),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.1),
        twist_rad=rng.normal(0.0, 0.3),
        work_height_m=rng.uniform(0.6 - 0.14 * depth, 0.66 - 0.1 * depth) * measures.stature_m,
    )


def walk(measures: Measures, rng: np.random.Generator) -> Stance:
    """Walk: any moment of a step, the rear heel up or the rear foot swinging through."""
    stride = rng.choice([-1.0, 1.0]) * rng.uniform(0.05, 0.36)
    rear = 1 if stride > 0 else 0
    heels, lifts = [0.0, 0.0], [0.0, 0.0]
    heels[rear] = degrees(rng, 5.0, 45.0)
    if rng.random() < 0.4:
        lifts[rear] = rng.uniform(0.03, 0.18)
    left, right = _feet(
        measures,
        rng,
        apart_m=(-0.02, 0.05),
        stagger_m=stride * measures.leg_m,
        heel_lifts_rad=(heels[0], heels[1]),
        lifts_m=(lifts[0], lifts[1]),
    )
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=at(up=_hip_height_m(measures, rng.uniform(0.0, 0.08))),
        pitch_rad=degrees(rng, -2.0, 8.0),
        yaw_rad=-stride * 0.3,
        bend_rad=degrees(rng, -4.0, 12.0),
        lean_rad=rng.normal(0.0, 0.04),
        twist_rad=stride * rng.uniform(0.3, 0.8),
        stride=stride,
        work_height_m=rng.uniform(0.52, 0.66) * measures.stature_m,
    )


def crouch(measures: Measures, rng: np.random.Generator) -> Stance:
    """Knees bent and trunk forward, as when lifting something from low down."""
    depth = rng.uniform(0.08, 0.55)
    bend, pitch = degrees(rng, 20.0, 55.0), degrees(rng, 10.0, 50.0)
    left, right = _feet(measures, rng, apart_m=(0.05, 0.2), stagger_m=rng.normal(0.0, 0.12))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=_balanced(measures, pitch=pitch, bend=bend, crouch=depth),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=rng.normal(0.0, 0.15),
        work_height_m=rng.uniform(0.15, 0.55),
    )


def squat(measures: Measures, rng: np.random.Generator) -> Stance:
    """Squat deeply, on flat feet or on the toes."""
    stagger_m = rng.normal(0.0, 0.12)
    heels = [0.0, 0.0]
    if rng.random() < 0.6:
        heels[0 if stagger_m < 0 else 1] = degrees(rng, 20.0, 50.0)
        if rng.random() < 0.4:
            heels = [heels[0] + heels[1]] * 2
    left, right = _feet(
        measures,
        rng,
        apart_m=(0.06, 0.2),
        stagger_m=stagger_m,
        heel_lifts_rad=(heels[0], heels[1]),
    )
    depth, bend, pitch = rng.uniform(0.6, 0.97), degrees(rng, 10.0, 45.0), degrees(rng, 5.0, 35.0)
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=_balanced(measures, pitch=pitch, bend=bend, crouch=depth),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=rng.normal(0.0, 0.2),
        work_height_m=rng.uniform(0.1, 0.8),
        lap=0.8,
    )


def lunge(measures: Measures, rng: np.random.Generator) -> Stance:
    """One foot far ahead, the rear knee high or low, the trunk upright or over the front knee."""
    span_m = rng.uniform(0.45, 0.95) * measures.leg_m
    left, right = _feet(
        measures,
        rng,
        apart_m=(-0.02, 0.1),
        stagger_m=span_m / 2.0,
        heel_lifts_rad=(0.0, degrees(rng, 15.0, 65.0)),
    )
    bend, pitch = degrees(rng, -8.0, 35.0), degrees(rng, -5.0, 35.0)
    height_m = _hip_height_m(measures, rng.uniform(0.15, 0.6))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=at(forward=rng.uniform(-0.1, 0.12), up=height_m),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=rng.normal(0.0, 0.25),
        stride=span_m / measures.leg_m,
        work_height_m=rng.uniform(0.3, 1.1),
    )


def kneel(measures: Measures, rng: np.random.Generator) -> Stance:
    """Kneel on one knee or both, upright or sitting on the heels."""
    tucked = rng.random() < 0.5
    lift = degrees(rng, 60.0, 85.0) if tucked else degrees(rng, 150.0, 172.0)
    kneeling = FootGoal(
        ankle_m=np.zeros(3),
        toe_out_rad=degrees(rng, -5.0, 22.0),
        heel_lift_rad=lift,
        knee_on_floor=True,
    )
    bend, twist = degrees(rng, -5.0, 45.0), rng.normal(0.0, 0.25)
    if rng.random() < 0.55:  # one knee up
        height_m = 0.055 + rng.uniform(0.72, 1.0) * measures.thigh_m
        front = FootGoal(
            ankle_m=at(
                forward=rng.uniform(0.55, 0.95) * measures.thigh_m,
                left=measures.hip_half_width_m + rng.uniform(-0.02, 0.12),
            ),
            toe_out_rad=degrees(rng, -5.0, 25.0),
        )
        pitch = degrees(rng, -5.0, 25.0)
        return Stance(
            left_foot=front,
            right_foot=kneeling,
            pelvis_m=at(up=height_m),
            pitch_rad=pitch,
            bend_rad=bend,
            lean_rad=rng.normal(0.0, 0.08),
            twist_rad=twist,
            work_height_m=rng.uniform(0.1, 0.9),
            lap=0.5,
        )
    sitting = rng.random() < 0.4
    height_m = 0.26 if sitting else 0.055 + rng.uniform(0.75, 1.0) * measures.thigh_m
    other = FootGoal(
        ankle_m=np.zeros(3),
        toe_out_rad=degrees(rng, -5.0, 22.0),
        heel_lift_rad=lift,
        knee_on_floor=True,
    )
    return Stance(
        left_foot=kneeling,
        right_foot=other,
        pelvis_m=at(up=height_m),
        pitch_rad=degrees(rng, -5.0, 30.0),
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=twist,
        work_height_m=rng.uniform(0.05, 0.75),
        lap=0.9 if sitting else 0.2,
    )


def bend_down(measures: Measures, rng: np.random.Generator) -> Stance:
    """Bend to the floor from the hips, knees nearly straight."""
    bend, pitch = degrees(rng, 30.0, 70.0), degrees(rng, 35.0, 80.0)
    left, right = _feet(measures, rng, apart_m=(0.0, 0.2), stagger_m=rng.normal(0.0, 0.12))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=_balanced(measures, pitch=pitch, bend=bend, crouch=rng.uniform(0.0, 0.3)),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.1),
        twist_rad=rng.normal(0.0, 0.25),
        work_height_m=rng.uniform(0.02, 0.4),
    )


def sit(measures: Measures, rng: np.random.Generator) -> Stance:
    """Sit on a chair or stool: upright, leaning back or over a desk; feet anywhere below."""
    seat_m = rng.uniform(0.92, 1.2) * measures.shin_m
    forward_m = measures.thigh_m
    feet = [
        FootGoal(
            ankle_m=at(
                forward=rng.uniform(0.6, 1.25) * forward_m,
                left=sign * (0.6 * measures.hip_half_width_m + rng.uniform(-0.02, 0.2)),
            ),
            toe_out_rad=degrees(rng, -10.0, 30.0),
            heel_lift_rad=degrees(rng, 10.0, 50.0) if rng.random() < 0.2 else 0.0,
            knee=np.array([sign * rng.uniform(-0.1, 0.35), -0.75, 0.65]),
        )
        for sign in (1.0, -1.0)
    ]
    if rng.random() < 0.2:  # ankle laid over the other knee
        feet[1] = FootGoal(
            ankle_m=at(
                forward=rng.uniform(0.6, 0.85) * forward_m,
                left=rng.uniform(-0.02, 0.14),
                up=seat_m + rng.uniform(0.06, 0.12),
            ),
            heel_lift_rad=degrees(rng, 0.0, 30.0),
            knee=np.array([-1.0, -0.4, rng.uniform(0.1, 0.9)]),
            follows_shin=True,
        )
    return Stance(
        left_foot=feet[0],
        right_foot=feet[1],
        pelvis_m=at(up=seat_m + 0.09),
        pitch_rad=degrees(rng, -22.0, 12.0),
        bend_rad=degrees(rng, -2.0, 40.0),
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=rng.normal(0.0, 0.2),
        work_height_m=seat_m + rng.uniform(0.22, 0.36),
        lap=1.0,
        props=Props(seat=Seat(height_m=seat_m, centre_m=(0.0, 0.0))),
    )


def sit_on_floor(measures: Measures, rng: np.random.Generator) -> Stance:
    """Sit on the floor: legs long, knees drawn up, or wide and folded."""
    folded = rng.random() < 0.3
    feet = []
    for sign in (1.0, -1.0):
        if folded:
            ankle_m = at(
                forward=rng.uniform(0.3, 0.45) * measures.leg_m,
                left=-sign * rng.uniform(-0.12, 0.1),
                up=rng.uniform(0.0, 0.03),
            )
            knee = np.array([sign * 1.0, -0.35, 0.15])
            lift = degrees(rng, 10.0, 40.0)
        else:
            ankle_m = at(
                forward=rng.uniform(0.5, 0.97) * measures.leg_m,
                left=sign * rng.uniform(0.06, 0.35),
            )
            knee = np.array([sign * rng.uniform(-0.1, 0.5), -0.2, 1.0])
            lift = 0.0
        feet.append(
            FootGoal(
                ankle_m=ankle_m, toe_out_rad=degrees(rng, -5.0, 35.0), heel_lift_rad=lift, knee=knee
            )
        )
    return Stance(
        left_foot=feet[0],
        right_foot=feet[1],
        pelvis_m=at(up=0.1),
        pitch_rad=degrees(rng, -25.0, 10.0),
        bend_rad=degrees(rng, 0.0, 50.0),
        lean_rad=rng.normal(0.0, 0.1),
        twist_rad=rng.normal(0.0, 0.25),
        work_height_m=rng.uniform(0.05, 0.4),
        lap=0.8,
    )


def _lying_foot(
    rng: np.random.Generator, outward: float, *, drawn: float, reach: float
) -> FootGoal:
    """Leg of a lying body, in leg lengths; `drawn` pulls the knee up towards the chest."""
    return FootGoal(
        ankle_m=np.array([outward, -(reach - 0.45 * drawn) * drawn, 0.45 * drawn - reach]),
        toe_out_rad=degrees(rng, 0.0, 40.0),
        heel_lift_rad=degrees(rng, 0.0, 45.0),
        frame="pelvis",
    )


def lie(measures: Measures, rng: np.random.Generator) -> Stance:
    """Lie on the back or the belly, legs straight or drawn up."""
    on_back = rng.random() < 0.6
    feet = []
    for sign in (1.0, -1.0):
        outward = sign * rng.uniform(-0.02, 0.16)
        if on_back:
            drawn = rng.uniform(0.1, 0.6) if rng.random() < 0.4 else 0.0
            feet.append(_lying_foot(rng, outward, drawn=drawn, reach=rng.uniform(0.94, 0.99)))
        else:
            feet.append(_lying_foot(rng, outward, drawn=0.0, reach=rng.uniform(0.985, 0.997)))
    return Stance(
        left_foot=feet[0],
        right_foot=feet[1],
        pelvis_m=at(up=0.2),
        pitch_rad=math.radians(-90.0 if on_back else 90.0) + rng.normal(0.0, 0.04),
        bend_rad=degrees(rng, -5.0, 12.0),
        lean_rad=rng.normal(0.0, 0.1),
        twist_rad=rng.normal(0.0, 0.08),
        flat=True,
        work_height_m=0.3 * measures.stature_m,
    )


def lie_on_side(measures: Measures, rng: np.random.Generator) -> Stance:
    """Lie on the left side, curled up or long."""
    lower, upper = (
        _lying_foot(rng, outward, drawn=rng.uniform(0.0, 0.65), reach=rng.uniform(0.9, 0.99))
        for outward in (rng.uniform(-0.02, 0.05), rng.uniform(0.0, 0.12))
    )
    return Stance(
        left_foot=lower,
        right_foot=upper,
        pelvis_m=at(up=0.2),
        pitch_rad=rng.normal(0.0, 0.15),
        roll_rad=math.radians(90.0) + rng.normal(0.0, 0.04),
        bend_rad=degrees(rng, -5.0, 35.0),
        lean_rad=rng.normal(0.0, 0.04),
        twist_rad=rng.normal(0.0, 0.15),
        flat=True,
        work_height_m=0.3 * measures.stature_m,
    )


def climb(measures: Measures, rng: np.random.Generator) -> Stance:
    """Stand on the rungs of a ladder, one foot a rung or two higher."""
    low_m, step_m = rng.uniform(0.25, 1.2), rng.choice([0.0, 0.28, 0.56])
    toes_m = 0.16
    feet = []
    for sign, height_m in ((1.0, low_m), (-1.0, low_m + step_m)):
        feet.append(
            FootGoal(
                ankle_m=at(forward=0.0, left=sign * rng.uniform(0.07, 0.14), up=height_m),
                toe_out_rad=degrees(rng, -5.0, 12.0),
                heel_lift_rad=degrees(rng, -8.0, 12.0) if rng.random() < 0.5 else 0.0,
            )
        )
    height_m = low_m + _hip_height_m(measures, rng.uniform(0.02, 0.15))
    return Stance(
        left_foot=feet[0],
        right_foot=feet[1],
        pelvis_m=at(forward=toes_m - rng.uniform(0.25, 0.42), up=height_m),
        pitch_rad=degrees(rng, -4.0, 12.0),
        bend_rad=degrees(rng, -6.0, 14.0),
        lean_rad=rng.normal(0.0, 0.08),
        twist_rad=rng.normal(0.0, 0.12),
        grounded=False,
        work_height_m=height_m + 0.45 * measures.stature_m,
        props=Props(ladder=True),
    )


STANDING: Final[tuple[MakeStance, ...]] = (stand, lean_over, walk)
