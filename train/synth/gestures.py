"""What both arms and the eyes do together: in goes the stance, out come goals for both hands."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth import hands
from train.synth.hands import MakeHand, relaxed, shoulder_m
from train.synth.measures import Measures
from train.synth.stance import Stance
from train.synth.task import HandGoal, Props, at


@dataclass(frozen=True, slots=True, kw_only=True)
class Gesture:
    """Both hands, and what the eyes follow."""

    left: HandGoal
    right: HandGoal
    look_m: Float64[np.ndarray, "3"] | None = None
    props: Props | None = None


MakeGesture: TypeAlias = Callable[[Measures, np.random.Generator, Stance], Gesture]


def each(*options: MakeHand, follow: float = 0.0) -> MakeGesture:
    """Let each hand choose among options by itself; with chance `follow` the eyes follow a hand."""

    def make(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
        left = options[rng.integers(len(options))](measures, rng, stance)
        right = options[rng.integers(len(options))](measures, rng, stance).mirrored()
        watched = left if rng.random() < 0.5 else right
        look_m = watched.wrist_m if watched.frame == "floor" and rng.random() < follow else None
        return Gesture(left=left, right=right, look_m=look_m)

    return make


def pair(left: MakeHand, right: MakeHand) -> MakeGesture:
    """Give each hand its own job."""

    def make(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
        return Gesture(
            left=left(measures, rng, stance), right=right(measures, rng, stance).mirrored()
        )

    return make


def bench(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
    """Both hands at a bench, sometimes one of them far across it."""
    other = hands.reach if rng.random() < 0.35 else hands.work
    gesture = each(hands.work, other, follow=0.85)(measures, rng, stance)
    return replace(gesture, props=replace(stance.props, bench_height_m=stance.work_height_m))


def desk(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
    """Type, write, use a mouse, prop up the head or hold a phone at a desk."""
    ahead_m = float(-stance.pelvis_m[1])

    def on_desk(_: Measures, rng: np.random.Generator, stance: Stance) -> HandGoal:
        return HandGoal(
            wrist_m=at(
                forward=ahead_m + rng.uniform(0.28, 0.5),
                left=rng.uniform(0.04, 0.3),
                up=stance.work_height_m + rng.uniform(0.05, 0.09),
            ),
            palm=at(up=-1.0, left=-rng.uniform(0.0, 0.5)),
            fingers=at(forward=1.0, left=-rng.uniform(-0.1, 0.5), up=-0.1),
            curls=np.clip(rng.normal(0.3, 0.12, 5), 0.0, 1.0),
        )

    second = (on_desk, on_desk, hands.face, hands.sign, hands.knee)[rng.integers(5)]
    gesture = pair(on_desk, second)(measures, rng, stance)
    look_m = at(forward=ahead_m + rng.uniform(0.4, 0.9), left=rng.normal(0.0, 0.2))
    look_m[2] = stance.work_height_m + (rng.uniform(0.1, 0.45) if rng.random() < 0.5 else 0.0)
    return replace(
        gesture,
        look_m=look_m if rng.random() < 0.8 else None,
        props=replace(stance.props, bench_height_m=stance.work_height_m),
    )


def push(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
    """Push a machine or a cart with both palms."""
    height_m = rng.uniform(0.45, 0.72) * measures.stature_m
    hand = HandGoal(
        wrist_m=at(
            forward=-float(stance.pelvis_m[1]) + rng.uniform(0.35, 0.62),
            left=rng.uniform(0.1, 0.3),
            up=height_m,
        ),
        palm=at(forward=1.0),
        fingers=at(up=1.0, forward=0.4),
        curls=np.clip(rng.normal(0.1, 0.05, 5), 0.0, 1.0),
    )
    return Gesture(
        left=hand,
        right=hand.mirrored(),
        props=Props(bench_height_m=height_m + 0.15, is_machine=True),
    )


def carry(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
    """Hold a box between the hands: before the chest, before the belly or low down."""
    place_m = at(forward=rng.uniform(0.4, 0.7), up=rng.uniform(-0.75, 0.1)) * measures.arm_m
    half_m = rng.uniform(0.1, 0.26)
    middle_m = shoulder_m(measures) * np.array([0.0, 1.0, 1.0])
    hand = HandGoal(
        wrist_m=middle_m + place_m + at(left=half_m),
        frame="chest",
        palm=at(left=-1.0),
        fingers=at(forward=1.0, up=rng.uniform(-0.5, 0.2)),
        elbow=at(left=0.7, up=-0.7, forward=-0.3),
        curls=np.clip(rng.normal(0.2, 0.08, 5), 0.0, 1.0),
    )
    return Gesture(
        left=hand,
        right=hand.mirrored(),
        props=replace(stance.props, box_between_hands=True),
    )


def lift(measures: Measures, rng: np.random.Generator, stance: Stance) -> Gesture:
    """Take hold of a box near the floor."""
    hand = HandGoal(
        wrist_m=at(
            forward=float(-stance.pelvis_m[1])
            + rng.uniform(0.35, 0.6)
            + 0.3 * stance.lap * measures.thigh_m,
            left=rng.uniform(0.12, 0.26),
            up=max(0.15, stance.work_height_m),
        ),
        palm=at(left=-1.0),
        fingers=at(forward=0.7, up=-0.6),
        curls=np.clip(rng.normal(0.2, 0.08, 5), 0.0, 1.0),
    )
    return Gesture(
        left=hand,
        right=hand.mirrored(),
        look_m=hand.wrist_m * np.array([0.0, 1.0, 1.0]),
        props=replace(stance.props, box_between_hands=True),
    )


def crossed(measures: Measures, rng: np.random.Generator, _: Stance) -> Gesture:
    """Cross the arms before the chest, one forearm over the other."""
    height_m = float(measures.head_m("spine01")[2]) + rng.uniform(-0.09, 0.0)
    front_m = measures.front_m(height_m)

    def hand(before_m: float, above_m: float) -> HandGoal:
        return HandGoal(
            wrist_m=np.array([-rng.uniform(0.04, 0.09), front_m - before_m, height_m + above_m]),
            frame="chest",
            palm=at(forward=-1.0),
            fingers=at(left=-1.0, forward=-0.2, up=0.1),
            elbow=at(left=0.8, up=-0.7, forward=0.35),
            curls=relaxed(rng),
        )

    inner_m = rng.uniform(0.04, 0.055)
    return Gesture(
        left=hand(inner_m, 0.0),
        right=hand(inner_m + rng.uniform(0.065, 0.08), rng.uniform(-0.02, 0.03)).mirrored(),
    )
