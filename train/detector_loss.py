"""What the detector is punished for: missed and invented people, and boxes that do not fit.

In: predictions and a batch of boxes.  Out: `Terms` of focal loss (Lin et al. 2017,
arXiv:1708.02002) over all anchors that are judged and smooth L1 over the encodings of the matched
ones (Liu et al. 2016, arXiv:1512.02325).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from train.detector import encode_boxes
from train.ssd import INPUT_PX

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"score": 1.0, "box": 0.3})

_SAME: Final = 0.5
_OTHER: Final = 0.4
_FOCUS: Final = 2.0
_BALANCE: Final = 0.4


def detector_terms(
    predicted: Mapping[str, Tensor], batch: Mapping[str, Tensor], anchors: Tensor
) -> dict[str, Tensor]:
    """Match anchors to people and compare; anchors in doubt weigh nothing."""
    low, high = anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2
    anchor_boxes = torch.cat([low.flip(-1), high.flip(-1)], dim=-1) * INPUT_PX - 0.5
    people, unsure = batch["people_px"], batch["unsure_px"]
    overlap = _iou(anchor_boxes, people)
    best, which = overlap.max(dim=2)
    there = (people[..., 2] > people[..., 0])[:, None, :]
    best_of_person = torch.where(there, overlap, -1.0).amax(dim=1, keepdim=True)
    claimed = (there & (overlap >= best_of_person - 1e-6) & (overlap > 0)).any(dim=2)
    which = torch.where(
        claimed,
        torch.where(there, overlap - (overlap < best_of_person - 1e-6) * 2, -9).argmax(2),
        which,
    )
    positive = (best >= _SAME) | claimed
    doubtful = (_iou(anchor_boxes, unsure).amax(dim=2) >= _OTHER) | (best >= _OTHER)
    judged = positive | ~doubtful
    logits = predicted["score_logits"]
    truth = positive.float()
    probability = logits.sigmoid()
    miss = torch.where(positive, 1 - probability, probability)
    balance = torch.where(positive, 1 - _BALANCE, _BALANCE)
    focal = (
        balance
        * miss**_FOCUS
        * functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    )
    count = positive.sum().clamp_min(1)
    goal = encode_boxes(
        torch.gather(people, 1, which[..., None].expand(-1, -1, 4)).clamp(0, INPUT_PX - 1), anchors
    )
    fit = functional.smooth_l1_loss(predicted["encodings"], goal, reduction="none").sum(-1)
    return {
        "score": (focal * judged).sum() / count,
        "box": torch.where(positive, fit, 0.0).sum() / count,
    }


def _iou(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Overlap of anchors [anchors, 4] with boxes [batch, boxes, 4] as [batch, anchors, boxes]."""
    a, b = anchors[None, :, None, :], boxes[:, None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp_min(0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return common / (areas - common).clamp_min(1e-6)
