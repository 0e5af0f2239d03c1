"""What a network thinks of real people in 3D, told the places that a teacher's labels give.

In: a network that knows something, blocks of wide crops.  Out: the same blocks, in which real
people have joints in metres too: what the trunk says of the square in the middle and of its mirror
image, and what its lifter, if it has one, makes of the teacher's places.  A network that learns
from renderings holds to that, and does not unlearn photographs.

Told the places of the teacher, the opinion at the desk is 84 mm (PA 52) from the truth instead of
89 (57): docs/log.md, 26 November 2026.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from train.agreement import both_ways
from train.disturb import WIDE_PX
from train.lifter import Lifter, moved
from train.pool import Told
from train.student import INPUT_SIZE_PX, PoseNet, both_opinions

_EDGE_PX: Final = (WIDE_PX - INPUT_SIZE_PX) // 2


def opinions(network: PoseNet) -> Told:
    """Return what asks a network about each block; its lifter is taken from it."""
    lifter, network.lifter = network.lifter, None

    @torch.no_grad()
    def told(block: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        middle = slice(_EDGE_PX, _EDGE_PX + INPUT_SIZE_PX)
        seen = block["image"][:, :, middle, middle].float() / 255
        plain = network(seen)
        joints_m = both_ways(plain, network(seen.flip(3)))["joints_m"]
        if lifter is not None:
            joints_m = both_opinions(joints_m, _lifted(lifter, block, plain, joints_m))
        rendered = block["has_3d"][:, None, None]
        return {**block, "joints_m": torch.where(rendered, block["joints_m"], joints_m)}

    return told


def _lifted(
    lifter: Lifter, block: Mapping[str, Tensor], answer: Mapping[str, Tensor], joints_m: Tensor
) -> Tensor:
    """Lift the teacher's places, as far as it is sure of them, and else the network's own."""
    own_px, own_logits = answer["joints_px"], answer["score_logits"]
    places_px, logits = moved(own_px, own_logits, block["joints_px"], block["weight_2d"])
    lifted_m: Tensor = lifter(places_px, logits, joints_m)
    return lifted_m
