"""Masked image modelling with the convolutional network that ships.

In: filled pictures [batch, 3, 256, 256].  Out: a guess of every 16-pixel patch, [batch, 256, 768].

The decoder reads the last map of each size of the regression tower, coarse to fine (after Lin et
al. 2017, arXiv:1612.03144): from the 2 x 2 places that the pose is read off no pixel could be told,
and from the 8 x 8 alone the layers between would learn nothing.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.mim import MimNet
from train.student import INPUT_SIZE_PX, PoseNet, Regressor, on_frozen_stem

PATCH_PX: Final = 16
_WIDTH: Final = 96
"""Of the decoder, which is thrown away."""


class StudentMim(MimNet):
    """Stem and tower of the pose network, with a decoder in place of its head."""

    encoder: Regressor

    def __init__(self, network: PoseNet, *, train_stem: bool) -> None:
        """Begin with a pose network.

        Args:
            network: whose stem and tower learn.
            train_stem: whether the part at high resolution learns too; slow without an accelerator.

        """
        super().__init__()
        self.patch_px, self.input_px = PATCH_PX, INPUT_SIZE_PX
        self.encoder = network if train_stem else on_frozen_stem(network)
        self.encoder.head.requires_grad_(requires_grad=False)
        self.encoder.reach.requires_grad_(requires_grad=False)
        where = network.head.weight.device
        blank = torch.zeros(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX, device=where)
        if train_stem:
            _freeze_what_the_tower_does_not_read(self.encoder.stem, blank)
        with torch.no_grad():
            maps = self.encoder.maps(blank)
        self.levels = nn.ModuleList(nn.Conv2d(level.shape[1], _WIDTH, 1) for level in maps)
        fine, coarse = INPUT_SIZE_PX // PATCH_PX, maps[0].shape[-1]
        self.pixels = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(_WIDTH, _WIDTH, fine // coarse, stride=fine // coarse),
            nn.GELU(),
            nn.Conv2d(_WIDTH, 3 * PATCH_PX**2, 1),
        )

    def forward(self, seen: Tensor, hidden: Tensor) -> Tensor:
        """Guess the patches [batch, 256, 768] of filled pictures [batch, 3, 256, 256]."""
        del hidden  # what was filled is to be found out
        maps = self.encoder.maps(seen)
        *finer, coarsest = (level(x) for level, x in zip(self.levels, maps, strict=True))
        x = coarsest
        for level in reversed(finer):
            x = level + functional.interpolate(x, level.shape[-2:], mode="nearest")
        return self.pixels(x).flatten(2).transpose(1, 2)


def _freeze_what_the_tower_does_not_read(stem: nn.Module, image: Tensor) -> None:
    """Leave heat maps alone, which come from the stem too and get no gradient here."""
    values = list(stem.parameters())
    gradients = torch.autograd.grad(stem(image)[0].sum(), values, allow_unused=True)
    for value, gradient in zip(values, gradients, strict=True):
        value.requires_grad_(gradient is not None)
