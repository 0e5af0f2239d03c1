"""Poses from motion capture: in goes a folder of clips, out come postures of our own bodies.

Clips are BVH files (also gzipped) of the CMU collection as several converters name its joints, or
static poses on the MakeHuman rig, whose bones are ours.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.errors import ConfigError
from train.synth.bvh import joint_places, joint_turns, read_bvh
from train.synth.kinematics import Posture
from train.synth.measures import Measures
from train.synth.retarget import retarget
from train.synth.rotations import Matrix, about_z

OURS_FROM_BVH: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""BVH is Y up and looks along +Z; we are Z up and look along -Y."""

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
                f"{folder} holds no motion: found no *.bvh or *.bvh.gz below it, wanted at least "
                "one; name another folder or leave the option out"
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
            if rng.random() < 0.5:
                places = places[list(MIRRORED)] * np.array([-1.0, 1.0, 1.0])
            posture = retarget(dict(zip(TRACKED, places, strict=True)), measures=measures, rng=rng)
        left = posture.turns[0] @ np.array([1.0, 0.0, 0.0])
        posture.turns[0] = about_z(-np.arctan2(left[1], left[0])) @ posture.turns[0]
        posture.update()
        return posture
