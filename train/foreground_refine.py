"""Segmenter and reconstruction correct each other: an option to compare, not a default.

In: soft foreground masks of a batch, some of them wrong, and the error with which a network filled
in each pixel that it could not see.  Out: masks that believe both.

Background goes on as it does around a hole, people do not: what is filled in badly is more likely a
person.  How much more likely is learned from the batch itself, most of whose masks are right: one
log-normal distribution of errors for people, one for the rest.  The segmenter's mask, believed as
far as `trust`, says how likely a person is before the error is seen, and Bayes' rule how likely
afterwards.  With several rounds the refined masks teach the distributions anew, which is
expectation maximisation (Dempster, Laird, Rubin 1977).  The formulas are ours.

Whether this helps depends on how badly people are filled in.  With plain inpainting of patches as
the reconstruction, on 39 rendered people of whom 9 had wrong masks, it did not: the overlap of the
wrong ones with the truth stayed at 0.34, and that of the right ones fell from 1 to 0.92.  Measure
it with the network at hand before using it.
"""

import math
from typing import Final

import torch
from torch import Tensor

_FLOOR: Final = 1e-6
_LEAST_DEVIATION: Final = 0.1


def refine(foreground: Tensor, error: Tensor, *, trust: float = 0.9, rounds: int = 1) -> Tensor:
    """Return refined masks [batch, H, W] in 0..1.

    Args:
        foreground: [batch, H, W] in 0..1, what the segmenter says.
        error: [batch, H, W], mean squared error of the reconstruction, from 0.
        trust: probability that the segmenter is right about a pixel, 0.5..1; at 1 no error
            changes what it is sure of.
        rounds: how often the distributions are learned.

    Where people are not filled in worse than their surroundings, errors say nothing, and the masks
    come back as they are.

    """
    prior = (1 - trust) + (2 * trust - 1) * foreground
    logs = torch.log(error.clamp(min=_FLOOR))
    logs = logs - logs.flatten(1).median(1).values[:, None, None]
    refined = foreground
    for _ in range(rounds):
        people, rest = _Normal(logs, refined), _Normal(logs, 1 - refined)
        if people.mean <= rest.mean:
            return foreground
        evidence = people.log_density(logs) - rest.log_density(logs)
        refined = torch.sigmoid(torch.logit(prior) + evidence)
    return refined


class _Normal:
    """A normal distribution, fitted to weighted values."""

    def __init__(self, values: Tensor, weights: Tensor) -> None:
        total = weights.sum().clamp(min=1)
        self.mean = (weights * values).sum() / total
        variance = (weights * (values - self.mean) ** 2).sum() / total
        self._deviation = variance.sqrt().clamp(min=_LEAST_DEVIATION)

    def log_density(self, values: Tensor) -> Tensor:
        ruler = self._deviation * math.sqrt(2 * math.pi)
        return -0.5 * ((values - self.mean) / self._deviation) ** 2 - torch.log(ruler)
