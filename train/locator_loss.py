"""What the locator is punished for: points that miss one person's body, and scores elsewhere.

In: predictions and a batch of first looks, each about the box of one person.  Out: `Terms` of focal
loss (Lin et al. 2017, arXiv:1708.02002) over anchors and of distances, in bodies, at the anchors
near the head.

Whoever else stands in the square is not the one who was asked for and counts as nobody: so the
network learns whose box it is, which no rule about places in boxes tells in a crowd.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose.skeleton import INDEX

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"score": 1.0, "points": 3.0})

_HEAD: Final = [INDEX["nose"], INDEX["neck"]]
"""An anchor answers for whose throat is near it, about where the published ones do."""
_SHOULDERS: Final = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_NEAR: Final = 0.1
"""Of the body's reach: anchors that answer for it; to twice as far they are in doubt."""
_NEAR_CELLS: Final = 0.75
"""Of a cell, at least: more than half of its diagonal, so that in each grid one answers."""
_FOCUS: Final = 2.0
_BALANCE: Final = 0.4


def locator_terms(
    predicted: Mapping[str, Tensor], batch: Mapping[str, Tensor], anchors_px: Tensor
) -> dict[str, Tensor]:
    """Compare with what is known of the person whose box it is.

    Args:
        predicted: `points_px` [batch, anchors, 3, 2] and `score_logits` [batch, anchors].
        batch: of `train.pose_data`.
        anchors_px: x, y and the size of the cell [anchors, 3].

    """
    side_px = batch["input"].shape[-1]
    hips_px, top_px = batch["reach_px"].unbind(1)
    reach_px = (top_px - hips_px).norm(dim=-1).clamp_min(1.0)
    joints_px, weight = batch["joints_px"], batch["weight_2d"]
    throat_px = joints_px[:, _HEAD].mean(1).clamp(0, side_px - 1)
    away_px = (throat_px[:, None] - anchors_px[:, :2]).norm(dim=-1)
    near_px = torch.maximum(_NEAR * reach_px[:, None], _NEAR_CELLS * anchors_px[:, 2])
    there = batch["presence"][:, None] > 0
    answering = there & (away_px <= near_px)
    judged = answering | ~there | (away_px > 2 * near_px)
    shoulders_px = joints_px[:, _SHOULDERS].mean(1)
    truth_px = torch.stack([hips_px, top_px, shoulders_px], 1)
    known = torch.ones_like(truth_px[..., 0])
    known[:, 2] = weight[:, _SHOULDERS].amin(1)
    off_px = (predicted["points_px"] - truth_px[:, None]).norm(dim=-1)
    off = (off_px * known[:, None]).sum(-1) / reach_px[:, None]
    answers = answering.float()
    share = answers / answers.sum(1, keepdim=True).clamp_min(1.0)
    return {
        "score": (_focal(predicted["score_logits"], answers) * judged).sum()
        / answers.sum().clamp_min(1.0),
        "points": (off * share).sum() / there.sum().clamp_min(1),
    }


def _focal(logits: Tensor, truth: Tensor) -> Tensor:
    probability = logits.sigmoid()
    wrong = torch.where(truth > 0, 1 - probability, probability)
    balance = torch.where(truth > 0, 1 - _BALANCE, _BALANCE)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return balance * wrong**_FOCUS * entropy
