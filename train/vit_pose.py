"""A transformer that says where the joints are: every patch votes, and joints choose their voters.

In: `image` [batch, 3, 256, 256], RGB in 0..1.  Out: the same dict of tensors as
`train.student.PoseNet`, in pixels of the 256-pixel crop whatever the transformer's own input size.

For each joint a patch says how far from its own centre the joint lies, where it is in metres, how
sure it is, and how much it wants to be heard; the softmax of the last over all patches weighs the
others.  So a joint comes from the patches that see it, to a fraction of a pixel; and a hidden one,
or one beyond the picture's edge, from those that see its neighbours, which a soft-argmax of heat
maps (Sun et al. 2018, arXiv:1711.08229) cannot do, and a regression of pooled tokens only without
places.  It is one linear layer, so that a linear probe of the encoder is the same network with the
encoder frozen.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose import skeleton
from train.exact import exactly
from train.student import INPUT_SIZE_PX
from train.vit import Vit, VitOutput, VitSize, fit_size

_POINTS: Final = skeleton.NUM_JOINTS + 2
"""Joints and the two points of the reach."""
_VOTES: Final = (("heard", _POINTS), ("offset", 2 * _POINTS), ("metres", 3 * skeleton.NUM_JOINTS))
_SCORES: Final = (("score", skeleton.NUM_JOINTS), ("presence", 1))
_HIPS: Final = (skeleton.INDEX["left_hip"], skeleton.INDEX["right_hip"])
_SMALL: Final = 0.02
"""Standard deviation of the first weights: a start close to the mean of all patches."""


class VitPose(nn.Module):
    """Encoder and voting head."""

    centres: Tensor
    """[n, 2], of the patches, in crop widths."""

    def __init__(self, size: VitSize) -> None:
        """Start from random weights."""
        super().__init__()
        self.encoder = Vit(size)
        self.head = nn.Linear(size.width, sum(count for _, count in (*_VOTES, *_SCORES)))
        nn.init.normal_(self.head.weight, std=_SMALL)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("centres", patch_centres(size.grid), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures [batch, 3, 256, 256]."""
        return self.with_attention(image, ())[0]

    def with_attention(
        self, image: Tensor, layers: Sequence[int]
    ) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
        """Predict, and return the attention logits [batch, heads, n, n] of some layers."""
        seen = self.encode(image, layers)
        return self.answer(seen.tokens), seen.attention_logits

    def encode(self, image: Tensor, layers: Sequence[int] = ()) -> VitOutput:
        """Look at pictures [batch, 3, 256, 256]."""
        small = fit_size(image, self.encoder.size.input_px)
        return self.encoder(small, attention_layers=layers)

    def answer(self, tokens: Tensor) -> dict[str, Tensor]:
        """Predict from tokens [batch, n, width]."""
        with exactly(tokens) as exact:
            return self._votes(exact)

    def _votes(self, tokens: Tensor) -> dict[str, Tensor]:
        counts = [count for _, count in (*_VOTES, *_SCORES)]
        heard, offset, metres, score, presence = torch.split(self.head(tokens), counts, dim=-1)
        weight = heard.softmax(1)
        of_joints = weight[..., : skeleton.NUM_JOINTS]
        places = self.centres[:, None] + offset.reshape(*offset.shape[:2], _POINTS, 2)
        points_px = _weighed(weight, places) * INPUT_SIZE_PX - 0.5
        joints_m = _weighed(of_joints, metres.reshape(*offset.shape[:2], -1, 3))
        joints_px, reach_px = torch.split(points_px, [skeleton.NUM_JOINTS, 2], dim=1)
        return {
            "joints_px": _with_pelvis(joints_px),
            "joints_m": _with_pelvis(joints_m) - _pelvis(joints_m),
            "score_logits": (of_joints * score).sum(1),
            "presence_logits": presence.mean(1)[:, 0],
            "reach_px": reach_px,
        }


def patch_centres(grid: int) -> Tensor:
    """Return the centres [grid * grid, 2] of patches in reading order, x and y in 0..1."""
    line = (torch.arange(grid) + 0.5) / grid
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).flatten(0, 1)


def _weighed(weight: Tensor, votes: Tensor) -> Tensor:
    """Average votes [batch, n, points, axes] by weights [batch, n, points]."""
    return torch.einsum("bnp,bnpa->bpa", weight, votes)


def _pelvis(joints: Tensor) -> Tensor:
    """Return the middle of the hips, [batch, 1, axes]."""
    return joints[:, _HIPS, :].mean(1, keepdim=True)


def _with_pelvis(joints: Tensor) -> Tensor:
    """Put the pelvis, which is derived from the hips, in its place."""
    before, after = joints[:, : skeleton.ROOT], joints[:, skeleton.ROOT + 1 :]
    return torch.cat([before, _pelvis(joints), after], dim=1)
