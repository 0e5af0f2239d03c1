"""BVH files: in goes the text, out come turns and places of joints, in its own axes and unit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from edge_pose.errors import ConfigError
from train.synth.chain import ancestry, carried_places


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
            f"{source} is no BVH file: found {' '.join(words[:2]) or 'nothing'!r}, wanted "
            "HIERARCHY and MOTION; remove it from the folder or convert it again"
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
    """Turn the given joints relative to their parents, and offset them, for all frames at once."""
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


def joint_places(bvh: BvhFile, joints: Sequence[int]) -> Float64[np.ndarray, "frames chosen 3"]:
    """Forward kinematics of all frames for some joints, in the file's own axes and unit."""
    turns, offsets = joint_turns(bvh, ancestry(joints, bvh.parents))
    return carried_places(bvh.parents, offsets, turns, joints)
