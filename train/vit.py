"""A plain vision transformer: a square picture in, one token a patch out, attention on request.

In: `image` [batch, 3, S, S], RGB in 0..1.  Out: `VitOutput`, tokens [batch, n, width] of the n
patches in reading order, and for the layers asked for what the softmax of attention is taken of.

After Dosovitskiy et al. 2021 (arXiv:2010.11929) with fixed positions and no class token: pose needs
places, not one summary.  Written in plain torch because timm imports torchvision, whose wheel does
not load beside a torch built for the CPU.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIDDLE: Final = 0.5
_SPREAD: Final = 0.25
"""Pixels of photographs lie about so far from the middle of 0..1: tokens start with variance 1."""
_WIDER: Final = 4
"""Hidden width of the two-layer network of a block over the width of a token."""
_LONGEST: Final = 10_000.0
"""Longest wavelength of the positions over 2 pi, in patches (Vaswani et al. 2017, 1706.03762)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VitSize:
    """What a transformer is made of."""

    name: str
    width: int
    depth: int
    heads: int
    patch_px: int
    input_px: int

    @property
    def grid(self) -> int:
        """Count the patches along one side."""
        return self.input_px // self.patch_px


SIZES: Final[Mapping[str, VitSize]] = MappingProxyType(
    {
        size.name: size
        for size in (
            VitSize(name="nano", width=96, depth=4, heads=3, patch_px=16, input_px=128),
            VitSize(name="tiny", width=192, depth=12, heads=3, patch_px=16, input_px=192),
            VitSize(name="small", width=384, depth=12, heads=6, patch_px=16, input_px=192),
            VitSize(name="base", width=768, depth=12, heads=12, patch_px=16, input_px=256),
        )
    }
)
"""`nano` is for tests and continuous integration; the others are those of the literature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VitOutput:
    """What a transformer says about a batch of pictures."""

    tokens: Tensor
    """[batch, n, width], after the last norm."""
    attention_logits: dict[int, Tensor] = field(default_factory=dict)
    """Layer to [batch, heads, n, n]: rows ask, columns answer; scaled, before the softmax."""


class Attention(nn.Module):
    """Every token looks at all tokens, in several ways at once."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens [batch, n, width]."""
        q, k, v = self._split(self.qkv(x), 3)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def logits(self, x: Tensor) -> Tensor:
        """Return [batch, heads, n, n], which the fused kernel of `forward` never writes down."""
        width = self.out.in_features
        qk = functional.linear(x, self.qkv.weight[: 2 * width], self.qkv.bias[: 2 * width])
        q, k = self._split(qk, 2)
        return (q @ k.transpose(-2, -1)) / math.sqrt(width // self.heads)

    def _split(self, x: Tensor, parts: int) -> Tensor:
        """Turn [batch, n, parts * width] into [parts, batch, heads, n, width of a head]."""
        batch, n, _ = x.shape
        return x.reshape(batch, n, parts, self.heads, -1).permute(2, 0, 3, 1, 4)


class Block(nn.Module):
    """One layer: attention, then a two-layer network for each token; norms come first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, _WIDER * width), nn.GELU(), nn.Linear(_WIDER * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Refine tokens [batch, n, width]."""
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Vit(nn.Module):
    """Patches, positions, blocks, norm."""

    positions: Tensor
    """[n, width], fixed."""

    def __init__(self, size: VitSize) -> None:
        """Start from random weights."""
        super().__init__()
        self.size = size
        self.patches = nn.Conv2d(3, size.width, size.patch_px, stride=size.patch_px)
        self.blocks = nn.ModuleList(Block(size.width, size.heads) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width)
        self.register_buffer("positions", sine_positions(size.grid, size.width), persistent=False)
        start_small(self)

    def forward(self, image: Tensor, *, attention_layers: Sequence[int] = ()) -> VitOutput:
        """Look at pictures [batch, 3, S, S], RGB in 0..1.

        Args:
            image: as large as the network's input, see `fit_size`.
            attention_layers: numbers from 0 of the layers whose attention is wanted, see `layer`.

        """
        return self.encode(self.embed(image), attention_layers)

    def embed(self, image: Tensor) -> Tensor:
        """Turn pictures into tokens that know their place, [batch, n, width]."""
        tokens = self.patches((image - _MIDDLE) / _SPREAD).flatten(2).transpose(1, 2)
        return tokens + self.positions

    def encode(self, tokens: Tensor, attention_layers: Collection[int] = ()) -> VitOutput:
        """Run embedded tokens, all or only some of them, through the blocks."""
        logits: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            if number in attention_layers:
                logits[number] = block.attention.logits(block.norm_attention(tokens))
            tokens = block(tokens)
        return VitOutput(tokens=self.norm(tokens), attention_logits=logits)

    def layer(self, index: int) -> int:
        """Return the number of a layer; negative indices count from the last one."""
        depth = self.size.depth
        if not -depth <= index < depth:
            raise IndexError(f"{self.size.name} has {depth} layers, so there is no layer {index}")
        return index % depth


def start_small(network: nn.Module) -> None:
    """Give every linear layer of a transformer Xavier's weights and no bias."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def sine_positions(grid: int, width: int) -> Tensor:
    """Return fixed positions [grid * grid, width]: half of each speaks of x, half of y.

    Each half holds sines, then cosines, of wavelengths from 2 pi patches to 10,000 times that.
    """
    if width % 4:
        raise ValueError(f"positions need a width that four divides, not {width}")
    quarter = width // 4
    rates = _LONGEST ** (-torch.arange(quarter) / quarter)
    angles = torch.arange(grid)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], 1)
    x = line[None].expand(grid, -1, -1)
    y = line[:, None].expand(-1, grid, -1)
    return torch.cat([x, y], 2).flatten(0, 1)


def fit_size(image: Tensor, size_px: int) -> Tensor:
    """Resize square pictures [batch, channels, S, S] by averaging the area under each new pixel.

    Exact also where the sizes do not divide, which torch's own area mode is not: from 256 to 192
    pixels that one moves what is seen by a third of a pixel, back and forth along the picture.
    """
    old_px = image.shape[-1]
    if old_px == size_px:
        return image
    if old_px % size_px == 0:
        return functional.avg_pool2d(image, old_px // size_px)
    shares = area_shares(old_px, size_px).to(image)
    return shares @ image @ shares.T


def area_shares(old_px: int, new_px: int) -> Tensor:
    """Return [new, old]: which share of each new pixel of a line every old pixel covers."""
    edges = torch.arange(new_px + 1, dtype=torch.float64) * (old_px / new_px)
    old = torch.arange(old_px, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], old)
    high = torch.minimum(edges[1:, None], old + 1)
    return ((high - low).clamp_min(0) * (new_px / old_px)).float()
