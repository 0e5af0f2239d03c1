"""Poses from motion capture: in goes a folder of clips, out come postures of our own bodies.

Clips are BVH files (also gzipped) of the CMU collection as several converters name its joints,
static poses on the MakeHuman rig, whose bones are ours, and tables of numbers (text or .npy, a
frame a row) whose width tells what they are: exponential maps of CMU's skeleton, or both arms of
somebody at a table.  A folder may mix them.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Float64

from edge_pose.errors import ConfigError
from train.synth import arm_reach, expmap
from train.synth.arm_reach import ArmReach, arm_task, read_arm_reach
from train.synth.bvh import joint_places, joint_turns, read_bvh
from train.synth.expmap import expmap_places
from train.synth.kinematics import Posture
from train.synth.measures import Measures
from train.synth.posing import Poser
from train.synth.retarget import retarget
from train.synth.rotations import Matrix, about_z
from train.synth.task import Task

OURS_FROM_BVH: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Recordings are Y up and look along +Z; we are Z up and look along -Y."""
BVH_ENDINGS: Final = (".bvh", ".bvh.gz")
TABLE_ENDINGS: Final = (".csv", ".npy", ".txt")

_SIDED: Final[dict[str, tuple[str, ...]]] = {
    "hip": ("CC_Base_{}_Thigh", "{long}UpLeg", "{low}femur", "{long}Hip"),
    "knee": ("CC_Base_{}_Calf", "{long}Leg", "{low}tibia", "{long}Knee"),
    "ankle": ("CC_Base_{}_Foot", "{long}Foot", "{low}foot", "{long}Ankle"),
    "toe": ("CC_Base_{}_ToeBase", "{long}ToeBase", "{low}toes", "{long}Toe"),
    "shoulder": ("CC_Base_{}_Upperarm", "{long}Arm", "{low}humerus", "{long}Shoulder"),
    "elbow": ("CC_Base_{}_Forearm", "{long}ForeArm", "{low}radius", "{long}Elbow"),
    "wrist": ("CC_Base_{}_Hand", "{long}Hand", "{low}wrist", "{long}Wrist"),
    "knuckle": ("CC_Base_{}_Mid1", "{long}HandMiddle1", "{long}HandIndex1", "{low}fingers"),
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
    frame_s: float | None
    """Between two frames; None where the recording does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StillPose:
    """Turns of our own bones, from a file that was made on them."""

    turns: Mapping[str, Matrix]


def mirrored(
    places: Float[np.ndarray, "*moments tracked 3"],
) -> Float[np.ndarray, "*moments tracked 3"]:
    """Exchange left and right of the tracked joints, in our axes."""
    return places[..., list(MIRRORED), :] * np.array([-1.0, 1.0, 1.0], places.dtype)


def _read_text(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="ascii", errors="replace") as file:
            return file.read()
    return path.read_text(encoding="ascii", errors="replace")


def read_clip(path: Path, *, own_bones: Sequence[str]) -> Clip | StillPose | ArmReach:
    """Read one file as what it holds: a recording, a pose of our own bones, or a pair of arms."""
    if path.name.lower().endswith(TABLE_ENDINGS):
        return _read_table(path)
    return _read_bones(path, own_bones)


def _read_bones(path: Path, own_bones: Sequence[str]) -> Clip | StillPose:
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
    return Clip(places=places.astype(np.float32), frame_s=bvh.frame_s)


def _read_table(path: Path) -> Clip | ArmReach:
    try:
        rows = np.load(path) if path.suffix == ".npy" else _numbers(path.read_text())
        rows = np.atleast_2d(rows.astype(np.float64))
    except ValueError as error:
        raise ConfigError(
            f"{path} cannot be read as rows of numbers ({error}); copy it again or remove it"
        ) from error
    width = rows.shape[-1]
    if rows.ndim == 2 and width == expmap.COLUMNS:
        places = expmap_places(rows, TRACKED) @ OURS_FROM_BVH.T
        return Clip(places=places.astype(np.float32), frame_s=None)
    reach = read_arm_reach(rows) if rows.ndim == 2 and width == arm_reach.COLUMNS else None
    if reach is None:
        raise ConfigError(
            f"{path} holds no motion: found {' x '.join(map(str, rows.shape))} numbers, wanted "
            f"rows of {expmap.COLUMNS} (exponential maps) or of {arm_reach.COLUMNS} (both arms, "
            "one of them seen at least once); remove it from the folder"
        )
    return reach


def _numbers(text: str) -> Float64[np.ndarray, "rows columns"]:
    return np.array(
        [line.replace(",", " ").split() for line in text.splitlines() if line.strip()], np.float64
    )


def _holds_motion(path: Path) -> bool:
    """Tell by name, and of texts by how they begin: notes lie beside recordings."""
    name = path.name.lower()
    if name.endswith((*BVH_ENDINGS, ".npy")):
        return True
    if not name.endswith(TABLE_ENDINGS):
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().replace(",", " ").split()
    return bool(first) and all(_is_number(word) for word in first)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class MotionLibrary:
    """A folder of clips, read one by one as they are first needed."""

    paths: tuple[Path, ...]
    _read: dict[Path, Clip | StillPose | ArmReach]

    @classmethod
    def open(cls, folder: Path) -> "MotionLibrary":
        """List the clips below a folder, in an order that does not depend on the file system."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and _holds_motion(path))
        if not paths:
            raise ConfigError(
                f"{folder} holds no motion: found no {', '.join(f'*{e}' for e in BVH_ENDINGS)} and "
                f"no rows of numbers ({', '.join(f'*{e}' for e in TABLE_ENDINGS)}) below it, "
                "wanted at least one; name another folder or leave the option out"
            )
        return cls(tuple(paths), {})

    def read(self, index: int, *, own_bones: Sequence[str]) -> Clip | StillPose | ArmReach:
        """Give a clip by its place in the list; what was read once is kept."""
        path = self.paths[index]
        if path not in self._read:
            self._read[path] = read_clip(path, own_bones=own_bones)
        return self._read[path]

    def sample(
        self, measures: Measures, *, rng: np.random.Generator
    ) -> tuple[Posture, Task | None]:
        """Take any frame of any clip, as it is or mirrored, onto a body, facing -Y on the whole.

        What arms are at work on comes as the task; whole bodies are at work on nothing.
        """
        index = int(rng.integers(len(self.paths)))
        clip = self.read(index, own_bones=measures.skeleton.labels)
        if isinstance(clip, ArmReach):
            task = arm_task(clip, measures=measures, rng=rng)
            return Poser(measures=measures, rng=rng).solve(task), task
        if isinstance(clip, StillPose):
            posture = Posture(
                skeleton=measures.skeleton, reference_m=measures.reference_m, root_m=np.zeros(3)
            )
            for bone, turn in clip.turns.items():
                posture.turn(bone, turn)
        else:
            places = clip.places[int(rng.integers(len(clip.places)))].astype(np.float64)
            if rng.random() < 0.5:
                places = mirrored(places)
            posture = retarget(dict(zip(TRACKED, places, strict=True)), measures=measures, rng=rng)
        left = posture.turns[0] @ np.array([1.0, 0.0, 0.0])
        posture.turns[0] = about_z(-np.arctan2(left[1], left[0])) @ posture.turns[0]
        posture.update()
        return posture, None
