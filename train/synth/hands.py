"""What one hand can do on top of a stance: in goes the stance, out comes a goal for the left hand.

Hands that touch the own body are aimed in the frame of the part they touch; hands that work are
aimed in the floor frame, where the bench is.  The right hand takes the mirror image.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth.measures import Measures
from train.synth.rotations import Vector, about_x, about_z, across, length, unit
from train.synth.stance import Stance, degrees
from train.synth.task import HandGoal, at

MakeHand: TypeAlias = Callable[[Measures, np.random.Generator, Stance], HandGoal]
"""A goal for the left hand; the right hand takes the mirror image."""


def relaxed(rng: np.random.Generator) -> Float64[np.ndarray, "5"]:
    """Curls of an idle hand, from open to half closed."""
    return np.clip(rng.uniform(0.1, 0.6) + rng.normal(0.0, 0.1, 5), 0.0, 1.0)


def gripping(rng: np.random.Generator) -> Float64[np.ndarray, "5"]:
    """Curls of a hand around a tool."""
    return np.clip(rng.uniform(0.55, 0.9) + rng.normal(0.0, 0.06, 5), 0.0, 1.0)


def any_shape(rng: np.random.Generator) -> Float64[np.ndarray, "5"]:
    """Curls of a signing hand: each finger straight, bent or closed by itself."""
    return rng.choice([0.0, 0.1, 0.4, 0.8, 1.0], 5)


def direction(rng: np.random.Generator) -> Vector:
    """Any direction, uniform on the sphere."""
    return unit(rng.standard_normal(3))


def shoulder_m(measures: Measures) -> Vector:
    """Left shoulder joint in the reference pose."""
    return measures.head_m("upperarm01.L")


def hang(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Let the arm hang, swinging against the stride."""
    swing = -0.9 * stance.stride + rng.normal(0.0, 0.12)
    outward = degrees(rng, 4.0, 24.0)
    down = about_x(-swing) @ np.array([math.sin(outward), 0.0, -math.cos(outward)])
    reach_m = rng.uniform(0.9, 0.99) * measures.arm_m
    return HandGoal(
        wrist_m=shoulder_m(measures) + reach_m * down,
        frame="chest",
        palm=at(left=-1.0, forward=rng.normal(-0.2, 0.4)),
        elbow=at(left=0.5, forward=-1.0),
        curls=relaxed(rng),
    )


def free(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Hold the hand anywhere the shoulder can bring it: out, up, across, a little behind."""
    while True:
        way = direction(rng)
        if way[0] > -0.5 and way[1] < 0.45 and not (way[0] < 0.1 and way[1] > -0.2):
            break
    reach_m = rng.uniform(0.4, 0.995) * measures.arm_m
    return HandGoal(
        wrist_m=shoulder_m(measures) + reach_m * way,
        frame="chest",
        palm=direction(rng) if rng.random() < 0.5 else None,
        curls=any_shape(rng) if rng.random() < 0.4 else relaxed(rng),
        spread_rad=rng.uniform(0.0, 0.25),
    )


def hip(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Put the hand on the hip, elbow out."""
    height_m = float(measures.head_m("spine04")[2]) + rng.uniform(-0.04, 0.05)
    side_m = measures.half_width_m(height_m) + rng.uniform(0.03, 0.06)
    middle_m = (measures.front_m(height_m) + measures.back_m(height_m)) / 2.0
    forward = rng.uniform(-0.03, 0.06)
    return HandGoal(
        wrist_m=np.array([side_m, middle_m - forward, height_m]),
        frame="pelvis",
        palm=at(left=-1.0, up=-0.4),
        fingers=at(left=-0.25, forward=0.8, up=-0.6),
        elbow=at(left=1.0, forward=rng.uniform(-0.9, 0.15), up=0.1),
        curls=relaxed(rng),
    )


def behind(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Hold the hand behind the back."""
    height_m = float(measures.head_m("spine05")[2]) + rng.uniform(-0.04, 0.14)
    return HandGoal(
        wrist_m=np.array(
            [rng.uniform(0.03, 0.12), measures.back_m(height_m) + rng.uniform(0.05, 0.1), height_m]
        ),
        frame="pelvis",
        palm=at(forward=-1.0),
        fingers=at(left=-1.0, up=-0.4),
        elbow=at(left=0.9, forward=-0.7),
        curls=relaxed(rng),
    )


def belly(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Hold the hand before the belly, as clasped hands are, or in a pouch."""
    height_m = float(measures.head_m("spine04")[2]) + rng.uniform(-0.06, 0.18)
    return HandGoal(
        wrist_m=np.array(
            [
                rng.uniform(0.06, 0.12),
                measures.front_m(height_m) - rng.uniform(0.06, 0.16),
                height_m,
            ]
        ),
        frame="pelvis",
        palm=at(forward=-1.0, up=rng.normal(0.0, 0.3)),
        fingers=at(left=-1.0, up=-0.3, forward=0.2),
        elbow=at(left=0.8, forward=-0.6, up=-0.4),
        curls=relaxed(rng),
    )


def face(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Bring the hand to the head: chin, mouth, glasses, ear, phone, brow, back of the neck."""
    spot = unit(
        np.array([rng.uniform(-0.1, 1.0), rng.uniform(-1.0, 0.35), rng.uniform(-0.75, 0.55)])
    )
    touch_m = measures.head_centre_m + spot * measures.head_radii_m
    fingers = unit(at(up=1.0) + 0.5 * direction(rng) - 0.4 * np.array([spot[0], 0.0, 0.0]))
    knuckle_m = 0.085
    away_m = rng.uniform(0.03, 0.1)
    return HandGoal(
        wrist_m=touch_m + spot * away_m - fingers * knuckle_m,
        frame="head",
        palm=-spot,
        fingers=fingers,
        elbow=at(left=rng.uniform(0.2, 1.0), up=-0.7, forward=rng.uniform(-0.2, 0.5)),
        curls=np.clip(relaxed(rng) + rng.uniform(0.0, 0.3), 0.0, 1.0),
    )


def sign(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Gesture or sign before the chest or the face, with any hand shape."""
    place_m = at(
        forward=rng.uniform(0.3, 0.8),
        left=rng.uniform(-0.5, 0.35),
        up=rng.uniform(-0.6, 0.5),
    )
    return HandGoal(
        wrist_m=shoulder_m(measures) + place_m * measures.arm_m,
        frame="chest",
        palm=unit(direction(rng) + at(forward=0.2)),
        fingers=unit(direction(rng) + at(up=0.8, forward=0.3, left=-0.4)),
        elbow=at(left=rng.uniform(0.3, 0.9), up=-0.9, forward=-0.3),
        curls=any_shape(rng),
        spread_rad=rng.uniform(0.0, 0.3),
    )


def point(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Point at something with a nearly straight arm."""
    way = unit(
        at(forward=rng.uniform(0.2, 1.0), left=rng.uniform(-0.5, 1.0), up=rng.uniform(-0.7, 0.8))
    )
    return HandGoal(
        wrist_m=shoulder_m(measures) + way * measures.arm_m * rng.uniform(0.75, 0.99),
        frame="chest",
        palm=at(up=-1.0, left=-0.5),
        fingers=way,
        curls=np.array([0.5, 0.0, 0.95, 1.0, 1.0]),
    )


def wave(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Raise the hand beside or above the head, palm to the front."""
    place_m = at(
        forward=rng.uniform(0.0, 0.4), left=rng.uniform(0.0, 0.7), up=rng.uniform(0.25, 0.95)
    )
    return HandGoal(
        wrist_m=shoulder_m(measures) + place_m * measures.arm_m,
        frame="chest",
        palm=at(forward=1.0),
        fingers=at(up=1.0, left=rng.normal(0.0, 0.4)),
        elbow=at(left=1.0, up=-0.5, forward=rng.uniform(-0.3, 0.3)),
        curls=np.clip(rng.normal(0.05, 0.05, 5), 0.0, 1.0),
        spread_rad=rng.uniform(0.0, 0.3),
    )


def spread(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Hold the arm away from the side: anything from an A to a T to a Y."""
    rise, sweep = degrees(rng, -65.0, 50.0), degrees(rng, -20.0, 45.0)
    way = np.array(
        [
            math.cos(rise) * math.cos(sweep),
            -math.cos(rise) * math.sin(sweep),
            math.sin(rise),
        ]
    )
    return HandGoal(
        wrist_m=shoulder_m(measures) + way * measures.arm_m * rng.uniform(0.85, 0.998),
        frame="chest",
        palm=at(up=-1.0, forward=rng.normal(0.3, 0.5)),
        elbow=at(forward=-0.8, up=-0.6),
        curls=relaxed(rng),
    )


def hold(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Hold something before the body with a bent elbow: a tool, a cup, a tablet."""
    place_m = at(
        forward=rng.uniform(0.3, 0.75), left=rng.uniform(-0.35, 0.3), up=rng.uniform(-0.65, -0.1)
    )
    return HandGoal(
        wrist_m=shoulder_m(measures) + place_m * measures.arm_m,
        frame="chest",
        palm=unit(at(left=-1.0, up=rng.normal(0.0, 0.6))),
        elbow=at(left=0.5, up=-1.0, forward=-0.4),
        curls=gripping(rng),
    )


def _knee_m(measures: Measures, stance: Stance) -> tuple[Vector, Vector]:
    """Roughly where the left hip and knee will be, in the floor frame."""
    hip_m = stance.pelvis_m + at(left=measures.hip_half_width_m)
    foot = stance.left_foot
    thigh_m, shin_m = measures.thigh_m, measures.shin_m
    if foot.knee_on_floor:
        drop_m = min(float(hip_m[2]), 0.999 * thigh_m)
        return hip_m, hip_m + at(forward=math.sqrt(thigh_m**2 - drop_m**2), up=-drop_m)
    leg_m = foot.ankle_m + at(up=measures.ankle_height_m) - hip_m
    distance_m = min(length(leg_m), 0.99 * measures.leg_m)
    along = unit(leg_m)
    pole = unit(across(at(forward=1.0) if foot.knee is None else foot.knee, along))
    cosine = (thigh_m**2 + distance_m**2 - shin_m**2) / (2.0 * thigh_m * distance_m)
    cosine = min(1.0, max(-1.0, cosine))
    return hip_m, hip_m + thigh_m * (along * cosine + pole * math.sqrt(1.0 - cosine**2))


def knee(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Rest the hand on the own thigh or knee."""
    hip_m, knee_m = _knee_m(measures, stance)
    thigh = unit(knee_m - hip_m)
    outward = unit(across(at(forward=0.6, up=0.8, left=rng.uniform(-0.2, 0.6)), thigh))
    place_m = hip_m + rng.uniform(0.45, 0.85) * (knee_m - hip_m)
    return HandGoal(
        wrist_m=place_m + outward * (measures.thigh_radius_m + rng.uniform(0.02, 0.05)),
        palm=-outward,
        fingers=unit(thigh + at(left=rng.uniform(-0.6, 0.1))),
        elbow=at(left=0.9, forward=-0.6, up=0.2),
        curls=relaxed(rng),
    )


def work(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Do something at working height before the body."""
    ahead_m = float(-stance.pelvis_m[1]) + 0.1 + 0.35 * stance.lap * measures.thigh_m
    return HandGoal(
        wrist_m=at(
            forward=ahead_m + rng.uniform(0.12, 0.42),
            left=rng.uniform(-0.02, 0.38),
            up=stance.work_height_m + rng.uniform(0.03, 0.16),
        ),
        palm=unit(at(up=-1.0, left=-rng.uniform(0.0, 1.2))),
        fingers=unit(at(forward=1.0, left=-rng.uniform(0.0, 0.9), up=rng.uniform(-0.6, 0.2))),
        curls=gripping(rng) if rng.random() < 0.5 else relaxed(rng),
    )


def reach(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Reach far over the work, ahead or to the side."""
    way = about_z(rng.uniform(-0.5, 1.3)) @ at(forward=1.0)
    start_m = stance.pelvis_m * np.array([1.0, 1.0, 0.0])
    far_m = (0.35 + rng.uniform(0.55, 1.1) * measures.arm_m) * way
    return HandGoal(
        wrist_m=start_m + far_m + at(up=stance.work_height_m + rng.uniform(0.0, 0.5)),
        palm=unit(at(up=-1.0) + 0.5 * direction(rng)),
        fingers=way,
        curls=relaxed(rng),
    )


def overhead(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Work or reach above the head."""
    shoulders_m = stance.pelvis_m + at(up=0.29 * measures.stature_m)
    place_m = at(
        forward=rng.uniform(-0.1, 0.75), left=rng.uniform(-0.15, 0.55), up=rng.uniform(0.45, 1.0)
    )
    return HandGoal(
        wrist_m=shoulders_m + place_m * measures.arm_m + at(left=shoulder_m(measures)[0]),
        palm=unit(at(forward=1.0, left=-rng.uniform(0.0, 1.0), up=rng.uniform(-0.2, 0.6))),
        elbow=at(left=rng.uniform(0.2, 1.0), forward=rng.uniform(-0.4, 0.8), up=-0.4),
        curls=gripping(rng) if rng.random() < 0.6 else relaxed(rng),
    )


def rung(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Grip a rung or rail of the ladder."""
    up_m = stance.pelvis_m[2] + rng.uniform(0.12, 0.52) * measures.stature_m
    return HandGoal(
        wrist_m=at(forward=rng.uniform(0.1, 0.14), left=rng.uniform(0.12, 0.24), up=up_m),
        palm=at(forward=1.0, up=-0.4),
        fingers=at(forward=0.7, up=0.8),
        elbow=at(left=0.8, up=-0.8),
        curls=np.clip(rng.normal(0.85, 0.05, 5), 0.0, 1.0),
    )


def ground(measures: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
    """Touch or work on the floor."""
    ahead_m = float(-stance.pelvis_m[1]) + 0.15 + rng.uniform(0.1, 0.55) * measures.arm_m
    return HandGoal(
        wrist_m=at(
            forward=ahead_m + 0.4 * stance.lap * measures.thigh_m,
            left=rng.uniform(-0.05, 0.4),
            up=rng.uniform(0.1, 0.35),
        ),
        palm=at(forward=-0.5, up=-1.0),
        fingers=at(forward=1.0, up=-0.7),
        curls=relaxed(rng),
    )


def beside(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Lay the arm down beside, above or across a lying body."""
    rise = degrees(rng, 5.0, 160.0)
    way = np.array([math.sin(rise), rng.uniform(-0.45, 0.05), -math.cos(rise)])
    return HandGoal(
        wrist_m=shoulder_m(measures) + unit(way) * measures.arm_m * rng.uniform(0.6, 0.98),
        frame="chest",
        elbow=at(left=math.cos(rise), up=math.sin(rise), forward=0.3),
        curls=relaxed(rng),
    )


def ahead(measures: Measures, rng: np.random.Generator, _: Stance) -> HandGoal:
    """Lay the arm on the floor before a body that lies on this side."""
    rise = degrees(rng, -40.0, 75.0)
    reach_m = measures.arm_m * rng.uniform(0.45, 0.97)
    return HandGoal(
        wrist_m=shoulder_m(measures)
        + at(forward=math.cos(rise), up=math.sin(rise)) * reach_m
        + at(left=rng.uniform(-0.06, 0.03)),
        frame="chest",
        elbow=at(forward=0.5, up=-0.6, left=-0.3),
        curls=relaxed(rng),
    )
