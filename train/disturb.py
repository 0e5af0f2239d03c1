"""Crops disturbed where the network is: many at once, each from a picture with room about it.

In: a block of wide crops as `train.pool` keeps them: `image` in bytes, half as wide again as the
network looks, and labels in pixels of the square in its middle.  Out: a batch as
`train.pose_data.collate` makes it, pictures in 0..1.  What is disturbed, and how far, is that of
`train.pose_augment`, which does it one crop at a time on the CPU.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Generator, Tensor
from torch.nn import functional

from edge_pose import skeleton
from train.boards_at_once import hidden
from train.pose_augment import Augmentation
from train.stream import Batch
from train.student import INPUT_SIZE_PX

WIDE_PX: Final = INPUT_SIZE_PX * 3 // 2
"""Side of a picture with room about it."""

_MIDDLE_PX: Final = (INPUT_SIZE_PX - 1) / 2
_GREY: Final = (0.299, 0.587, 0.114)
_BLUR_TAPS: Final = 9


def disturbed(wide: Mapping[str, Tensor], augmentation: Augmentation, dice: Generator) -> Batch:
    """Cut a crop out of each wide one, shifted, scaled, turned, mirrored, lit and covered."""
    moved = _moved(wide, augmentation, dice)
    image = moved.pop("image")
    if augmentation.light > 0:
        image = _lit(image, augmentation.light, dice)
    image, visible = hidden(image, moved["joints_px"], moved["visible"], augmentation.cover, dice)
    return {**moved, "input": image.clamp(0, 1), "visible": visible}


def _moved(
    wide: Mapping[str, Tensor], augmentation: Augmentation, dice: Generator
) -> dict[str, Tensor]:
    """Move the square; labels follow, also the axes in which metres are told."""
    crops, where = len(wide["image"]), wide["image"].device

    def normal(*shape: int) -> Tensor:
        return torch.randn(crops, *shape, generator=dice, device=where)

    def happens(share: float) -> Tensor:
        return torch.rand(crops, generator=dice, device=where) < share

    shift_px = augmentation.shift * INPUT_SIZE_PX * normal(2)
    larger = torch.exp(augmentation.scale * normal())[:, None, None]
    turn = augmentation.turn_rad * normal() * happens(0.5)
    mirrored = happens(0.5) if augmentation.mirror else torch.zeros_like(turn, dtype=torch.bool)
    cos, sin = turn.cos(), turn.sin()
    flip = torch.where(mirrored, -1.0, 1.0)
    # Columns: where one step right and one step down in the crop lead in the picture.
    wide_from_crop = torch.stack(
        [torch.stack([cos * flip, sin * flip], -1), torch.stack([-sin, cos], -1)], -1
    )
    theta = torch.cat(
        [
            wide_from_crop * larger * (INPUT_SIZE_PX / WIDE_PX),
            (shift_px / (WIDE_PX / 2))[..., None],
        ],
        -1,
    )
    grid = functional.affine_grid(
        theta, [crops, 3, INPUT_SIZE_PX, INPUT_SIZE_PX], align_corners=False
    )
    image = functional.grid_sample(
        wide["image"].float() / 255, grid, padding_mode="border", align_corners=False
    )

    def follow(points_px: Tensor) -> Tensor:
        away = points_px - _MIDDLE_PX - shift_px[:, None]
        return away @ wide_from_crop / larger + _MIDDLE_PX

    joints_m = wide["joints_m"] @ _to_ray(shift_px, wide["focal_px"]).transpose(1, 2)
    return {
        **wide,
        "image": image,
        "joints_px": sides_swapped(follow(wide["joints_px"]), mirrored),
        "reach_px": follow(wide["reach_px"]),
        "joints_m": sides_swapped(
            torch.cat([joints_m[..., :2] @ wide_from_crop, joints_m[..., 2:]], -1), mirrored
        ),
        "weight_2d": sides_swapped(wide["weight_2d"], mirrored),
        "visible": sides_swapped(wide["visible"], mirrored),
    }


def sides_swapped(values: Tensor, mirrored: Tensor) -> Tensor:
    """Give left joints the values of right ones and the other way about, in mirrored crops.

    Args:
        values: [crops, joints, …].
        mirrored: [crops], whether that crop was mirrored.

    """
    other_side = values.index_select(1, torch.tensor(skeleton.MIRROR, device=values.device))
    return torch.where(mirrored.view(-1, *(1,) * (values.dim() - 1)), other_side, values)


def _to_ray(shift_px: Tensor, focal_px: Tensor) -> Tensor:
    """Return the smallest rotations that take rays this far beside the axis to it, [crops, 3, 3].

    As `train.pose_augment.ray_from_camera`; the focal length is infinite where nobody knows it.
    """
    ray = torch.cat([shift_px / focal_px[:, None], torch.ones_like(shift_px[:, :1])], 1)
    x, y, z = functional.normalize(ray, dim=1).unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, zero, -x, zero, zero, -y, x, y, zero], 1).view(-1, 3, 3)
    return torch.eye(3, device=ray.device) + skew + skew @ skew / (1 + z)[:, None, None]


def _lit(image: Tensor, strength: float, dice: Generator) -> Tensor:
    """Change exposure, contrast, colour, sharpness and noise as cameras and halls do."""
    crops, where = len(image), image.device

    def normal(channels: int = 1) -> Tensor:
        return torch.randn(crops, channels, 1, 1, generator=dice, device=where)

    def chosen(share: float) -> Tensor:
        return (torch.rand(crops, generator=dice, device=where) < share).nonzero()[:, 0]

    x = image.clamp_min(0) ** torch.exp(0.3 * strength * normal())
    x = (x - 0.5) * torch.exp(0.2 * strength * normal()) + 0.5 + 0.08 * strength * normal()
    x = (x * (1 + 0.07 * strength * normal(3))).clamp(0, 1)
    saturation = torch.exp(0.3 * strength * normal())
    saturation[chosen(0.08)] = 0
    grey = (x * torch.tensor(_GREY, device=where).view(1, 3, 1, 1)).sum(1, keepdim=True)
    x = (grey + saturation * (x - grey)).clamp(0, 1)
    soft = chosen(0.25 * strength)
    x[soft] = _blurred(x[soft], dice)
    noisy = chosen(0.3)
    steps = torch.rand(len(noisy), 1, 1, 1, generator=dice, device=where) * 9 + 1
    x[noisy] += torch.randn(x[noisy].shape, generator=dice, device=where) * steps / 255
    coarse = chosen(0.15 * strength)
    size = int(torch.randint(80, 180, (1,), generator=dice, device=where))
    small = functional.interpolate(x[coarse], (size, size), mode="area")
    x[coarse] = functional.interpolate(small, image.shape[2:], mode="bilinear")
    return x


def _blurred(image: Tensor, dice: Generator) -> Tensor:
    """Blur each picture by a Gaussian of its own."""
    pictures, channels, height, width = image.shape
    if not pictures:
        return image
    deviation = 0.4 + 1.2 * torch.rand(pictures, 1, generator=dice, device=image.device)
    at = torch.arange(_BLUR_TAPS, device=image.device) - _BLUR_TAPS // 2
    taps = torch.exp(-(at**2) / (2 * deviation**2))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat, edge = image.reshape(1, -1, height, width), _BLUR_TAPS // 2
    for kernel, sides in (
        (taps[:, None, :, None], (0, 0, edge, edge)),
        (taps[:, None, None, :], (edge, edge, 0, 0)),
    ):
        padded = functional.pad(flat, sides, mode="replicate")
        flat = functional.conv2d(padded, kernel, groups=len(kernel))
    return flat.view_as(image)
