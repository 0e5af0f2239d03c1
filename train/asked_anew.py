"""Answers as they would be to crops moved a little: mirrored, turned, scaled, shifted.

In: rows of `train.asked.Answers`, as tensors.  Out: the same rows, answers and truths moved alike.
A network says about a crop that was moved a little nearly what it said before, moved; so a crop
that was asked about once stands for many, and a lifter cannot learn its rows by heart.
"""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from train.disturb import sides_swapped
from train.student import INPUT_SIZE_PX

_PLACES: Final = ("joints_px", "true_px")
_METRES: Final = ("joints_m", "true_m")
_MIDDLE_PX: Final = (INPUT_SIZE_PX - 1) / 2
_TURN_RAD: Final = math.radians(8)
_SCALE: Final = 0.05
"""Standard deviation of the logarithm of the crop's side."""
_SHIFT_PX: Final = 3.0
"""So little that the ray through the middle stays the same within a degree."""


def moved_rows(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mirror half of the rows, and turn, scale and shift each by its own random amount."""
    count, where = len(rows["true_px"]), rows["true_px"].device
    mirrored = torch.rand(count, device=where) < 0.5
    angle = _TURN_RAD * torch.randn(count, device=where)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    scale = torch.exp(_SCALE * torch.randn(count, 1, 1, device=where))
    shift_px = _SHIFT_PX * torch.randn(count, 1, 2, device=where)
    moved = {name: sides_swapped(values, mirrored) for name, values in rows.items()}
    for name in _PLACES:
        away = _flipped(moved[name] - _MIDDLE_PX, mirrored)
        moved[name] = away @ turn * scale + _MIDDLE_PX + shift_px
    for name in _METRES:
        metres = _flipped(moved[name], mirrored)
        moved[name] = torch.cat([metres[..., :2] @ turn, metres[..., 2:]], -1)
    return moved


def _flipped(values: Tensor, mirrored: Tensor) -> Tensor:
    """Change the sign of x, where that is wanted."""
    sign = torch.where(mirrored, -1.0, 1.0)[:, None]
    return torch.cat([values[..., :1] * sign[..., None], values[..., 1:]], -1)
