"""A teacher made of the student's own past: the network averaged over the steps of its training.

In: a network after every step.  Out: a network that changes slowly, for targets that do not jump.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from train.schedule import Schedule


class SlowTeacher:
    """An exponential average of a network in training (Tarvainen, Valpola 2017, 1703.01780).

    It averages as `train.fit` does, so that a run that goes on from a checkpoint, where the average
    is kept, has the very same teacher.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        *,
        steps: int = 0,
        average: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Start from the network, or from the `average` after so many `steps`."""
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        if average is not None:
            self.network.load_state_dict(dict(average), strict=False)
        self._schedule = schedule
        self._steps = steps
        self._last: Tensor | None = None

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Average once after every step of the optimiser, however often this is called."""
        trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        first = next(iter(trained.values())).detach()
        if self._last is not None and not torch.equal(self._last, first):
            decay = self._schedule.decay(self._steps)
            for name, value in self.network.named_parameters():
                if name in trained:
                    value.lerp_(trained[name].detach(), 1 - decay)
            self._steps += 1
        self._last = first.clone()
