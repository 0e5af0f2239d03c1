"""Arms of somebody who works at a table: in go rows of 18 numbers, out come tasks for our bodies.

A row is x, y, z in metres of left wrist, right wrist, left elbow, right elbow, left shoulder, right
shoulder, as a camera before the person saw them: x right, y down, z away.  That is the format of
Human_Assembly_Data (Intelligent Control Lab, CMU, MIT licence).  The camera is taken to be level.
What the arms do not say (legs, trunk, gaze, fingers) is drawn.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from train.synth import hands, off_feet, on_feet
from train.synth.measures import Measures
from train.synth.rotations import Vector, about_x
from train.synth.stance import Stance
from train.synth.task import HandGoal, Task, at

COLUMNS: Final = 18
OURS_FROM_CAMERA: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""The camera faces the person: its right is their left, towards it is ahead of them."""
SEATED_SHARE: Final = 0.7
PALM_M: Final = 0.05
"""A wrist that works on a table is so far above it."""
TABLE_PERCENTILE: Final = 5.0
"""The lowest wrists of a recording are on the table, but for a few that are measured wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReach:
    """Both arms in every frame, left first, from the own shoulder, in our axes and arm lengths.

    An arm that was not seen is not a number.
    """

    wrists: Float64[np.ndarray, "frames 2 3"]
    elbows: Float64[np.ndarray, "frames 2 3"]
    table: float
    """Height of the lowest wrists over the shoulders: negative."""


def read_arm_reach(rows: Float64[np.ndarray, "frames 18"]) -> ArmReach | None:
    """Measure both arms from their shoulders; None where no arm was ever seen."""
    places = rows.reshape(-1, 3, 2, 3) @ OURS_FROM_CAMERA.T
    wrists, elbows = places[:, 0] - places[:, 2], places[:, 1] - places[:, 2]
    upper, lower = np.linalg.norm(elbows, axis=2), np.linalg.norm(wrists - elbows, axis=2)
    seen = np.isfinite(upper + lower)
    if not seen.any():
        return None
    arm_m = float(np.median((upper + lower)[seen]))
    unseen = ~seen[:, :, None]
    return ArmReach(
        wrists=np.where(unseen, np.nan, wrists / arm_m)[seen.any(axis=1)],
        elbows=np.where(unseen, np.nan, elbows / arm_m)[seen.any(axis=1)],
        table=float(np.percentile(wrists[seen][:, 2], TABLE_PERCENTILE)) / arm_m,
    )


def arm_task(reach: ArmReach, *, measures: Measures, rng: np.random.Generator) -> Task:
    """Sit or stand at a table with the arms of any frame, as they are or mirrored."""
    frame = int(rng.integers(len(reach.wrists)))
    make = off_feet.sit if rng.random() < SEATED_SHARE else on_feet.stand
    stance = replace(make(measures, rng), twist_rad=0.0, lean_rad=0.0, roll_rad=0.0, yaw_rad=0.0)
    goals = [
        _hand(wrist, elbow, stance=stance, measures=measures, rng=rng, sign=sign)
        for wrist, elbow, sign in zip(
            reach.wrists[frame], reach.elbows[frame], (1.0, -1.0), strict=True
        )
    ]
    shoulders_m = stance.pelvis_m + _shoulders_from_hips_m(measures, stance)
    table_m = float(shoulders_m[2]) + reach.table * measures.arm_m - PALM_M
    middle = np.nanmean(reach.wrists[frame], axis=0) * measures.arm_m
    task = Task(
        left_hand=goals[0],
        right_hand=goals[1],
        left_foot=stance.left_foot,
        right_foot=stance.right_foot,
        pelvis_m=stance.pelvis_m,
        pelvis_pitch_rad=stance.pitch_rad,
        bend_rad=stance.bend_rad,
        look_m=shoulders_m + middle if rng.random() < 0.85 else None,
        head_yaw_rad=rng.normal(0.0, 0.4),
        head_pitch_rad=rng.normal(0.3, 0.2),
        props=replace(stance.props, bench_height_m=table_m),
    )
    return task.mirrored() if rng.random() < 0.5 else task


def _hand(
    wrist: Vector,
    elbow: Vector,
    *,
    stance: Stance,
    measures: Measures,
    rng: np.random.Generator,
    sign: float,
) -> HandGoal:
    """Reach from the shoulder as recorded, however the trunk leans; `sign` is 1 for the left."""
    if np.isnan(wrist).any():
        resting = (hands.knee if stance.lap > 0.0 else hands.hang)(measures, rng, stance)
        return resting if sign > 0.0 else resting.mirrored()
    chest_from_level = about_x(-stance.pitch_rad - stance.bend_rad)
    shoulder_m = hands.shoulder_m(measures) * np.array([sign, 1.0, 1.0])
    curls = hands.gripping(rng) if rng.random() < 0.5 else hands.relaxed(rng)
    return HandGoal(
        wrist_m=shoulder_m + chest_from_level @ wrist * measures.arm_m,
        frame="chest",
        palm=chest_from_level @ at(up=-1.0, left=-sign * rng.uniform(0.0, 0.9)),
        fingers=chest_from_level
        @ at(forward=1.0, left=-sign * rng.uniform(-0.1, 0.7), up=rng.uniform(-0.5, 0.1)),
        elbow=chest_from_level @ (elbow - wrist / 2.0),
        curls=curls,
    )


def _shoulders_from_hips_m(measures: Measures, stance: Stance) -> Vector:
    """Where the middle of the shoulders is over the hips when the trunk leans, to a few cm."""
    upright_m = (hands.shoulder_m(measures) - measures.head_m("upperleg01.L")) * np.array(
        [0.0, 1.0, 1.0]
    )
    return about_x(stance.pitch_rad + stance.bend_rad / 2.0) @ upright_m
