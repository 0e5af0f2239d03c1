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

from edge_pose import skeleton
from train.disturb import WIDE_PX
from train.lifter import Lifter
from train.pool import Told
from train.student import INPUT_SIZE_PX, PoseNet

_EDGE_PX: Final = (WIDE_PX - INPUT_SIZE_PX) // 2
_SURER: Final = 3.0
"""Logit by which a lifter was shown, while it learned, that a place is true (`train lift`)."""


def opinions(network: PoseNet) -> Told:
    """Return what asks a network about each block; its lifter is taken from it."""
    lifter, network.lifter = network.lifter, None
    other_side = torch.tensor(skeleton.MIRROR, device=next(network.parameters()).device)

    @torch.no_grad()
    def told(block: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        middle = slice(_EDGE_PX, _EDGE_PX + INPUT_SIZE_PX)
        seen = block["image"][:, :, middle, middle].float() / 255
        answer = network(torch.cat([seen, seen.flip(3)]))
        straight, mirrored = answer["joints_m"].chunk(2)
        across = torch.tensor([-1.0, 1.0, 1.0], device=seen.device)
        joints_m = (straight + mirrored[:, other_side] * across) / 2
        if lifter is not None:
            joints_m = (joints_m + _lifted(lifter, block, answer, joints_m)) / 2
        rendered = block["has_3d"][:, None, None]
        return {**block, "joints_m": torch.where(rendered, block["joints_m"], joints_m)}

    return told


def _lifted(
    lifter: Lifter, block: Mapping[str, Tensor], answer: Mapping[str, Tensor], joints_m: Tensor
) -> Tensor:
    """Lift the teacher's places, as far as it is sure of them, and else the network's own."""
    sure = block["weight_2d"]
    own_px, own_logits = (answer[name].chunk(2)[0] for name in ("joints_px", "score_logits"))
    places_px = torch.lerp(own_px, block["joints_px"], sure[..., None])
    lifted_m: Tensor = lifter(places_px, own_logits + _SURER * sure, joints_m)
    return lifted_m
