"""What a network sees of a partly hidden picture: the hidden part is filled, not cut out.

In: pictures [batch, 3, H, W] in 0..1 and what is hidden of them [batch, H, W] in 0..1.  Out:
pictures of the same shape.  Opaque masks show the mean colour of the *visible* pixels, so that
nothing of what is hidden leaks; transparent ones show a blurred picture, the coarser the more is
hidden.  Between the two, opacity mixes linearly.

FocusMIM (arXiv:2404.08526) finds opacity decisive.  Its published code blurs only what it then
overwrites, and takes the mean over hidden pixels too; neither is so here.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

LEVELS: Final = 6
"""Of the pyramid of resolutions: the picture itself and five coarser ones, as in FocusMIM."""
COARSEST_PX: Final = 3
"""Side of the coarsest level.  At FocusMIM's 96 pixels every level halves the one before; larger
pictures are blurred as much relative to their side, which is what hides a limb.
"""
_GREY: Final = 0.5
"""Of a picture of which nothing is visible."""


def fill(image: Tensor, hidden: Tensor, opacity: float) -> Tensor:
    """Fill what is hidden.

    Args:
        image: [batch, 3, H, W] in 0..1.
        hidden: [batch, H, W] in 0..1, 1 = hidden.
        opacity: 1 for the mean colour of the visible pixels, 0 for the blurred picture.

    """
    share = hidden.unsqueeze(1)
    opaque = torch.lerp(image, visible_mean(image, hidden)[:, :, None, None], share)
    if opacity == 1:
        return opaque
    return torch.lerp(blurred(image, hidden), opaque, opacity)


def visible_mean(image: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean colour [batch, 3] of what is visible; grey where nothing is."""
    visible = 1 - hidden.unsqueeze(1)
    weight = visible.sum((2, 3))
    mean = (image * visible).sum((2, 3)) / weight.clamp(min=1e-6)
    return torch.where(weight > 0.5, mean, torch.full_like(mean, _GREY))


def blurred(image: Tensor, hidden: Tensor) -> Tensor:
    """Blur every pixel by as many levels as it is hidden, between levels linearly."""
    height, width = image.shape[-2:]
    level = (LEVELS - 1) * hidden.unsqueeze(1)
    seen = torch.zeros_like(image)
    for number in range(LEVELS):
        share = (1 - (level - number).abs()).clamp(min=0)
        if number == 0:
            seen = seen + share * image
        elif bool(share.any()):
            shrink = (max(height, width) / COARSEST_PX) ** (-number / (LEVELS - 1))
            size = (max(round(height * shrink), 1), max(round(width * shrink), 1))
            coarse = functional.interpolate(image, size=size, mode="area")
            seen = seen + share * functional.interpolate(
                coarse, size=(height, width), mode="bilinear", align_corners=False
            )
    return seen
