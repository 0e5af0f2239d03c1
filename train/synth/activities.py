"""What workers do, as pairs of a stance and a gesture: in go measures, out comes a task.

`ACTIVITIES` is the whole repertoire; `draw` makes one of them, at random left- or right-handed.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from train.synth import gestures, hands, off_feet, on_feet
from train.synth.gestures import MakeGesture, each, pair
from train.synth.measures import Measures
from train.synth.stance import MakeStance, degrees
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


_IDLE = each(hands.hang, hands.hang, hands.hang, hands.hip, hands.hold, hands.belly)

ACTIVITIES: Final[dict[str, Activity]] = {
    "stand": Activity(stances=(on_feet.stand,), gestures=(_IDLE,), share=2.0),
    "at_ease": Activity(
        stances=(on_feet.stand,),
        gestures=(
            each(hands.behind),
            each(hands.belly),
            each(hands.hip),
            each(hands.hip, hands.behind, hands.belly, hands.hang),
        ),
    ),
    "arms_out": Activity(
        stances=(on_feet.stand, on_feet.walk),
        gestures=(each(hands.spread), each(hands.spread, hands.wave, hands.overhead)),
    ),
    "any_arms": Activity(
        stances=(on_feet.stand, on_feet.stand, on_feet.lean_over, on_feet.walk, off_feet.sit),
        gestures=(each(hands.free),),
        share=2.5,
    ),
    "walk": Activity(
        stances=(on_feet.walk,),
        gestures=(
            each(hands.hang),
            each(hands.hang),
            each(hands.hang, hands.hold, hands.face),
        ),
        share=2.0,
    ),
    "bench": Activity(
        stances=(on_feet.stand, on_feet.lean_over), gestures=(gestures.bench,), share=2.0
    ),
    "bench_far": Activity(
        stances=(on_feet.lean_over,), gestures=(each(hands.reach, hands.work, follow=0.8),)
    ),
    "inspect": Activity(
        stances=(on_feet.stand, on_feet.lean_over, off_feet.sit),
        gestures=(each(hands.hold, hands.sign),),
    ),
    "overhead": Activity(
        stances=(on_feet.stand, on_feet.stand, on_feet.walk),
        gestures=(
            each(hands.overhead, follow=0.8),
            each(hands.overhead, follow=0.8),
            pair(hands.overhead, hands.hang),
            pair(hands.overhead, hands.free),
        ),
        share=1.5,
    ),
    "lift": Activity(stances=(on_feet.crouch, on_feet.squat), gestures=(gestures.lift,)),
    "carry": Activity(
        stances=(on_feet.stand, on_feet.walk, on_feet.lean_over), gestures=(gestures.carry,)
    ),
    "push": Activity(
        stances=(on_feet.lean_over, on_feet.walk, on_feet.lunge), gestures=(gestures.push,)
    ),
    "squat": Activity(
        stances=(on_feet.squat,),
        gestures=(each(hands.work, hands.knee, hands.ground, hands.free, follow=0.6),),
    ),
    "lunge": Activity(
        stances=(on_feet.lunge,),
        gestures=(
            each(hands.work, hands.ground, hands.knee, follow=0.6),
            each(hands.hang, hands.hip, hands.free, hands.overhead),
        ),
    ),
    "kneel": Activity(
        stances=(off_feet.kneel,),
        gestures=(
            each(hands.work, hands.ground, follow=0.8),
            each(hands.knee, hands.hang, hands.free),
            each(hands.overhead, hands.work, hands.hold),
        ),
        share=1.5,
    ),
    "bend_down": Activity(
        stances=(on_feet.bend_down,),
        gestures=(
            each(hands.ground, hands.work, follow=0.7),
            each(hands.ground, hands.knee),
        ),
        share=1.3,
    ),
    "cross_arms": Activity(
        stances=(on_feet.stand, on_feet.stand, off_feet.sit), gestures=(gestures.crossed,)
    ),
    "gesture": Activity(
        stances=(on_feet.stand, on_feet.stand, off_feet.sit),
        gestures=(
            each(hands.sign),
            each(hands.sign),
            each(hands.sign, hands.face, hands.belly, hands.wave),
            pair(hands.sign, hands.hang),
        ),
        share=3.0,
    ),
    "point": Activity(
        stances=(on_feet.stand, on_feet.walk, off_feet.sit),
        gestures=(
            pair(hands.point, hands.hang),
            each(hands.point, hands.hip, hands.wave),
        ),
    ),
    "hand_to_head": Activity(
        stances=(on_feet.stand, on_feet.walk, off_feet.sit, on_feet.squat),
        gestures=(pair(hands.face, hands.hang), each(hands.face, hands.hold)),
    ),
    "desk": Activity(stances=(off_feet.sit,), gestures=(gestures.desk,), share=2.5),
    "sit": Activity(
        stances=(off_feet.sit,),
        gestures=(
            each(hands.knee),
            each(hands.knee, hands.belly, hands.hold, hands.hang),
            each(hands.work, follow=0.7),
        ),
        share=1.5,
    ),
    "sit_on_floor": Activity(
        stances=(off_feet.sit_on_floor,),
        gestures=(each(hands.knee, hands.ground, hands.hold, hands.free),),
        share=0.7,
    ),
    "lie": Activity(
        stances=(off_feet.lie,),
        gestures=(each(hands.beside), each(hands.beside, hands.belly)),
        share=0.6,
    ),
    "lie_on_side": Activity(
        stances=(off_feet.lie_on_side,),
        gestures=(
            pair(hands.ahead, hands.ahead),
            pair(hands.ahead, hands.hang),
            pair(hands.ahead, hands.free),
        ),
        share=0.3,
    ),
    "ladder": Activity(
        stances=(on_feet.climb,),
        gestures=(
            each(hands.rung),
            pair(hands.rung, hands.free),
            pair(hands.rung, hands.overhead),
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
        other = hands.face if rng.random() < 0.3 else hands.free
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
        head_yaw_rad=degrees(rng, -70.0, 70.0) if rng.random() < 0.35 else rng.normal(0.0, 0.25),
        head_pitch_rad=degrees(rng, -35.0, 55.0) if rng.random() < 0.35 else rng.normal(0.15, 0.15),
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
    return task.mirrored() if rng.random() < 0.5 else task
