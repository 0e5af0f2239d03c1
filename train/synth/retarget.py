"""Recorded joints to our bones: in go places of joints, out comes a posture of one of our bodies.

Recorded skeletons differ in rest pose and in bone axes, so motion is carried over by *places*:
directions of segments and planes of hinges.  Lengths stay the body's own.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from train.synth.kinematics import Posture
from train.synth.measures import Measures
from train.synth.rotations import (
    Matrix,
    Vector,
    about,
    across,
    basis,
    between,
    cross,
    fraction,
    length,
    unit,
)

SPINE: Final = ("spine05", "spine04", "spine03", "spine02", "spine01")


def retarget(
    places: Mapping[str, Vector], *, measures: Measures, rng: np.random.Generator
) -> Posture:
    """Give a body the posture of recorded joints: segment directions, hinge planes, shared twists.

    What places cannot tell (pronation, finger curl) is drawn.
    """
    head_m = measures.head_m
    hips_m = (places["hip.L"] + places["hip.R"]) / 2.0
    own_hips_m = (head_m("upperleg01.L") + head_m("upperleg01.R")) / 2.0
    own_up = head_m("neck01") - own_hips_m
    up = places["neck"] - hips_m
    root = (
        basis(places["hip.L"] - places["hip.R"], up)
        @ basis(head_m("upperleg01.L") - head_m("upperleg01.R"), own_up).T
    )
    chest = (
        basis(places["shoulder.L"] - places["shoulder.R"], up)
        @ basis(head_m("upperarm01.L") - head_m("upperarm01.R"), own_up).T
    )
    world: dict[str, Matrix] = {"root": root}
    for number, bone in enumerate(SPINE):
        world[bone] = root @ fraction(root.T @ chest, (number + 1) / len(SPINE))
    nod = between(head_m("head") - head_m("neck01"), chest.T @ (places["head"] - places["neck"]))
    world["neck01"] = chest @ fraction(nod, 0.5)
    world["head"] = chest @ nod
    for side in "LR":
        _retarget_limb(places, world, measures, ("hip", "knee", "ankle"), side)
        _retarget_limb(places, world, measures, ("shoulder", "elbow", "wrist"), side)
        shin = world[f"lowerleg01.{side}"]
        lateral = shin @ np.array([1.0, 0.0, 0.0])
        own_toe = head_m(f"toe3-1.{side}") - head_m(f"foot.{side}")
        own_lateral = np.array([1.0, 0.0, 0.0])
        toe = places[f"toe.{side}"] - places[f"ankle.{side}"]
        world[f"foot.{side}"] = basis(toe, lateral) @ basis(own_toe, own_lateral).T
        forearm = world[f"lowerarm01.{side}"]
        own_axis = unit(head_m(f"wrist.{side}") - head_m(f"lowerarm01.{side}"))
        pronation = about(own_axis, float(rng.uniform(-0.9, 0.9)))
        world[f"lowerarm02.{side}"] = forearm @ fraction(pronation, 0.65)
        own_hand = head_m(f"finger3-1.{side}") - head_m(f"wrist.{side}")
        hand = (forearm @ pronation).T @ (places[f"knuckle.{side}"] - places[f"wrist.{side}"])
        world[f"wrist.{side}"] = forearm @ pronation @ between(own_hand, hand)
    posture = Posture(
        skeleton=measures.skeleton, reference_m=measures.reference_m, root_m=np.zeros(3)
    )
    for number, label in enumerate(measures.skeleton.labels):
        parent = measures.skeleton.parents[number]
        outer = posture.world_turns[parent] if parent >= 0 else np.eye(3)
        posture.world_turns[number] = world.get(label, outer)
        posture.turns[number] = outer.T @ posture.world_turns[number]
    _curl_fingers(posture, rng)
    posture.update()
    return posture


def _retarget_limb(
    places: Mapping[str, Vector],
    world: dict[str, Matrix],
    measures: Measures,
    joints: tuple[str, str, str],
    side: str,
) -> None:
    """Point both bones; a nearly straight limb keeps the hinge that its swing alone gives it."""
    legs = joints[0] == "hip"
    bones = ("upperleg01", "lowerleg01", "foot") if legs else ("upperarm01", "lowerarm01", "wrist")
    start, middle, end = (measures.head_m(f"{bone}.{side}") for bone in bones)
    own_upper, own_lower = middle - start, end - middle
    upper = unit(places[f"{joints[1]}.{side}"] - places[f"{joints[0]}.{side}"])
    lower = unit(places[f"{joints[2]}.{side}"] - places[f"{joints[1]}.{side}"])
    parent = world["root"] if legs else world["spine01"]
    own_hinge = unit(cross(own_upper, own_lower))
    swung = between(parent @ own_upper, upper) @ parent @ own_hinge
    swung = unit(across(swung, upper))
    seen = cross(upper, lower)
    bend = length(seen)
    trust = min(1.0, max(0.0, (bend - 0.08) / 0.2))
    backwards = float(seen @ swung) < -0.5 * bend and bend < 0.4
    hinge = swung if backwards else unit(unit(seen) * trust + swung * (1.0 - trust))
    world[f"{bones[0]}.{side}"] = basis(upper, hinge) @ basis(own_upper, own_hinge).T
    world[f"{bones[1]}.{side}"] = basis(lower, hinge) @ basis(own_lower, own_hinge).T


def _curl_fingers(posture: Posture, rng: np.random.Generator) -> None:
    """Close the hands a little, as idle hands are."""
    for side, sign in (("L", 1.0), ("R", -1.0)):
        wrist_m, index_m, little_m = (
            posture.reference_head_m(f"{bone}.{side}")
            for bone in ("wrist", "finger2-1", "finger5-1")
        )
        normal = unit(cross(index_m - wrist_m, little_m - wrist_m)) * -sign
        curl = float(rng.uniform(0.05, 0.7))
        for finger in range(2, 6):
            for joint, most_rad in ((1, 1.2), (2, 1.5)):
                bone = f"finger{finger}-{joint}.{side}"
                after = posture.reference_head_m(f"finger{finger}-{joint + 1}.{side}")
                along = unit(after - posture.reference_head_m(bone))
                posture.turn(bone, about(cross(along, normal), curl * most_rad))
