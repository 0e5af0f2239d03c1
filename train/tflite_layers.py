"""Operators of TensorFlow Lite as torch modules, channels-first where the file is channels-last.

In: an operator's constants and options.  Out: `nn.Module`s from tensors to tensors.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import tflite
import torch
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS: Final[Mapping[int, type[nn.Module]]] = {
    tflite.ActivationFunctionType.NONE: nn.Identity,
    tflite.ActivationFunctionType.RELU: nn.ReLU,
    tflite.ActivationFunctionType.RELU6: nn.ReLU6,
}


class PaddedConv(nn.Module):
    """Convolution with TensorFlow's padding, which may put one more zero after than before."""

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        stride: tuple[int, int],
        dilation: tuple[int, int],
        padding: tuple[int, int, int, int],
        groups: int,
        activation: int,
    ) -> None:
        super().__init__()
        out_channels, in_per_group, height, width = weight.shape
        left, right, top, bottom = padding
        symmetric = left == right and top == bottom
        self.pad = nn.Identity() if symmetric else nn.ZeroPad2d(padding)
        self.conv = nn.Conv2d(
            in_per_group * groups,
            out_channels,
            (height, width),
            stride=stride,
            dilation=dilation,
            padding=(top, left) if symmetric else 0,
            groups=groups,
        )
        self.conv.weight.data = torch.from_numpy(weight.copy())
        assert self.conv.bias is not None
        self.conv.bias.data = torch.from_numpy(bias.copy())
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, and activate."""
        return self.activation(self.conv(self.pad(x)))


class Add(nn.Module):
    """Sum of two maps, and its activation."""

    def __init__(self, activation: int) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add, and activate."""
        return self.activation(a + b)


class Pad(nn.Module):
    """Zero padding of channels-first tensors, given as channels-last pairs."""

    def __init__(self, pairs: np.ndarray) -> None:
        super().__init__()
        (_, _), (top, bottom), (left, right), (front, back) = pairs.tolist()
        self.widths = (left, right, top, bottom, front, back)

    def forward(self, x: Tensor) -> Tensor:
        """Pad."""
        return functional.pad(x, self.widths)


class Resize(nn.Module):
    """Bilinear resizing."""

    def __init__(self, size: tuple[int, int], *, align_corners: bool) -> None:
        super().__init__()
        self.size = size
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        """Resize to the size that the file says."""
        return functional.interpolate(
            x, self.size, mode="bilinear", align_corners=self.align_corners
        )


class Reshape(nn.Module):
    """Reshapes as the channels-last file means it; `shape` leaves the batch out."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(int(size) for size in shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Reshape, channels-first before and after."""
        last = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
        flat = last.reshape(x.shape[0], *self.shape)
        return flat.permute(0, 3, 1, 2) if flat.ndim == 4 else flat


class DepthToSpace(nn.Module):
    """Channels to blocks of pixels; TensorFlow keeps the block's place in the slowest channels."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Lay channels out in blocks."""
        batch, channels, height, width = x.shape
        side = self.block
        blocks = x.reshape(batch, side, side, channels // side**2, height, width)
        moved = blocks.permute(0, 3, 4, 1, 5, 2)
        return moved.reshape(batch, channels // side**2, height * side, width * side)


class Concatenate(nn.Module):
    """Joins along the file's channels-last `axis`."""

    def __init__(self, axis: int, rank: int) -> None:
        super().__init__()
        first = (0, 2, 3, 1)
        self.dim = first[axis] if rank == 4 else axis

    def forward(self, *parts: Tensor) -> Tensor:
        """Join."""
        return torch.cat(parts, self.dim)
