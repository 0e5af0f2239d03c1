"""A second opinion on joints in metres, formed from where they are in the picture.

In: `joints_px` [batch, 25, 2] in crop pixels, sharpened; `score_logits` [batch, 25]; `joints_m`
[batch, 25, 3] as the trunk regressed them.  Out: `joints_m` [batch, 25, 3] relative to the pelvis,
in the same axes of the crop's ray.

A residual network of fully connected layers, as Martinez et al. 2017 (arXiv:1705.03098) lift poses,
but it is told how sure each place is and what the trunk thinks of the depth.  Places in a picture
look the same whether they were found in a rendering or in a photograph, so what is learned from
rendered truth holds for real people as far as their joints are found.
"""

from typing import Final

import torch
from torch import Tensor, nn

from edge_pose import skeleton

_PER_JOINT: Final = 2 + 1 + 3
_WIDTH: Final = 448
_BLOCKS: Final = 3
_SURER: Final = 3.0
"""Logit by which scores rise when places are moved all the way to the truth."""


def moved(
    joints_px: Tensor, score_logits: Tensor, told_px: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Move places by a share of the way to where they are told to be, with scores that say so."""
    return torch.lerp(joints_px, told_px, share[..., None]), score_logits + _SURER * share


class _Block(nn.Module):
    """x + W2 relu(W1 x); starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, width)
        self.narrow = nn.Linear(width, width)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.widen(x.relu()).relu())


class Lifter(nn.Module):
    """What the trunk regressed, corrected by where joints are seen; starts as no correction."""

    def __init__(self, side_px: int) -> None:
        """Make it for crops of so many pixels a side."""
        super().__init__()
        self._middle_px = (side_px - 1) / 2
        self.enter = nn.Linear(skeleton.NUM_JOINTS * _PER_JOINT, _WIDTH)
        self.blocks = nn.Sequential(*(_Block(_WIDTH) for _ in range(_BLOCKS)))
        self.leave = nn.Linear(_WIDTH, skeleton.NUM_JOINTS * 3)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, joints_px: Tensor, score_logits: Tensor, joints_m: Tensor) -> Tensor:
        """Lift joints; the pelvis stays at the origin."""
        places = joints_px / self._middle_px - 1
        known = [places.flatten(1), score_logits.sigmoid(), joints_m.flatten(1)]
        corrected = joints_m + self.leave(self.blocks(self.enter(torch.cat(known, 1)))).reshape(
            joints_m.shape
        )
        return corrected - corrected[:, skeleton.ROOT : skeleton.ROOT + 1]
