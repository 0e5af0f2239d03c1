"""A ceiling that training can climb down from.

In: the last maps of the published pose network.  Out: the same, clipped to 0..6.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

_LOW: Final = 0.0
_HIGH: Final = 6.0


class Ceiling(nn.ReLU6):
    """ReLU6, whose clipped units still hear of gradients that would bring them down.

    On crops that it takes for nobody, the published network throws its last maps far above 6 (to
    100), where no gradient says that this is wrong, and a head can learn to live with them.  Once
    such crops are many, a run has fallen and stays down.  Only for the last maps: elsewhere units
    at the ceiling are part of what the network knows.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Clip to 0..6."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        clipped: Tensor = _Clipped.apply(x)  # type: ignore[no-untyped-call]
        return clipped


class _Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(_LOW, _HIGH)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        is_deaf = (x <= _LOW) | ((x >= _HIGH) & (gradient < 0))
        return gradient.masked_fill(is_deaf, 0.0)
