"""Where an eye looks: the point of a picture that a fixation brings to the fovea.

In: a `MaskContext` and the name of a target.  Out: points [batch, 2] (x, y) in pixels.
"""

import math
from difflib import get_close_matches
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose import skeleton
from edge_pose.errors import ConfigError
from train.masking.context import MaskContext

TARGETS: Final = ("centre", "random", "foreground", "joint", *skeleton.JOINTS)
"""`joint` is any joint inside the picture; a joint's name is that one."""

_BLUR: Final = 0.05
"""Of the side: standard deviation of the blur before the foreground's peak is sought, so that the
middle of a body wins over a bright pixel at its edge."""
_PEAK_CELLS: Final = 64
"""The peak is sought on at most so many cells a side; finer would cost more than it tells."""


def fixate(
    at: str, context: MaskContext, batch: int, generator: torch.Generator, *, radius_px: float
) -> Tensor:
    """Choose one point a picture.

    A random one keeps a disc of `radius_px` whole, so that the promised share is visible.  Where a
    picture has no foreground, or no joint inside it, its centre is looked at.
    """
    middle = torch.full((batch, 2), (context.size_px - 1) / 2, device=context.device(generator))
    if at == "centre":
        return middle
    if at == "random":
        low = min(radius_px, (context.size_px - 1) / 2)
        drawn = context.uniform((batch, 2), generator)
        return low + drawn * (context.size_px - 1 - 2 * low)
    if at == "foreground":
        return peak(context.need_foreground("at=foreground"))
    joints_px = context.need_joints(f"at={at}")
    if at != "joint":
        joints_px = joints_px[:, [skeleton.INDEX[at]]]
    inside = ((joints_px > -0.5) & (joints_px < context.size_px - 0.5)).all(2)
    lots = context.uniform((batch, joints_px.shape[1]), generator)
    chosen = torch.where(inside, lots, -1).argmax(1)
    points = joints_px[torch.arange(batch, device=joints_px.device), chosen]
    return torch.where(inside.any(1, keepdim=True), points, middle)


def peak(foreground: Tensor, among: Tensor | None = None) -> Tensor:
    """Find where the blurred soft masks [batch, H, W] are highest; the centre of empty ones.

    `among`, of the same shape, is 1 where the peak may lie; elsewhere it is not sought.
    """
    size = foreground.shape[-1]
    step = max(size // _PEAK_CELLS, 1)
    coarse = functional.avg_pool2d(foreground[:, None], step)
    cells = coarse.shape[-1]
    soft = _gauss(coarse, _BLUR * cells).squeeze(1)
    if among is not None:
        soft = soft * (functional.avg_pool2d(among[:, None], step).squeeze(1) > 1 - 1e-4)
    best = soft.flatten(1).argmax(1)
    points = torch.stack([best % cells, best // cells], 1) * step + (step - 1) / 2
    middle = torch.full_like(points, (size - 1) / 2)
    return torch.where(soft.flatten(1).amax(1, keepdim=True) > 0, points, middle)


def check_target(asker: str, at: str, allowed: tuple[str, ...] = TARGETS) -> None:
    """Refuse a target that nobody knows."""
    if at not in allowed:
        hint = get_close_matches(at, allowed, n=1)
        joints = " or the name of a joint" if skeleton.JOINTS[0] in allowed else ""
        advice = f"did you mean {hint[0]}?" if hint else f"give {', '.join(allowed[:4])}{joints}."
        raise ConfigError(f"{asker} cannot look at={at}; {advice}")


def _gauss(planes: Tensor, sigma: float) -> Tensor:
    """Blur [batch, 1, H, W] with a Gaussian; beyond the edge there is nothing."""
    reach = max(math.ceil(3 * sigma), 1)
    steps = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    rows = functional.conv2d(planes, kernel[None, None, :, None], padding=(reach, 0))
    return functional.conv2d(rows, kernel[None, None, None, :], padding=(0, reach))
