"""The second stage's objective: pose on the labelled source, something else on the target.

In: a network, and batches of two domains (`train.two_domains`).  Out: named terms and their
weighted sum, as a method of `train.adaptation_methods` wants them.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.adaptation_methods import Method
from train.agreement import agreement_terms
from train.attention import DISTANCES, over_layers
from train.look import encoder_parameters, look
from train.pose_loss import WEIGHTS, Terms, pose_terms, total
from train.slow_teacher import SlowTeacher
from train.two_domains import TARGET, target_part

_CONSISTENT: Final = ("px", "metres", "reach")
"""Of a masked picture one knows less: that it is as sure as the whole one is not asked for."""


class Adaptation:
    """The terms of one method and their weights."""

    def __init__(
        self,
        network: nn.Module,
        method: Method,
        *,
        layers: Sequence[int],
        penalty_weights: Mapping[str, float],
        teacher: SlowTeacher | None = None,
    ) -> None:
        """Freeze a copy of the network as it comes from the first stage.

        Args:
            network: its encoder is what attention and weights are compared with.
            method: what to do.
            layers: whose attention is compared.
            penalty_weights: λ by name, for exactly the method's penalties.
            teacher: for a method that is `consistent`.

        """
        assert (teacher is not None) == method.consistent
        self._frozen = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self._start = encoder_parameters(self._frozen)
        self._method = method
        self._layers = tuple(layers)
        self._teacher = teacher
        self.weights: dict[str, float] = {**WEIGHTS, **penalty_weights}
        if method.consistent:
            self.weights |= {f"consistent_{name}": WEIGHTS[name] for name in _CONSISTENT}
        if method.pseudo_labels or method.target_truth:
            self.weights |= {TARGET + name: weight for name, weight in WEIGHTS.items()}

    def terms(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        """Return the named terms of a batch of two domains."""
        found = pose_terms(network(batch["input"]), batch)
        method = self._method
        if method.distance is not None or method.pseudo_labels or method.target_truth:
            found |= self._target_terms(network, target_part(batch))
        if method.near_start:
            found["anchor"] = self.anchor(network)
        if self._teacher is not None:
            self._teacher.follow(network)
            with torch.no_grad():
                told = self._teacher.network(batch[TARGET + "input"])
            agreed = agreement_terms(network(batch[TARGET + "masked"]), told)
            found |= {f"consistent_{name}": agreed[name] for name in _CONSISTENT}
        return found

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Sum the terms by their weights."""
        return total(terms, self.weights)

    def anchor(self, network: nn.Module) -> Tensor:
        """Half the squared distance of the encoder's weights from where they started."""
        gaps = [
            (value - self._start[name]).square().sum()
            for name, value in encoder_parameters(network).items()
        ]
        return 0.5 * torch.stack(gaps).sum()

    def _target_terms(self, network: nn.Module, target: Mapping[str, Tensor]) -> Terms:
        method = self._method
        layers = self._layers if method.distance is not None else ()
        answer, maps = look(network, target["input"], layers)
        found: Terms = {}
        if method.distance is not None:
            with torch.no_grad():
                _, frozen = look(self._frozen, target["input"], layers)
            found["attention"] = over_layers(DISTANCES[method.distance], frozen, maps)
        if method.pseudo_labels and bool(target["has_3d"].any()):
            raise ConfigError(
                "the target's labels are the truth, which pseudo labels must not be; give a folder "
                "that a teacher labelled, or let a network label the pictures"
            )
        if method.pseudo_labels or method.target_truth:
            found |= {TARGET + name: term for name, term in pose_terms(answer, target).items()}
        return found
