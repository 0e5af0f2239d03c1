"""The gradients of one step, whatever it takes to get them: several portions, several processes.

In: a network, its losses and a stream of batches.  Out: gradients in the parameters, averaged over
everything that the step saw, and the named losses.  Each portion has random numbers of its own, so
that they depend on the seed and on its number alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_pose.errors import ConfigError
from train.distributed import Place
from train.stream import Batch, seed_of

Losses = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
Weigh = Callable[[Mapping[str, Tensor]], Tensor]
Precision = Literal["float32", "bfloat16"]

_NO_MEMORY: Final = ("can't allocate memory", "not enough memory", "out of memory")


class OutOfMemory(ConfigError):
    """The batch is too large for the machine; compute it in smaller portions."""


class _Objective(nn.Module):
    """A network and its losses as one module: calls of parts of the network are seen from here."""

    def __init__(self, network: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.network = network
        self._losses = losses

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return dict(self._losses(self.network, batch))


class Gradients:
    """Computes the gradients of a step.

    Portions and processes are averaged with equal weights.  For losses that are means over the
    samples, the result is that of the whole batch at once; for those that weigh samples by what is
    known of them, it is not quite.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Losses,
        weigh: Weigh,
        *,
        portions: int,
        precision: Precision,
        seed: int,
        here: Place,
    ) -> None:
        """Wrap the network where several processes share the work.

        Args:
            network: trained; every parameter that requires gradients must get one in each step.
            losses: named terms of one batch.
            weigh: their weighted sum.
            portions: batches of one step, one after another in the memory of one.
            precision: of the network's arithmetic; parameters, sums and gradients stay float32.
            seed: with the number of a portion, the seed of what the losses draw at random.
            here: which of how many processes this is.

        """
        self._objective: nn.Module = _Objective(network, losses)
        if here.processes > 1:
            self._objective = DistributedDataParallel(self._objective, gradient_as_bucket_view=True)
        self._device = next(network.parameters()).device
        self._weigh = weigh
        self._portions = portions
        self._precision = precision
        self._seed = seed
        self._here = here

    def __call__(self, step: int, stream: Iterator[Batch]) -> dict[str, Tensor]:
        """Fill the gradients; return the terms and their `total`, averaged over the portions.

        Raises:
            OutOfMemory: a portion does not fit.

        """
        sums: dict[str, Tensor] = {}
        for turn in range(step * self._portions, (step + 1) * self._portions):
            batch = next(stream)
            torch.manual_seed(seed_of(self._seed, turn * self._here.processes + self._here.rank))
            try:
                terms = self._portion(batch, last=(turn + 1) % self._portions == 0)
            except (RuntimeError, MemoryError) as error:
                raise _explained(error, batch, step) or error from None
            for name, value in terms.items():
                sums[name] = sums[name] + value if name in sums else value
        return {name: value / self._portions for name, value in sums.items()}

    def _portion(self, batch: Batch, *, last: bool) -> dict[str, Tensor]:
        there = {name: value.to(self._device, non_blocking=True) for name, value in batch.items()}
        shared = isinstance(self._objective, DistributedDataParallel)
        with self._objective.no_sync() if shared and not last else nullcontext():  # type: ignore[operator] # of DistributedDataParallel
            with torch.autocast(
                self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"
            ):
                terms = self._objective(there)
                loss = self._weigh(terms)
            (loss / self._portions).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach().float() for name, value in {**terms, "total": loss}.items()}


def _explained(error: Exception, batch: Batch, step: int) -> OutOfMemory | None:
    said = str(error)
    if not isinstance(error, MemoryError) and not any(words in said for words in _NO_MEMORY):
        return None
    size = len(next(iter(batch.values())))
    return OutOfMemory(
        f"step {step} ran out of memory with {size} samples at once; start the same command again "
        f"with --batch-size {max(size // 2, 1)} and twice the --accumulate, which gives the same "
        f"run ({said.splitlines()[0] if said else 'the machine gave no detail'})"
    )
