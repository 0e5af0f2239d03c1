"""Exponential maps of CMU's skeleton: in go rows of 117 numbers, out come places of joints.

A row is the root's translation and 38 rotations, each an axis times an angle in radians, in the
order in which Li et al. 2018 (arXiv:1805.00655) published them.  They were written for row vectors:
a bone turns by the *opposite* of what stands there (read the other way, knees bend forwards).  Such
files say nothing of lengths; those below, in units of 5.64 cm, are of the one body that goes with
them.  Y is up, +Z ahead, +X the person's left.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from train.synth.chain import carried_places

_BONES: Final[tuple[tuple[int, tuple[float, float, float]], ...]] = (
    (-1, (0.0, 0.0, 0.0)),  # 0 root
    (0, (0.0, 0.0, 0.0)),  # 1 left side of the pelvis
    (1, (1.65674, -1.80282, 0.62477)),
    (2, (2.59720, -7.13576, 0.0)),
    (3, (2.49236, -6.84770, 0.0)),
    (4, (0.19704, -0.54136, 2.14581)),
    (5, (0.0, 0.0, 1.11249)),
    (0, (0.0, 0.0, 0.0)),  # 7 right side of the pelvis
    (7, (-1.61070, -1.80282, 0.62476)),
    (8, (-2.59502, -7.12977, 0.0)),
    (9, (-2.46780, -6.78024, 0.0)),
    (10, (-0.23024, -0.63258, 2.13368)),
    (11, (0.0, 0.0, 1.11569)),
    (0, (0.0, 0.0, 0.0)),  # 13 spine
    (13, (0.01961, 2.05450, -0.14112)),
    (14, (0.01021, 2.06436, -0.05921)),
    (15, (0.0, 0.0, 0.0)),  # 16 neck
    (16, (0.00713, 1.56711, 0.14968)),
    (17, (0.03429, 1.56041, -0.10006)),
    (18, (0.01305, 1.62560, -0.05265)),
    (15, (0.0, 0.0, 0.0)),  # 20 left collar bone
    (20, (3.54205, 0.90436, -0.17364)),
    (21, (4.86513, 0.0, 0.0)),
    (22, (3.35554, 0.0, 0.0)),
    (23, (0.0, 0.0, 0.0)),
    (24, (0.66117, 0.0, 0.0)),
    (25, (0.53306, 0.0, 0.0)),
    (23, (0.0, 0.0, 0.0)),
    (27, (0.54120, 0.0, 0.54120)),
    (15, (0.0, 0.0, 0.0)),  # 29 right collar bone
    (29, (-3.49802, 0.75994, -0.32616)),
    (30, (-5.02649, 0.0, 0.0)),
    (31, (-3.36431, 0.0, 0.0)),
    (32, (0.0, 0.0, 0.0)),
    (33, (-0.73041, 0.0, 0.0)),
    (34, (-0.58887, 0.0, 0.0)),
    (32, (0.0, 0.0, 0.0)),
    (36, (-0.59786, 0.0, 0.59786)),
)
"""Parent and offset of each joint."""
_FIRST_OF: Final = {"neck": 16, "head": 18}
_SIDES: Final = {"L": (2, 21), "R": (8, 30)}
COLUMNS: Final = 3 + 3 * len(_BONES)


def _numbers() -> dict[str, int]:
    """Where each joint stands in the row: legs and arms run down from hip and shoulder."""
    found = dict(_FIRST_OF)
    for side, (hip, shoulder) in _SIDES.items():
        for step, joint in enumerate(("hip", "knee", "ankle", "toe")):
            found[f"{joint}.{side}"] = hip + step
        for step, joint in enumerate(("shoulder", "elbow", "wrist")):
            found[f"{joint}.{side}"] = shoulder + step
        found[f"knuckle.{side}"] = shoulder + 4
    return found


NUMBERS: Final = _numbers()


def expmap_places(
    rows: Float64[np.ndarray, "frames 117"], joints: tuple[str, ...]
) -> Float64[np.ndarray, "frames chosen 3"]:
    """Work out where the named joints are, from the root; the root's own way is left out."""
    frames, bones = len(rows), len(_BONES)
    vectors = -rows[:, 3:].reshape(-1, 3)
    turns = Rotation.from_rotvec(vectors).as_matrix().reshape(frames, bones, 3, 3)
    offsets = np.tile([offset for _, offset in _BONES], (frames, 1, 1))
    parents = [parent for parent, _ in _BONES]
    return carried_places(parents, offsets, turns, [NUMBERS[joint] for joint in joints])
