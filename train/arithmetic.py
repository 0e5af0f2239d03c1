"""How much arithmetic a training step takes, to compare its speed with what an accelerator can do.

In: something that computes a loss.  Out: its floating-point operations, forward and backward, as
torch counts them: two for each multiplication of a matrix product or convolution, nothing for the
rest, which accelerators' published rates leave out as well.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def training_flops(loss: Callable[[], Tensor]) -> int:
    """Compute a loss and its gradients once, and count.

    Attention is computed as plain products meanwhile: torch does not count its fused kernel for
    CPUs.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss().backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops()
