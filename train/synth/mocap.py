"""Poses from motion capture: in goes a folder of clips, out come postures of our own bodies.

Clips are BVH files (also gzipped) of the CMU collection as several converters name its joints, or
static poses on the MakeHuman rig, whose bones are ours.  Recorded skeletons differ in rest pose and in
bone axes, so motion is carried over by *places* of joints: directions of segments and planes of hinges.
"""

import gzip
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64
from scipy.spatial.transform import Rotation

from edge_pose.errors import ConfigError
from train.synth.kinematics import Posture
from train.synth.measures import Measures
from train.synth.rotations import (
    Matrix,
    Vector,
    about,
    about_z,
    across,
    basis,
    between,
    cross,
    fraction,
    length,
    unit,
)

OURS_FROM_BVH: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""BVH is Y up and looks along +Z; we are Z up and look along -Y."""
SPINE: Final = ("spine05", "spine04", "spine03", "spine02", "spine01")

_SIDED: Final[dict[str, tuple[str, ...]]] = {
    "hip": ("CC_Base_{}_Thigh", "{long}UpLeg", "{low}femur", "{long}Hip"),
    "knee": ("CC_Base_{}_Calf", "{long}Leg", "{low}tibia", "{long}Knee"),
    "ankle": ("CC_Base_{}_Foot", "{long}Foot", "{low}foot", "{long}Ankle"),
    "toe": ("CC_Base_{}_ToeBase", "{long}ToeBase", "{low}toes", "{long}Toe"),
    "shoulder": ("CC_Base_{}_Upperarm", "{long}Arm", "{low}humerus", "{long}Shoulder"),
    "elbow": ("CC_Base_{}_Forearm", "{long}ForeArm", "{low}radius", "{long}Elbow"),
    "wrist": ("CC_Base_{}_Hand", "{long}Hand", "{low}wrist", "{long}Wrist"),
    "knuckle": ("CC_Base_{}_Mid1", "{long}HandMiddle1", "{long}FingerBase", "{low}fingers"),
}
_CENTRAL: Final[dict[str, tuple[str, ...]]] = {
    "neck": ("CC_Base_NeckTwist01", "Neck", "lowerneck", "Neck1"),
    "head": ("CC_Base_Head", "Head", "head"),
}


def _spellings() -> dict[str, tuple[str, ...]]:
    """Every name under which a converter may have stored a joint."""
    names = dict(_CENTRAL)
    for side, long, low in (("L", "Left", "l"), ("R", "Right", "r")):
        for joint, patterns in _SIDED.items():
            names[f"{joint}.{side}"] = tuple(
                pattern.format(side, long=long, low=low) for pattern in patterns
            )
    return names


SPELLINGS: Final = _spellings()
TRACKED: Final = tuple(SPELLINGS)
MIRRORED: Final = tuple(
    TRACKED.index(name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name[-2] == "." else name)
    for name in TRACKED
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BvhFile:
    """A BVH file as it is written: a tree of joints and rows of channels."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float64[np.ndarray, "joints 3"]
    channels: tuple[tuple[str, ...], ...]
    frames: Float64[np.ndarray, "frames values"]
    frame_s: float


def read_bvh(text: str, *, source: str) -> BvhFile:
    """Read a BVH file; ends of chains become joints named after their parent."""
    hierarchy, _, motion = text.partition("MOTION")
    words = [*hierarchy.split(), "MOTION"]
    if words[0] != "HIERARCHY" or not motion:
        raise ConfigError(
            f"{source} is no BVH file: found {' '.join(words[:2]) or 'nothing'!r}, wanted HIERARCHY "
            "and MOTION; remove it from the folder or convert it again"
        )
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    open_joints: list[int] = []
    at = 1
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            parents.append(open_joints[-1] if open_joints else -1)
            names.append(f"{names[parents[-1]]}_end" if word == "End" else words[at + 1])
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
            at += 2
        elif word == "{":
            open_joints.append(len(names) - 1)
            at += 1
        elif word == "}":
            open_joints.pop()
            at += 1
        elif word == "OFFSET":
            offsets[open_joints[-1]] = [float(value) for value in words[at + 1 : at + 4]]
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            channels[open_joints[-1]] = tuple(words[at + 2 : at + 2 + count])
            at += 2 + count
        else:
            raise ConfigError(
                f"{source} has the word {word!r} in its hierarchy, wanted JOINT, End, OFFSET or "
                "CHANNELS; convert it again"
            )
    _, frames, _, _, seconds, numbers = motion.split(maxsplit=5)
    count, width = int(frames), sum(len(names) for names in channels)
    values = np.fromstring(numbers, np.float64, sep=" ")
    if values.size != count * width:
        raise ConfigError(
            f"{source} breaks off: found {values.size} values, wanted {count} frames of {width}; "
            "copy it again"
        )
    return BvhFile(
        names=tuple(names),
        parents=tuple(parents),
        offsets=np.array(offsets),
        channels=tuple(channels),
        frames=values.reshape(count, width),
        frame_s=float(seconds),
    )


def joint_turns(
    bvh: BvhFile, joints: Collection[int]
) -> tuple[Float64[np.ndarray, "frames joints 3 3"], Float64[np.ndarray, "frames joints 3"]]:
    """Turns of the given joints relative to their parents, and offsets, for all frames at once."""
    count = len(bvh.frames)
    turns = np.tile(np.eye(3), (count, len(bvh.names), 1, 1))
    offsets = np.tile(bvh.offsets, (count, 1, 1))
    column = 0
    for joint, names in enumerate(bvh.channels):
        order, angles = "", []
        for name in names:
            values = bvh.frames[:, column]
            column += 1
            if name.endswith("rotation"):
                order += name[0]
                angles.append(values)
            else:
                offsets[:, joint, "XYZ".index(name[0])] = values
        if order and joint in joints:
            turns[:, joint] = Rotation.from_euler(
                order, np.stack(angles, axis=1), degrees=True
            ).as_matrix()
    return turns, offsets


def joint_places(
    bvh: BvhFile, joints: Sequence[int]
) -> Float64[np.ndarray, "frames chosen 3"]:
    """Forward kinematics of all frames for some joints, in the file's own axes and unit."""
    needed = set(joints)
    for joint in reversed(range(len(bvh.parents))):
        if joint in needed and bvh.parents[joint] >= 0:
            needed.add(bvh.parents[joint])
    turns, offsets = joint_turns(bvh, needed)
    world_turns, places = turns.copy(), offsets.copy()
    for joint in sorted(needed):
        parent = bvh.parents[joint]
        if parent >= 0:
            world_turns[:, joint] = world_turns[:, parent] @ turns[:, joint]
            moved = world_turns[:, parent] @ offsets[:, joint, :, None]
            places[:, joint] = places[:, parent] + moved[:, :, 0]
    return places[:, list(joints)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Places of the tracked joints in our axes; the unit is the recording's own."""

    places: Float32[np.ndarray, "frames tracked 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StillPose:
    """Turns of our own bones, from a file that was made on them."""

    turns: Mapping[str, Matrix]


def _read_text(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="ascii", errors="replace") as file:
            return file.read()
    return path.read_text(encoding="ascii", errors="replace")


def read_clip(path: Path, *, own_bones: Sequence[str]) -> Clip | StillPose:
    """Read one file as a recording, or as a still pose if it is made of our own bones."""
    bvh = read_bvh(_read_text(path), source=str(path))
    if "spine05" in bvh.names and "upperarm01.L" in bvh.names:
        turns, _ = joint_turns(bvh, range(len(bvh.names)))
        ours = OURS_FROM_BVH @ turns[-1] @ OURS_FROM_BVH.T
        known = set(own_bones)
        return StillPose(
            turns={name: ours[number] for number, name in enumerate(bvh.names) if name in known}
        )
    columns = []
    bare = [name.split(":")[-1] for name in bvh.names]
    for joint, spellings in SPELLINGS.items():
        found = [bare.index(spelling) for spelling in spellings if spelling in bare]
        if not found:
            raise ConfigError(
                f"{path} has no joint for {joint}: found {', '.join(bare[:6])}, …, wanted one of "
                f"{', '.join(spellings)}; rename the joint or remove the file"
            )
        columns.append(found[0])
    places = joint_places(bvh, columns) @ OURS_FROM_BVH.T
    return Clip(places=places.astype(np.float32))


@dataclass(slots=True)
class MotionLibrary:
    """A folder of clips, read one by one as they are first needed."""

    paths: tuple[Path, ...]
    _read: dict[Path, Clip | StillPose]

    @classmethod
    def open(cls, folder: Path) -> "MotionLibrary":
        """List the clips below a folder, in an order that does not depend on the file system."""
        paths = sorted(
            path for path in folder.rglob("*") if path.name.lower().endswith((".bvh", ".bvh.gz"))
        )
        if not paths:
            raise ConfigError(
                f"{folder} holds no motion: found no *.bvh or *.bvh.gz below it, wanted at least one; "
                "name another folder or leave the option out"
            )
        return cls(tuple(paths), {})

    def sample(self, measures: Measures, *, rng: np.random.Generator) -> Posture:
        """Take any frame of any clip, as it is or mirrored, onto a body, facing -Y on the whole."""
        path = self.paths[int(rng.integers(len(self.paths)))]
        if path not in self._read:
            self._read[path] = read_clip(path, own_bones=measures.skeleton.labels)
        clip = self._read[path]
        if isinstance(clip, StillPose):
            posture = Posture(
                skeleton=measures.skeleton, reference_m=measures.reference_m, root_m=np.zeros(3)
            )
            for bone, turn in clip.turns.items():
                posture.turn(bone, turn)
        else:
            places = clip.places[int(rng.integers(len(clip.places)))].astype(np.float64)
            if rng.random() < 0.5:  # noqa: PLR2004
                places = places[list(MIRRORED)] * np.array([-1.0, 1.0, 1.0])
            posture = retarget(
                dict(zip(TRACKED, places, strict=True)), measures=measures, rng=rng
            )
        left = posture.turns[0] @ np.array([1.0, 0.0, 0.0])
        posture.turns[0] = about_z(-np.arctan2(left[1], left[0])) @ posture.turns[0]
        posture.update()
        return posture


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
    for bone, label in enumerate(measures.skeleton.labels):
        parent = measures.skeleton.parents[bone]
        outer = posture.world_turns[parent] if parent >= 0 else np.eye(3)
        posture.world_turns[bone] = world.get(label, outer)
        posture.turns[bone] = outer.T @ posture.world_turns[bone]
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
    bones = (
        ("upperleg01", "lowerleg01", "foot") if legs else ("upperarm01", "lowerarm01", "wrist")
    )
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
    backwards = float(seen @ swung) < -0.5 * bend and bend < 0.4  # noqa: PLR2004
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
