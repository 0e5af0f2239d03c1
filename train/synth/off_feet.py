"""Stances off the feet, kneeling, sitting and lying: in go measures, out comes a stance.

Ranges are wide on purpose: the poses that training never shows are the ones a camera will.
"""

import math

import numpy as np

from train.synth.measures import Measures
from train.synth.stance import Stance, degrees
from train.synth.task import FootGoal, Props, Seat, at


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
