"""Stances on the feet, from standing to a deep squat: in go measures, out comes a stance.

Ranges are wide on purpose: the poses that training never shows are the ones a camera will.
"""

import math

import numpy as np

from train.synth.measures import Measures
from train.synth.stance import Stance, balanced, degrees, feet, hip_height_m
from train.synth.task import FootGoal, Props, at


def stand(measures: Measures, rng: np.random.Generator) -> Stance:
    """Stand as people do who wait: weight on one leg or both, never quite straight."""
    left, right = feet(
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
        pelvis_m=balanced(measures, pitch=0.0, bend=bend, crouch=crouch) + at(left=weight_m),
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
    left, right = feet(measures, rng, stagger_m=rng.normal(0.0, 0.1))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=balanced(measures, pitch=pitch, bend=bend, crouch=rng.uniform(0.0, 0.12)),
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
    left, right = feet(
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
        pelvis_m=at(up=hip_height_m(measures, rng.uniform(0.0, 0.08))),
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
    left, right = feet(measures, rng, apart_m=(0.05, 0.2), stagger_m=rng.normal(0.0, 0.12))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=balanced(measures, pitch=pitch, bend=bend, crouch=depth),
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
    left, right = feet(
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
        pelvis_m=balanced(measures, pitch=pitch, bend=bend, crouch=depth),
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
    left, right = feet(
        measures,
        rng,
        apart_m=(-0.02, 0.1),
        stagger_m=span_m / 2.0,
        heel_lifts_rad=(0.0, degrees(rng, 15.0, 65.0)),
    )
    bend, pitch = degrees(rng, -8.0, 35.0), degrees(rng, -5.0, 35.0)
    height_m = hip_height_m(measures, rng.uniform(0.15, 0.6))
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


def bend_down(measures: Measures, rng: np.random.Generator) -> Stance:
    """Bend to the floor from the hips, knees nearly straight."""
    bend, pitch = degrees(rng, 30.0, 70.0), degrees(rng, 35.0, 80.0)
    left, right = feet(measures, rng, apart_m=(0.0, 0.2), stagger_m=rng.normal(0.0, 0.12))
    return Stance(
        left_foot=left,
        right_foot=right,
        pelvis_m=balanced(measures, pitch=pitch, bend=bend, crouch=rng.uniform(0.0, 0.3)),
        pitch_rad=pitch,
        bend_rad=bend,
        lean_rad=rng.normal(0.0, 0.1),
        twist_rad=rng.normal(0.0, 0.25),
        work_height_m=rng.uniform(0.02, 0.4),
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
    height_m = low_m + hip_height_m(measures, rng.uniform(0.02, 0.15))
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
