"""How far attention moved between two networks: distances to train with, drift to look at.

In: attention logits [batch, heads, n, n] (scaled q·k before the softmax; row: who looks, column: at
whom) of a frozen network and of the one in training, for the same pictures.  Out: scalars.

The four distances compare one layer each (Park et al. 2025, arXiv:2501.08408, regularise attention
but publish no code; the formulas are ours).  Networks without attention have none to compare: for
them the map of how alike the places of a feature map are takes its place, which is ours as well.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_pose.errors import ConfigError

Maps = Mapping[int, Tensor]
"""Attention logits by layer."""

_SHARPNESS: Final = 10.0
"""Scale of cosine similarities: a place equal to another counts e^10 times one that is unrelated,
so that the softmax over some tens of places is neither flat nor a single peak.
"""
TOP_SHARE: Final = 0.2


def logit_distance(frozen: Tensor, now: Tensor) -> Tensor:
    """Mean squared difference of the logits."""
    return functional.mse_loss(now.float(), frozen.float())


def weight_distance(frozen: Tensor, now: Tensor) -> Tensor:
    """Mean squared difference of the attention itself, after the softmax."""
    return functional.mse_loss(_attention(now), _attention(frozen))


def divergence(frozen: Tensor, now: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(frozen ‖ now) of the rows, in nats, averaged over them."""
    before, after = frozen.float().log_softmax(-1), now.float().log_softmax(-1)
    return (before.exp() * (before - after)).sum(-1).mean()


def lost_attention(frozen: Tensor, now: Tensor) -> Tensor:
    """Punish only attention that a place lost: Σ_k ReLU(a_k frozen − a_k now)².

    Averaged over pictures and heads; a_k is the attention that place k receives, pooled over all
    that look.  Asymmetric pooled distillation after Pelosin et al. 2022, arXiv:2203.13167, who pool
    the logits.  After the softmax all a_k sum to one, so what some lose others gain, and without
    the square the sum would be symmetric; with it, attention lost at one place costs more than the
    same amount lost a little everywhere.
    """
    missing = (_received(frozen) - _received(now)).relu()
    return missing.square().sum(-1).mean()


Distance = Callable[[Tensor, Tensor], Tensor]

DISTANCES: Final[Mapping[str, Distance]] = MappingProxyType(
    {
        "logits": logit_distance,
        "weights": weight_distance,
        "divergence": divergence,
        "lost": lost_attention,
    }
)


def over_layers(distance: Distance, frozen: Maps, now: Maps) -> Tensor:
    """Average a distance over the layers, which must be the same in both."""
    assert frozen.keys() == now.keys(), f"layers {sorted(frozen)} and {sorted(now)} must match"
    return torch.stack([distance(frozen[layer], now[layer]) for layer in sorted(frozen)]).mean()


def self_similarity(features: Tensor) -> Tensor:
    """Return logits [batch, 1, n, n] from a feature map [batch, channels, height, width].

    n = height·width; each logit is the cosine between the features of two places, times ten.
    """
    return _SHARPNESS * cosines(features).unsqueeze(1)


def cosines(features: Tensor) -> Tensor:
    """Return how alike the places of a map [batch, channels, height, width] are, [batch, n, n].

    In full precision also inside an autocast: what is compared later are small differences.
    """
    with torch.autocast(features.device.type, enabled=False):
        places = functional.normalize(features.float().flatten(2), dim=1)
        return places.mT @ places


def weight_for_share(
    pose: Tensor, penalty: Tensor, parameters: Sequence[nn.Parameter], share: float
) -> float:
    """Return λ with ‖∇ λ·penalty‖ = share · ‖∇ pose‖ over the parameters, which both must reach.

    Raises ConfigError where the penalty has no gradient: it has none as long as the network still
    is what it is compared with.
    """
    pose_norm = _gradient_norm(pose, parameters)
    penalty_norm = _gradient_norm(penalty, parameters)
    weight = share * pose_norm / penalty_norm if penalty_norm > 0 else float("inf")
    if not 0 < weight < float("inf"):
        raise ConfigError(
            f"the weight of a penalty cannot be set from gradients of {pose_norm:g} (pose) and "
            f"{penalty_norm:g} (penalty), wanted both above zero; probe for more steps or at a "
            "higher learning rate"
        )
    return weight


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """Return how much of each place reaches each place through all layers, [batch, n, n].

    Attention rollout of Abnar and Zuidema 2020, arXiv:2005.00928: heads averaged, half of the
    identity for the residual path, product from the first layer to the last.
    """
    count = layers[0].shape[-1]
    itself = torch.eye(count, device=layers[0].device)
    flow = itself.expand(len(layers[0]), -1, -1)
    for logits in layers:
        flow = (0.5 * (_attention(logits).mean(1) + itself)) @ flow
    return flow


def top_overlap(frozen: Tensor, now: Tensor, share: float = TOP_SHARE) -> Tensor:
    """Intersection over union of the places that receive most of two rollouts [batch, n, n]."""
    before, after = _top_places(frozen, share), _top_places(now, share)
    return ((before & after).sum(1) / (before | after).sum(1)).mean()


def row_divergence(frozen: Tensor, now: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the rows of attention, nats (0 to ln 2), averaged over them."""
    before, after = frozen.float().log_softmax(-1), now.float().log_softmax(-1)
    middle = torch.logaddexp(before, after) - torch.log(torch.tensor(2.0))
    towards = (before.exp() * (before - middle)).sum(-1) + (after.exp() * (after - middle)).sum(-1)
    return 0.5 * towards.mean()


def foreground_mass(logits: Tensor, foreground: Tensor) -> Tensor:
    """Share of all attention that falls on people; `foreground` [batch, height, width] in 0..1.

    Places form a square grid over the picture.
    """
    side = round(logits.shape[-1] ** 0.5)
    people = functional.adaptive_avg_pool2d(foreground.float()[:, None], side).flatten(1)
    return (_received(logits).mean(1) * people).sum(1).mean()


def _attention(logits: Tensor) -> Tensor:
    return logits.float().softmax(-1)


def _received(logits: Tensor) -> Tensor:
    """Attention that each place receives, averaged over those that look: [batch, heads, n]."""
    return _attention(logits).mean(-2)


def _top_places(flow: Tensor, share: float) -> Tensor:
    received = flow.mean(1)
    top = received.topk(max(round(share * received.shape[1]), 1), dim=1).indices
    return torch.zeros_like(received, dtype=torch.bool).scatter(1, top, value=True)


def _gradient_norm(loss: Tensor, parameters: Sequence[nn.Parameter]) -> float:
    gradients = torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
