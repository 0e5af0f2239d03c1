"""Random crops that carry picture, foreground and joints along: what periphery masks need.

In: `Views`, a batch of pictures with what is known about them.  Out: views of the same size that
show a random part of each picture, enlarged.

Areas and shapes are those of Szegedy et al. 2015 (arXiv:1409.4842), as FocusMIM takes them.  Where
a disc about the centre is all that is ever visible, the crop decides what lies in it: 68.0 %
against 56.6 % without crops on STL-10 (arXiv:2404.08526).
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose.errors import ConfigError

WIDEST: Final = 4 / 3
"""Width over height of the widest crop; the narrowest is its inverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Pictures of one batch with what is known about them."""

    image: Tensor
    """[batch, 3, H, W] in 0..1."""
    foreground: Tensor | None = None
    """[batch, H, W] in 0..1."""
    joints_px: Tensor | None = None
    """[batch, joints, 2]."""


@dataclass(frozen=True, slots=True)
class Crop:
    """`crop(least, most)`: how much of a picture's area a random crop shows."""

    least: float = 0.08
    most: float = 1.0

    def __post_init__(self) -> None:
        """Refuse areas that no crop has."""
        if not 0 < self.least <= self.most <= 1:
            raise ConfigError(
                f"crop({self.least:g}, {self.most:g}) asks for impossible areas; "
                "give 0 < least <= most <= 1."
            )

    def apply(self, views: Views, generator: torch.Generator) -> Views:
        """Cut a part of each picture and enlarge it to the size of the whole."""
        batch, _, height, width = views.image.shape
        drawn = torch.rand((4, batch), generator=generator, device=generator.device)
        drawn = drawn.to(views.image.device)
        area = self.least + (self.most - self.least) * drawn[0]
        shape = torch.exp((2 * drawn[1] - 1) * math.log(WIDEST))
        scale = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], 1).clamp(max=1)
        low = drawn[2:].T * (1 - scale)
        size = torch.tensor([width, height], device=views.image.device)
        # Both in fractions of the picture, whose first pixel begins at 0: whole = low + scale·part.
        whole = torch.zeros(batch, 2, 3, device=views.image.device)
        whole[:, [0, 1], [0, 1]] = scale
        whole[:, :, 2] = 2 * low + scale - 1
        grid = functional.affine_grid(whole, [batch, 1, height, width], align_corners=False)
        joints_px = views.joints_px
        if joints_px is not None:
            part = ((joints_px + 0.5) / size - low[:, None]) / scale[:, None]
            joints_px = part * size - 0.5
        return Views(
            image=_sample(views.image, grid),
            foreground=(
                _sample(views.foreground.unsqueeze(1), grid).squeeze(1)
                if views.foreground is not None
                else None
            ),
            joints_px=joints_px,
        )


def _sample(pictures: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
