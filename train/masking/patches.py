"""Masks made of square patches: random ones, such as show people, and tubes through a clip.

In: a `MaskContext`.  Out: soft masks [batch, looks, size, size].  A patch lies wholly in the grid
that starts at the upper left; where the size is no multiple of the patch, the last ones are cut.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from edge_pose.errors import ConfigError
from train.masking.context import MaskContext


@dataclass(frozen=True, slots=True)
class Patches:
    """`patches(hidden, px)`: a share of all patches, drawn evenly.

    FocusMIM's best share is 0.6 with 8 pixels at 96 (arXiv:2404.08526).
    """

    hidden: float = 0.6
    px: int = 16

    def __post_init__(self) -> None:
        """Refuse shares and sizes that no mask has."""
        check_share("patches", self.hidden)
        _check_px("patches", self.px)

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide the patches besides what is hidden already."""
        cells = _cells(context, self.px)
        lots = context.uniform((len(hidden), cells * cells), generator)
        chosen = _smallest(lots, round(self.hidden * cells * cells))
        return torch.maximum(hidden, _enlarge(chosen, context, self.px)[:, None])


@dataclass(frozen=True, slots=True)
class ForegroundPatches:
    """`foreground_patches(hidden, px, background)`: a share of all patches, people first.

    A patch is drawn, without putting it back, with weight w = background + (1 - background) f, f
    being its share of foreground: the weight that the loss gives it, too.  Drawn by the exponential
    races of Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003.
    """

    hidden: float = 0.6
    px: int = 16
    background: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares and sizes that no mask has."""
        check_share("foreground_patches", self.hidden)
        _check_px("foreground_patches", self.px)
        if not 0 < self.background <= 1:
            raise ConfigError(
                f"foreground_patches has background={self.background:g}; give a weight above 0, "
                "up to 1, for patches without people."
            )

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide the patches besides what is hidden already."""
        cells = _cells(context, self.px)
        people = context.need_foreground("foreground_patches")
        rim = cells * self.px - context.size_px
        share = functional.avg_pool2d(
            functional.pad(people[:, None], (0, rim, 0, rim), mode="replicate"), self.px
        ).flatten(1)
        weight = self.background + (1 - self.background) * share
        lots = -torch.log1p(-context.uniform((len(hidden), cells * cells), generator)) / weight
        chosen = _smallest(lots, round(self.hidden * cells * cells))
        return torch.maximum(hidden, _enlarge(chosen, context, self.px)[:, None])


@dataclass(frozen=True, slots=True)
class Tubes:
    """`tubes(hidden, px, span)`: the same patches through `span` frames of a clip, then others.

    A span of 0 is the whole clip (VideoMAE, arXiv:2203.12602); 1 draws every frame anew
    (arXiv:2205.09113).
    """

    hidden: float = 0.9
    px: int = 16
    span: int = 0

    def __post_init__(self) -> None:
        """Refuse shares, sizes and spans that no mask has."""
        check_share("tubes", self.hidden)
        _check_px("tubes", self.px)
        if self.span < 0:
            raise ConfigError(f"tubes has span={self.span}; give frames, or 0 for the whole clip.")

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide the patches, frame by frame, besides what is hidden already."""
        if hidden.shape[1] not in (1, context.frames):
            raise ConfigError(
                f"tubes runs over {context.frames} frames, and another part of the recipe looks "
                f"{hidden.shape[1]} times; use one of the two."
            )
        cells = _cells(context, self.px)
        span = self.span or context.frames
        drawn = -(-context.frames // span)
        lots = context.uniform((len(hidden) * drawn, cells * cells), generator)
        chosen = _smallest(lots, round(self.hidden * cells * cells))
        patches = _enlarge(chosen, context, self.px)
        patches = patches.reshape(len(hidden), drawn, *patches.shape[1:])
        frames = patches.repeat_interleave(span, dim=1)[:, : context.frames]
        return torch.maximum(hidden, frames)


def check_share(asker: str, share: float) -> None:
    """Refuse what is no share strictly between nothing and everything."""
    if not 0 < share < 1:
        raise ConfigError(f"{asker}({share:g}) is no share of a picture; give one between 0 and 1.")


def _check_px(asker: str, px: int) -> None:
    if px < 1:
        raise ConfigError(f"{asker} has px={px}; give the side of a patch in pixels, from 1.")


def _cells(context: MaskContext, px: int) -> int:
    return -(-context.size_px // px)


def _smallest(lots: Tensor, count: int) -> Tensor:
    """Mark the `count` smallest of each row."""
    order = lots.argsort(dim=1)
    return torch.zeros_like(lots).scatter_(1, order[:, :count], 1.0)


def _enlarge(chosen: Tensor, context: MaskContext, px: int) -> Tensor:
    """From one number a patch, [batch, cells·cells], to one a pixel, [batch, size, size]."""
    cells = _cells(context, px)
    grid = chosen.reshape(-1, cells, cells)
    pixels = grid.repeat_interleave(px, dim=1).repeat_interleave(px, dim=2)
    return pixels[:, : context.size_px, : context.size_px]
