"""Learning from another network's answers: steadier answers, labels made of them, and the terms.

In: answers of pose networks (dicts of tensors, see `train.student`).  Out: an answer averaged over
a picture and its mirror image; a batch's labels as a teacher would write them; named loss terms.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose.skeleton import MIRROR
from train.pose_loss import WEIGHTS, Terms
from train.student import INPUT_SIZE_PX

Answer = Mapping[str, Tensor]

SURE: Final = 0.5
"""A teacher's joint, or person, below this probability teaches nothing."""

AGREEMENT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {name: WEIGHTS[name] for name in ("px", "metres", "reach", "score", "presence")}
)


def mirrored_answer(
    network: Callable[[Tensor], dict[str, Tensor]], image: Tensor, flipped: Tensor
) -> dict[str, Tensor]:
    """Average the answers for pictures [batch, 3, 256, 256] and for their mirror images."""
    return both_ways(network(image), network(flipped))


def both_ways(plain: Answer, flipped: Answer) -> dict[str, Tensor]:
    """Average the answer for a picture and the one for its mirror image."""
    turned = unmirrored(flipped)
    return {name: (value + turned[name]) / 2 for name, value in plain.items()}


def unmirrored(answer: Answer) -> dict[str, Tensor]:
    """Turn the answer for a mirrored picture into one for the picture itself.

    x becomes 255 - x in pixels and -x in metres, and joints swap their names; the two points of the
    reach have no sides to swap.
    """
    order = list(MIRROR)
    return {
        "joints_px": _across(answer["joints_px"][:, order]),
        "joints_m": answer["joints_m"][:, order] * torch.tensor([-1.0, 1.0, 1.0]).to(_like(answer)),
        "score_logits": answer["score_logits"][:, order],
        "presence_logits": answer["presence_logits"],
        "reach_px": _across(answer["reach_px"]),
    }


def labels_from(answer: Answer, *, least: float = SURE) -> dict[str, Tensor]:
    """Write a teacher's answer as the labels of a batch: 2D alone, weighed by how sure it is."""
    score, there = answer["score_logits"].sigmoid(), answer["presence_logits"].sigmoid()
    presence = (there >= least).float()
    return {
        "joints_px": answer["joints_px"],
        "weight_2d": torch.where(score >= least, score, 0.0) * presence[:, None],
        "joints_m": torch.zeros_like(answer["joints_m"]),
        "reach_px": answer["reach_px"],
        "has_3d": torch.zeros_like(presence, dtype=torch.bool),
        "visible": score >= least,
        "presence": presence,
    }


def agreement_terms(answer: Answer, teacher: Answer) -> Terms:
    """Compare an answer with a teacher's; what the teacher is unsure of weighs nothing.

    Positions are compared by absolute differences, in crop widths and metres as in
    `train.pose_loss`; probabilities by their cross entropy, which at best is the teacher's own.
    """
    told = labels_from(teacher)
    weight, presence = told["weight_2d"], told["presence"]
    away_px = (answer["joints_px"] - teacher["joints_px"]).abs().sum(-1)
    away_m = (answer["joints_m"] - teacher["joints_m"]).abs().sum(-1)
    reach_px = (answer["reach_px"] - teacher["reach_px"]).abs().sum((1, 2))
    return {
        "px": _mean(away_px / INPUT_SIZE_PX, weight),
        "metres": _mean(away_m, weight),
        "reach": _mean(reach_px / INPUT_SIZE_PX, presence),
        "score": functional.binary_cross_entropy_with_logits(
            answer["score_logits"], teacher["score_logits"].sigmoid()
        ),
        "presence": functional.binary_cross_entropy_with_logits(
            answer["presence_logits"], teacher["presence_logits"].sigmoid()
        ),
    }


def _across(points_px: Tensor) -> Tensor:
    x, y = points_px.unbind(-1)
    return torch.stack([INPUT_SIZE_PX - 1 - x, y], -1)


def _like(answer: Answer) -> Tensor:
    return answer["joints_m"]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)
