"""Masked image modelling with the convolutional network that ships.

In: filled pictures [batch, 3, 256, 256].  Out: a guess of every 16-pixel patch, [batch, 256, 768].

The decoder reads the last map of each size of the regression tower, coarse to fine (after Lin et
al. 2017, arXiv:1612.03144): from the 2 x 2 places that the pose is read off no pixel could be told,
and from the 8 x 8 alone the layers between would learn nothing.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import weights
from train.mim import MimNet
from train.student import INPUT_SIZE_PX, PoseNet
from train.tflite_graph import TfliteGraph

PATCH_PX: Final = 16
_WIDTH: Final = 96
"""Of the decoder, which is thrown away."""


class StudentMim(MimNet):
    """Stem and tower of the pose network, with a decoder in place of its head."""

    encoder: PoseNet

    def __init__(
        self, start: str, *, train_stem: bool, cache: Path = weights.DEFAULT_CACHE
    ) -> None:
        """Start from published weights.

        Args:
            start: a key of `train.student.STARTS`.
            train_stem: whether the part at high resolution learns too; slow without an accelerator.
            cache: where published weights are kept.

        """
        super().__init__()
        self.patch_px, self.input_px = PATCH_PX, INPUT_SIZE_PX
        self.encoder = PoseNet(start, cache)
        self.encoder.head.requires_grad_(requires_grad=False)
        self.encoder.reach.requires_grad_(requires_grad=False)
        blank = torch.zeros(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX)
        if train_stem:
            _freeze_what_the_tower_does_not_read(self.encoder.stem, blank)
        else:
            self.encoder.stem.requires_grad_(requires_grad=False)
        with torch.no_grad():
            maps = maps_of(self.encoder.tower, self.encoder.stem(blank)[0])
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
        maps = maps_of(self.encoder.tower, self.encoder.stem(seen)[0])
        *finer, coarsest = (level(x) for level, x in zip(self.levels, maps, strict=True))
        x = coarsest
        for level in reversed(finer):
            x = level + functional.interpolate(x, level.shape[-2:], mode="nearest")
        return self.pixels(x).flatten(2).transpose(1, 2)


def maps_of(tower: TfliteGraph, stem_features: Tensor) -> list[Tensor]:
    """Return the tower's last map of each size, [batch, channels, side, side], fine to coarse."""
    values = {tower.source: stem_features}
    last: dict[int, Tensor] = {}
    for step in tower.steps:
        x = tower.layers[step.module](*(values[number] for number in step.inputs))
        values[step.output] = x
        last[x.shape[-1]] = x
    return [last[side] for side in sorted(last, reverse=True)]


def _freeze_what_the_tower_does_not_read(stem: TfliteGraph, image: Tensor) -> None:
    """Leave heat maps alone, which come from the stem too and get no gradient here."""
    values = list(stem.parameters())
    gradients = torch.autograd.grad(stem(image)[0].sum(), values, allow_unused=True)
    for value, gradient in zip(values, gradients, strict=True):
        value.requires_grad_(gradient is not None)
