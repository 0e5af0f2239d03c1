"""What the pose network is punished for, term by term.

In: predictions and a batch.  Out: `Terms`, a dict of scalars; `total` sums them with weights of the
same names.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose import skeleton
from train.student import INPUT_SIZE_PX

Terms = dict[str, Tensor]

SCORE_RADIUS_PX: Final = 0.05 * INPUT_SIZE_PX
"""A score is the probability that a joint lies within 5 % of the crop's side of its prediction."""

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "px": 10.0,
        "metres": 5.0,
        "lift": 5.0,
        "symmetry": 1.0,
        "score": 0.1,
        "presence": 0.1,
        "reach": 3.0,
    }
)

HELD_WEIGHT: Final = 3.0
"""Of `held_m`, an opinion: less than truth has."""

_LIMBS: Final = (
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("hip", "knee"),
    ("knee", "ankle"),
)


def pose_terms(predicted: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Terms:
    """Compare predictions with what is known; unknown things weigh nothing."""
    truth_px, weight = batch["joints_px"], batch["weight_2d"]
    offset_px = predicted["joints_px"] - truth_px
    rendered = batch["has_3d"]
    real = ~rendered & (batch["presence"] > 0)
    away_m = (predicted["joints_m"] - batch["joints_m"]).abs().sum(-1)
    found = (offset_px.detach().norm(dim=-1) < SCORE_RADIUS_PX).float()
    judged = torch.where(batch["presence"][:, None] > 0, (weight > 0).float(), 1.0)
    score_loss = functional.binary_cross_entropy_with_logits(
        predicted["score_logits"], found * batch["presence"][:, None], reduction="none"
    )
    reach_off_px = (predicted["reach_px"] - batch["reach_px"]).abs().sum((1, 2))
    return {
        "reach": _mean(reach_off_px / INPUT_SIZE_PX, (batch["presence"] > 0).float()),
        "px": _mean(offset_px.abs().sum(-1) / INPUT_SIZE_PX, weight),
        "metres": _mean(away_m, rendered[:, None].expand_as(away_m).float()),
        "lift": lift_gap(predicted["joints_m"], truth_px, weight * real[:, None]),
        "symmetry": asymmetry_m(predicted["joints_m"], real.float()),
        "score": _mean(score_loss, judged),
        "presence": functional.binary_cross_entropy_with_logits(
            predicted["presence_logits"], batch["presence"]
        ),
    }


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float] = WEIGHTS) -> Tensor:
    """Sum terms by their weights; a term without a weight is a bug, not a zero."""
    if terms.keys() != weights.keys():
        raise KeyError(f"terms {sorted(terms)} and weights {sorted(weights)} must match")
    return torch.stack([weights[name] * terms[name] for name in sorted(terms)]).sum()


def held_m(predicted: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
    """How far real people's 3D is from what was told of them: an opinion, as `train.hold` has it.

    Keeps on real pictures what a network knew while it learns from rendered ones (learning without
    forgetting, Li and Hoiem 2016, arXiv:1606.09282).
    """
    real = ~batch["has_3d"] & (batch["presence"] > 0)
    away_m = (predicted["joints_m"] - batch["joints_m"]).abs().sum(-1)
    return _mean(away_m, real[:, None].expand_as(away_m).float())


def lift_gap(joints_m: Tensor, joints_px: Tensor, weight: Tensor) -> Tensor:
    """How far 3D joints, seen from the front, are from 2D labels, in crop widths.

    A scaled-orthographic camera is fitted to each person by weighted least squares: for centred
    points the best scale is <p, u> / <p, p>.  So 2D labels shape the x and y of the 3D joints
    without any 3D label.
    """
    share = weight / weight.sum(1, keepdim=True).clamp_min(1e-6)
    flat_m = joints_m[..., :2]
    flat_m = flat_m - (share[..., None] * flat_m).sum(1, keepdim=True)
    centred_px = joints_px - (share[..., None] * joints_px).sum(1, keepdim=True)
    spread = (share[..., None] * flat_m**2).sum((1, 2))
    scale = (share[..., None] * flat_m * centred_px).sum((1, 2)) / spread.clamp_min(1e-4)
    gap_px = (scale.clamp_min(0)[:, None, None] * flat_m - centred_px).abs().sum(-1)
    return _mean(gap_px / INPUT_SIZE_PX, weight)


def asymmetry_m(joints_m: Tensor, weight: Tensor) -> Tensor:
    """Return the mean difference between the lengths of left and right limbs, in metres."""
    gaps = [
        (_length(joints_m, "left", limb) - _length(joints_m, "right", limb)).abs()
        for limb in _LIMBS
    ]
    return _mean(torch.stack(gaps, 1), weight[:, None].expand(-1, len(gaps)))


def _length(joints_m: Tensor, side: str, limb: tuple[str, str]) -> Tensor:
    near, far = (skeleton.INDEX[f"{side}_{end}"] for end in limb)
    return (joints_m[:, near] - joints_m[:, far]).norm(dim=-1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)
