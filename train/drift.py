"""What a stage did to a network: its error in a domain, where it attends, what it can still see.

In: networks before and after, fixed batches and a fixed probe of target pictures.  Out: the numbers
that `train.forgetting` keeps.
"""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from train.attention import foreground_mass, rollout, row_divergence, top_overlap
from train.forgetting import Drift
from train.look import all_layers, encoder_of, last_layers, look
from train.mim import MimNet, Target
from train.pretrain import terms_of

Batch = Mapping[str, Tensor]

_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Target pictures that stay the same over all stages."""

    image: Tensor
    """[n, 3, 256, 256] in 0..1."""
    foreground: Tensor | None = None
    """[n, 256, 256] in 0..1."""


@torch.no_grad()
def attention_drift(before: nn.Module, now: nn.Module, probe: Probe) -> Drift:
    """Compare two networks of one kind on the probe's pictures.

    Where layers have maps of different sizes, the rollout follows those as large as the first.
    """
    every, last = all_layers(before), last_layers(before)
    device = next(now.parameters()).device
    sums: defaultdict[str, float] = defaultdict(float)
    for first in range(0, len(probe.image), _AT_ONCE):
        image = probe.image[first : first + _AT_ONCE].to(device)
        old, new = look(before, image, every)[1], look(now, image, every)[1]
        alike = [layer for layer in every if old[layer].shape == old[every[0]].shape]
        flow_before, flow = (rollout([maps[layer] for layer in alike]) for maps in (old, new))
        found = {
            "row_divergence_nats": [row_divergence(old[layer], new[layer]) for layer in last],
            "rollout_overlap": [top_overlap(flow_before, flow)],
        }
        if probe.foreground is not None:
            people = probe.foreground[first : first + _AT_ONCE].to(device)
            found["foreground_mass_before"] = [foreground_mass(old[k], people) for k in last]
            found["foreground_mass"] = [foreground_mass(new[k], people) for k in last]
        for name, values in found.items():
            sums[name] += float(torch.stack(values).mean()) * len(image)
    means = {name: value / len(probe.image) for name, value in sums.items()}
    return Drift(
        row_divergence_nats=means["row_divergence_nats"],
        rollout_overlap=means["rollout_overlap"],
        foreground_mass_before=means.get("foreground_mass_before"),
        foreground_mass=means.get("foreground_mass"),
    )


@torch.no_grad()
def reconstruction_error(
    mim: MimNet, network: nn.Module, probe: Sequence[Batch], *, opacity: float, target: Target
) -> float:
    """Return how badly the first stage's decoder guesses hidden pixels from a network's encoder.

    Args:
        mim: of the first stage; its decoder stays as it is.
        network: a pose network with an encoder of the same kind.
        probe: batches of `train.mim_data` with their masks, the same after every stage.
        opacity: of the masks.
        target: what the decoder learned to guess.

    """
    joined = copy.deepcopy(mim).eval()
    joined.encoder.load_state_dict(encoder_of(network).state_dict())
    device = next(joined.parameters()).device
    errors = []
    for batch in probe:
        there = {name: value.to(device) for name, value in batch.items()}
        terms = terms_of(joined, there, opacity=opacity, background_weight=1.0, target=target)
        errors.append(float(terms["reconstruction"]))
    return sum(errors) / len(errors)
