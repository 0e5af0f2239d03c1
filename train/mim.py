"""Masked image modelling with a transformer, and the loss that every network of this kind has.

In: pictures of which a part is hidden.  Out: a guess of every patch's pixels, [batch, n, p * p * 3]
with patches in reading order, and the loss on what was hidden: `reconstruction_terms`.

Hidden pixels are filled (SimMIM, Xie et al. 2022, arXiv:2111.09886), so that masks of any shape and
opacity work.  Opaque masks that follow the patches allow the cheaper way of He et al. 2022
(arXiv:2111.06377): only what is visible is encoded.  The weight of the foreground follows the idea
of Park et al. 2025 (arXiv:2501.08408); they published no code, so the formula is ours.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.vit import Block, Vit, VitSize, sine_positions, start_small

Sight = Literal["filled", "visible"]
"""What the encoder is given: all patches, the hidden ones filled, or the visible ones alone."""
Target = Literal["normalised", "raw"]
"""What is guessed: pixels less their patch's mean over its spread, or pixels as they are."""

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"reconstruction": 1.0})

_NOISE: Final = 2 / 255
"""Spread of a patch that shows nothing: rounding and a camera's noise are no pattern to learn."""
_VISIBLE: Final = 1e-3
"""A patch of which less is hidden counts as visible."""
_HEAD: Final = 32
"""Width of one attention head of the decoder."""


class MimNet(nn.Module, ABC):
    """A network that guesses hidden pixels; what it learned is in its `encoder`."""

    encoder: nn.Module
    patch_px: int
    input_px: int

    @abstractmethod
    def forward(self, seen: Tensor, hidden: Tensor) -> Tensor:
        """Guess patches [batch, n, p * p * 3] of filled pictures [batch, 3, S, S].

        `hidden` [batch, S, S] says which part was filled, 1 = hidden.
        """


class VitMim(MimNet):
    """A transformer with a light decoder."""

    encoder: Vit

    def __init__(self, size: VitSize, *, sight: Sight, decoder_depth: int) -> None:
        """Start from random weights.

        Args:
            size: of the encoder.
            sight: what the encoder is given.
            decoder_depth: blocks of the decoder; 0 for one linear layer, which serves filled
                pictures as well as any other decoder (SimMIM, table 2).

        """
        super().__init__()
        self.patch_px, self.input_px = size.patch_px, size.input_px
        self.encoder = Vit(size)
        self.sight = sight
        if decoder_depth == 0:
            if sight == "visible":
                raise ConfigError(
                    "a decoder without blocks cannot tell hidden patches from the visible ones "
                    "that alone were encoded; give it a depth of at least 1, or fill the pictures."
                )
            self.decoder: nn.Module = nn.Linear(size.width, 3 * size.patch_px**2)
        else:
            self.decoder = _Decoder(size, decoder_depth, asks=sight == "visible")
        start_small(self.decoder)

    def forward(self, seen: Tensor, hidden: Tensor) -> Tensor:
        """Guess the patches [batch, n, p * p * 3] of filled pictures [batch, 3, S, S]."""
        if self.sight == "filled":
            return self.decoder(self.encoder(seen).tokens)
        kept = visible_patches(hidden, self.patch_px)
        tokens = self.encoder.embed(seen)
        visible = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
        return self.decoder(self.encoder.encode(visible).tokens, kept)


class _Decoder(nn.Module):
    """A few narrow blocks; where only some tokens come in, one learned token asks for the rest."""

    positions: Tensor

    def __init__(self, size: VitSize, depth: int, *, asks: bool) -> None:
        super().__init__()
        width = max(size.width // 2 // _HEAD, 2) * _HEAD
        self.enter = nn.Linear(size.width, width)
        self.question = nn.Parameter(0.02 * torch.randn(width)) if asks else None
        self.blocks = nn.Sequential(*(Block(width, width // _HEAD) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, 3 * size.patch_px**2)
        self.register_buffer("positions", sine_positions(size.grid, width), persistent=False)

    def forward(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        x = self.enter(tokens)
        if kept is not None:
            assert self.question is not None
            whole = self.question.to(x.dtype).expand(len(x), len(self.positions), -1)
            x = whole.scatter(1, kept[..., None].expand_as(x), x)
        return self.pixels(self.norm(self.blocks(x + self.positions)))


def visible_patches(hidden: Tensor, patch_px: int) -> Tensor:
    """Return the numbers [batch, k] of patches to encode, in reading order.

    Pictures of a batch must keep equally many: where masks leave unequal numbers visible, the
    last ones in excess are not encoded; they are not asked for either.

    Args:
        hidden: [batch, S, S] in 0..1, 1 = hidden.
        patch_px: side of a patch.

    Raises:
        ConfigError: a patch is hidden in part only, or a picture shows nothing.

    """
    share = patches_of(hidden[:, None], patch_px).mean(2)
    is_visible = share < _VISIBLE
    if not bool((is_visible | (share > 1 - _VISIBLE)).all()):
        raise ConfigError(
            f"encoding only what is visible needs masks that hide patches of {patch_px} pixels "
            "wholly or not at all, and this recipe hides parts of some; fill the pictures "
            "(--sight filled), or choose a recipe of opaque patches of that size."
        )
    count = int(is_visible.sum(1).min())
    if count == 0:
        raise ConfigError(
            "the masks hide all of a picture, so there is nothing to encode; hide a smaller share."
        )
    order = is_visible.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return order[:, :count]


def reconstruction_terms(
    guess: Tensor,
    image: Tensor,
    *,
    counted: Tensor,
    foreground: Tensor,
    has_foreground: Tensor,
    patch_px: int,
    background_weight: float,
    target: Target,
) -> dict[str, Tensor]:
    """Compare guessed with true pixels where they count.

    L = sum_i w_i sum_p m_ip |guess_ip - x_ip|^2 / sum_i w_i sum_p m_ip over the pixels p of all
    patches i, with w_i = w_bg + (1 - w_bg) f_i and f_i the share of foreground of patch i.  Where
    masks follow the patches this is sum m_i w_i |guess_i - x_i|^2 / sum m_i w_i, per pixel.  w_bg =
    1 is the loss of masked autoencoders.

    A picture of which nobody knows the foreground gets one weight all over, the mean weight of the
    others, so that it says neither more nor less than they do.

    Args:
        guess: [batch, n, p * p * 3].
        image: [batch, 3, S, S] in 0..1, the truth.
        counted: [batch, S, S] in 0..1: which pixels are asked for, m.
        foreground: [batch, S, S] in 0..1.
        has_foreground: [batch], bool.
        patch_px: side of a patch.
        background_weight: w_bg in 0..1.
        target: what the guess means.

    """
    truth = target_patches(image, patch_px, target)
    square = (guess.float() - truth).square()
    square = square.reshape(*square.shape[:2], -1, 3).mean(3)
    share = patches_of(foreground[:, None], patch_px).mean(2)
    weight = background_weight + (1 - background_weight) * share
    known = has_foreground[:, None].expand_as(weight)
    usual = (weight * known).sum() / known.sum().clamp_min(1)
    usual = torch.where(known.any(), usual, torch.ones_like(usual))
    weight = torch.where(known, weight, usual)
    asked = patches_of(counted[:, None], patch_px) * weight[..., None]
    return {"reconstruction": (asked * square).sum() / asked.sum().clamp_min(1e-6)}


def patches_of(image: Tensor, patch_px: int) -> Tensor:
    """Cut [batch, channels, S, S] into [batch, n, p * p * channels], channels fastest."""
    batch, channels, height, width = image.shape
    rows, columns = height // patch_px, width // patch_px
    cut = image.reshape(batch, channels, rows, patch_px, columns, patch_px)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def image_of(patches: Tensor, patch_px: int) -> Tensor:
    """Put patches together again; the inverse of `patches_of` for square pictures."""
    batch, n, _ = patches.shape
    grid = round(n**0.5)
    cut = patches.reshape(batch, grid, grid, patch_px, patch_px, -1)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, grid * patch_px, grid * patch_px)


def target_patches(image: Tensor, patch_px: int, target: Target) -> Tensor:
    """Return what a perfect guess of pictures [batch, 3, S, S] would be, [batch, n, p * p * 3]."""
    patches = patches_of(image, patch_px)
    if target == "raw":
        return patches
    mean, spread = _mean_and_spread(patches)
    return (patches - mean) / spread


def pixels_of(guess: Tensor, image: Tensor, patch_px: int, target: Target) -> Tensor:
    """Return guesses as pictures [batch, 3, S, S] in 0..1, to look at.

    Normalised guesses know no brightness; they are shown with the true patch's mean and spread.
    """
    if target == "normalised":
        mean, spread = _mean_and_spread(patches_of(image, patch_px))
        guess = guess * spread + mean
    return image_of(guess, patch_px).clamp(0, 1)


def _mean_and_spread(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each patch, [batch, n, 1]."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True, correction=0)
    return mean, (variance + _NOISE**2).sqrt()
