"""The body skeleton every part of the project speaks: 25 joints, one definition for each.

COCO-17 stands first and unchanged, so `joints[:17]` is COCO.  H36M-17 is a selection (`H36M_17`).
Each joint has exactly one anatomical definition (`DEFINITIONS`): a *surface* point is what a person
annotating pictures clicks, a *bone* point is the centre of a joint inside the body.  The two differ
by 9 to 32 mm, so they never share a name.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

JOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "pelvis",
    "spine",
    "neck",
    "head_top",
    "left_heel",
    "right_heel",
    "left_toe",
    "right_toe",
)
INDEX: Final = {name: index for index, name in enumerate(JOINTS)}
NUM_JOINTS: Final = len(JOINTS)
NAME: Final = "edge-body-25"

ROOT: Final = INDEX["pelvis"]
"""The pelvis is the midpoint of the two hips, so it needs no definition of its own."""

DEFINITIONS: Final = {
    name: "midpoint of hips"
    if name == "pelvis"
    else "bone"
    if name in ("spine", "neck")
    else "surface"
    for name in JOINTS
}

PARENTS: Final = (
    INDEX["neck"],  # nose
    INDEX["nose"],  # left_eye
    INDEX["nose"],  # right_eye
    INDEX["left_eye"],  # left_ear
    INDEX["right_eye"],  # right_ear
    INDEX["neck"],  # left_shoulder
    INDEX["neck"],  # right_shoulder
    INDEX["left_shoulder"],  # left_elbow
    INDEX["right_shoulder"],  # right_elbow
    INDEX["left_elbow"],  # left_wrist
    INDEX["right_elbow"],  # right_wrist
    INDEX["pelvis"],  # left_hip
    INDEX["pelvis"],  # right_hip
    INDEX["left_hip"],  # left_knee
    INDEX["right_hip"],  # right_knee
    INDEX["left_knee"],  # left_ankle
    INDEX["right_knee"],  # right_ankle
    -1,  # pelvis
    INDEX["pelvis"],  # spine
    INDEX["spine"],  # neck
    INDEX["neck"],  # head_top
    INDEX["left_ankle"],  # left_heel
    INDEX["right_ankle"],  # right_heel
    INDEX["left_ankle"],  # left_toe
    INDEX["right_ankle"],  # right_toe
)
EDGES: Final = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)

MIRROR: Final = tuple(
    INDEX[
        name.replace("left_", "right_")
        if name.startswith("left_")
        else name.replace("right_", "left_")
    ]
    for name in JOINTS
)
"""`joints[MIRROR]` renames left to right after a picture was flipped."""

COCO_17: Final = tuple(range(17))
H36M_17: Final = tuple(
    INDEX[name]
    for name in (
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "neck",
        "nose",
        "head_top",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    )
)
LIMBS_12: Final = tuple(range(5, 17))
"""Shoulders, elbows, wrists, hips, knees, ankles: the set on which rivals can be compared."""


def joint_names(told: object) -> tuple[str, ...]:
    """Read names of joints, as a list or as words; a ValueError says which is none."""
    names = told.replace(",", " ").split() if isinstance(told, str) else told
    if not isinstance(names, Sequence):
        raise TypeError(f"is {told!r}; wanted names of joints")
    for name in names:
        if name not in INDEX:
            hint = get_close_matches(str(name), JOINTS, n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else f"known are {', '.join(JOINTS)}"
            raise ValueError(f"names a joint {name!r}; {advice}")
    return tuple(name for name in JOINTS if name in names)
