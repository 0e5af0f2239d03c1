"""What must not be rounded: parts of a network in float32 although the rest is in bfloat16.

In: a tensor inside or outside of `torch.autocast`.  Out: the same in float32, while autocast is
off.  Bfloat16 has eight bits of mantissa: a joint at three quarters of a crop would stand on a grid
of half a pixel.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def exactly(features: Tensor) -> Iterator[Tensor]:
    """Give the tensor in float32 and compute so meanwhile; without autocast change nothing."""
    if not torch.is_autocast_enabled(features.device.type):
        yield features
        return
    with torch.autocast(features.device.type, enabled=False):
        yield features.float()
