"""Forward kinematics of recordings: in go turns of all frames, out come places of joints."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64


def ancestry(joints: Sequence[int], parents: Sequence[int]) -> list[int]:
    """Return the joints and all that carry them, parents first; a parent's number is the lower."""
    needed = set(joints)
    for joint in reversed(range(len(parents))):
        if joint in needed and parents[joint] >= 0:
            needed.add(parents[joint])
    return sorted(needed)


def carried_places(
    parents: Sequence[int],
    offsets: Float64[np.ndarray, "frames joints 3"],
    turns: Float64[np.ndarray, "frames joints 3 3"],
    chosen: Sequence[int],
) -> Float64[np.ndarray, "frames chosen 3"]:
    """Carry each joint by its parent's turns; offsets and turns are relative to the parent.

    Joints that carry none of the chosen ones are not looked at.
    """
    world_turns, places = turns.copy(), offsets.copy()
    for joint in ancestry(chosen, parents):
        parent = parents[joint]
        if parent >= 0:
            world_turns[:, joint] = world_turns[:, parent] @ turns[:, joint]
            moved = world_turns[:, parent] @ offsets[:, joint, :, None]
            places[:, joint] = places[:, parent] + moved[:, :, 0]
    return places[:, list(chosen)]
