"""What workers do, as pairs of a stance and a gesture: in go measures, out comes a task.

`ACTIVITIES` is the whole repertoire; `draw` makes one of them, at random left- or right-handed.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from train.synth import gestures, stances
from train.synth.gestures import MakeGesture, each, pair
from train.synth.measures import Measures
from train.synth.stances import MakeStance, degrees
from train.synth.task import Task

MISCHIEF: Final = 0.12
"""Chance that one hand does something else than its activity says: nobody keeps to a script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Stances and gestures that go together."""

    stances: tuple[MakeStance, ...]
    gestures: tuple[MakeGesture, ...]
    share: float = 1.0
    """How often it is drawn, relative to the others."""


_IDLE = each(
    gestures.hang, gestures.hang, gestures.hang, gestures.hip, gestures.hold, gestures.belly
)

ACTIVITIES: Final[dict[str, Activity]] = {
    "stand": Activity(stances=(stances.stand,), gestures=(_IDLE,), share=2.0),
    "at_ease": Activity(
        stances=(stances.stand,),
        gestures=(
            each(gestures.behind),
            each(gestures.belly),
            each(gestures.hip),
            each(gestures.hip, gestures.behind, gestures.belly, gestures.hang),
        ),
    ),
    "arms_out": Activity(
        stances=(stances.stand, stances.walk),
        gestures=(each(gestures.spread), each(gestures.spread, gestures.wave, gestures.overhead)),
    ),
    "any_arms": Activity(
        stances=(stances.stand, stances.stand, stances.lean_over, stances.walk, stances.sit),
        gestures=(each(gestures.free),),
        share=2.5,
    ),
    "walk": Activity(
        stances=(stances.walk,),
        gestures=(
            each(gestures.hang),
            each(gestures.hang),
            each(gestures.hang, gestures.hold, gestures.face),
        ),
        share=2.0,
    ),
    "bench": Activity(
        stances=(stances.stand, stances.lean_over), gestures=(gestures.bench,), share=2.0
    ),
    "bench_far": Activity(
        stances=(stances.lean_over,), gestures=(each(gestures.reach, gestures.work, follow=0.8),)
    ),
    "inspect": Activity(
        stances=(stances.stand, stances.lean_over, stances.sit),
        gestures=(each(gestures.hold, gestures.sign),),
    ),
    "overhead": Activity(
        stances=(stances.stand, stances.stand, stances.walk),
        gestures=(
            each(gestures.overhead, follow=0.8),
            each(gestures.overhead, follow=0.8),
            pair(gestures.overhead, gestures.hang),
            pair(gestures.overhead, gestures.free),
        ),
        share=1.5,
    ),
    "lift": Activity(stances=(stances.crouch, stances.squat), gestures=(gestures.lift,)),
    "carry": Activity(
        stances=(stances.stand, stances.walk, stances.lean_over), gestures=(gestures.carry,)
    ),
    "push": Activity(
        stances=(stances.lean_over, stances.walk, stances.lunge), gestures=(gestures.push,)
    ),
    "squat": Activity(
        stances=(stances.squat,),
        gestures=(each(gestures.work, gestures.knee, gestures.ground, gestures.free, follow=0.6),),
    ),
    "lunge": Activity(
        stances=(stances.lunge,),
        gestures=(
            each(gestures.work, gestures.ground, gestures.knee, follow=0.6),
            each(gestures.hang, gestures.hip, gestures.free, gestures.overhead),
        ),
    ),
    "kneel": Activity(
        stances=(stances.kneel,),
        gestures=(
            each(gestures.work, gestures.ground, follow=0.8),
            each(gestures.knee, gestures.hang, gestures.free),
            each(gestures.overhead, gestures.work, gestures.hold),
        ),
        share=1.5,
    ),
    "bend_down": Activity(
        stances=(stances.bend_down,),
        gestures=(
            each(gestures.ground, gestures.work, follow=0.7),
            each(gestures.ground, gestures.knee),
        ),
        share=1.3,
    ),
    "cross_arms": Activity(
        stances=(stances.stand, stances.stand, stances.sit), gestures=(gestures.crossed,)
    ),
    "gesture": Activity(
        stances=(stances.stand, stances.stand, stances.sit),
        gestures=(
            each(gestures.sign),
            each(gestures.sign),
            each(gestures.sign, gestures.face, gestures.belly, gestures.wave),
            pair(gestures.sign, gestures.hang),
        ),
        share=3.0,
    ),
    "point": Activity(
        stances=(stances.stand, stances.walk, stances.sit),
        gestures=(
            pair(gestures.point, gestures.hang),
            each(gestures.point, gestures.hip, gestures.wave),
        ),
    ),
    "hand_to_head": Activity(
        stances=(stances.stand, stances.walk, stances.sit, stances.squat),
        gestures=(pair(gestures.face, gestures.hang), each(gestures.face, gestures.hold)),
    ),
    "desk": Activity(stances=(stances.sit,), gestures=(gestures.desk,), share=2.5),
    "sit": Activity(
        stances=(stances.sit,),
        gestures=(
            each(gestures.knee),
            each(gestures.knee, gestures.belly, gestures.hold, gestures.hang),
            each(gestures.work, follow=0.7),
        ),
        share=1.5,
    ),
    "sit_on_floor": Activity(
        stances=(stances.sit_on_floor,),
        gestures=(each(gestures.knee, gestures.ground, gestures.hold, gestures.free),),
        share=0.7,
    ),
    "lie": Activity(
        stances=(stances.lie,),
        gestures=(each(gestures.beside), each(gestures.beside, gestures.belly)),
        share=0.6,
    ),
    "lie_on_side": Activity(
        stances=(stances.lie_on_side,),
        gestures=(
            pair(gestures.ahead, gestures.ahead),
            pair(gestures.ahead, gestures.hang),
            pair(gestures.ahead, gestures.free),
        ),
        share=0.3,
    ),
    "ladder": Activity(
        stances=(stances.climb,),
        gestures=(
            each(gestures.rung),
            pair(gestures.rung, gestures.free),
            pair(gestures.rung, gestures.overhead),
        ),
        share=0.7,
    ),
}


def pick(rng: np.random.Generator) -> str:
    """Pick the name of an activity by its share."""
    shares = np.array([activity.share for activity in ACTIVITIES.values()])
    return str(rng.choice(list(ACTIVITIES), p=shares / shares.sum()))


def draw(name: str, *, measures: Measures, rng: np.random.Generator) -> Task:
    """Draw one instance of an activity for a body."""
    activity = ACTIVITIES[name]
    stance = activity.stances[rng.integers(len(activity.stances))](measures, rng)
    gesture = activity.gestures[rng.integers(len(activity.gestures))](measures, rng, stance)
    if rng.random() < MISCHIEF and not stance.flat:
        other = gestures.face if rng.random() < 0.3 else gestures.free  # noqa: PLR2004
        gesture = replace(gesture, left=other(measures, rng, stance))
    task = Task(
        left_hand=gesture.left,
        right_hand=gesture.right,
        left_foot=stance.left_foot,
        right_foot=stance.right_foot,
        pelvis_m=stance.pelvis_m,
        pelvis_pitch_rad=stance.pitch_rad,
        pelvis_roll_rad=stance.roll_rad,
        pelvis_yaw_rad=stance.yaw_rad,
        bend_rad=stance.bend_rad,
        lean_rad=stance.lean_rad,
        twist_rad=stance.twist_rad,
        look_m=gesture.look_m,
        head_yaw_rad=degrees(rng, -70.0, 70.0) if rng.random() < 0.35 else rng.normal(0.0, 0.25),  # noqa: PLR2004
        head_pitch_rad=degrees(rng, -35.0, 55.0) if rng.random() < 0.35 else rng.normal(0.15, 0.15),  # noqa: PLR2004
        grounded=stance.grounded,
        props=stance.props if gesture.props is None else gesture.props,
    )
    if stance.flat:
        face_down = stance.pitch_rad > 1.0
        task = replace(
            task,
            flat=True,
            head_pitch_rad=stance.pitch_rad + rng.normal(0.0, 0.2),
            head_yaw_rad=float(rng.choice([-1.1, 1.1])) if face_down else task.head_yaw_rad,
        )
    return task.mirrored() if rng.random() < 0.5 else task  # noqa: PLR2004
