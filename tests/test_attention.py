"""Distances between attention maps and drift, against values by hand and independent libraries."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.attention import (
    DISTANCES,
    divergence,
    foreground_mass,
    logit_distance,
    lost_attention,
    over_layers,
    rollout,
    row_divergence,
    self_similarity,
    top_overlap,
    weight_distance,
    weight_for_share,
)

LEANING = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])[None, None]
"""Two places; the first gives itself 3/4 of its attention, the second half to each."""
EVEN = torch.zeros(1, 1, 2, 2)


def logits(seed: int, places: int = 6, heads: int = 3) -> Tensor:
    return torch.randn(2, heads, places, places, generator=torch.Generator().manual_seed(seed)) * 2


def test_the_four_distances_of_two_places_worked_out_by_hand() -> None:
    assert float(logit_distance(LEANING, EVEN)) == pytest.approx(math.log(3) ** 2 / 4)
    assert float(weight_distance(LEANING, EVEN)) == pytest.approx(2 * 0.25**2 / 4)
    row = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(divergence(LEANING, EVEN)) == pytest.approx(row / 2)
    # The first place receives (3/4 + 1/2) / 2 = 0.625 and loses 0.125 of it.
    assert float(lost_attention(LEANING, EVEN)) == pytest.approx(0.125**2)


def test_the_divergence_is_taken_from_the_frozen_network() -> None:
    # KL(uniform || 3/4, 1/4) differs from KL(3/4, 1/4 || uniform).
    row = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(divergence(EVEN, LEANING)) == pytest.approx(row / 2)


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_nothing_moved_costs_nothing_and_the_gradient_leads_back(name: str) -> None:
    assert float(DISTANCES[name](logits(0), logits(0))) == pytest.approx(0, abs=1e-7)
    other = logits(1).requires_grad_()
    distance = DISTANCES[name](logits(0), other)
    (gradient,) = torch.autograd.grad(distance, other)
    nearer = DISTANCES[name](logits(0), (other - 0.1 * gradient / gradient.norm()).detach())
    assert 0 < float(nearer) < float(distance.detach())


@pytest.mark.parametrize("name", sorted(set(DISTANCES) - {"logits"}))
def test_what_the_softmax_does_not_see_costs_nothing(name: str) -> None:
    shifted = logits(0) + torch.arange(6.0)[:, None]  # one constant a row
    assert float(DISTANCES[name](logits(0), shifted)) == pytest.approx(0, abs=1e-6)
    assert float(logit_distance(logits(0), shifted)) > 1


def test_attention_lost_at_one_place_costs_more_than_attention_gained_there() -> None:
    focused = torch.tensor([0.8, 0.1, 0.1]).log().expand(1, 1, 3, 3)
    spread = torch.tensor([0.4, 0.3, 0.3]).log().expand(1, 1, 3, 3)
    assert float(lost_attention(focused, spread)) == pytest.approx(0.4**2)
    assert float(lost_attention(spread, focused)) == pytest.approx(2 * 0.2**2)


def test_layers_are_averaged_and_must_be_the_same() -> None:
    frozen = {1: logits(0), 5: logits(1)}
    now = {1: logits(2), 5: logits(1)}
    alone = float(logit_distance(frozen[1], now[1]))
    assert float(over_layers(logit_distance, frozen, now)) == pytest.approx(alone / 2)
    with pytest.raises(AssertionError, match="must match"):
        over_layers(logit_distance, frozen, {1: now[1]})


def test_places_with_equal_features_are_ten_alike_and_brightness_does_not_count() -> None:
    features = torch.tensor([[3.0, 0.0], [0.0, 4.0]])[None]  # two channels on a map of 1 x 2
    features = features[:, :, None]
    assert torch.allclose(self_similarity(features), 10 * torch.eye(2)[None, None])
    brighter = features * torch.tensor([2.0, 7.0])
    assert torch.allclose(self_similarity(brighter), self_similarity(features))


def test_the_weight_makes_the_gradient_the_share_that_was_asked_for() -> None:
    parameter, unused = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.ones(3))
    pose = (torch.tensor([3.0, 4.0]) * parameter).sum()  # gradient 5
    penalty = 0.5 * (parameter**2).sum()  # gradient (1, 2)
    weight = weight_for_share(pose, penalty, [parameter, unused], 0.2)
    assert weight == pytest.approx(0.2 * 5 / math.sqrt(5))


def test_a_penalty_without_a_gradient_has_no_weight() -> None:
    parameter = nn.Parameter(torch.ones(2))
    with pytest.raises(ConfigError, match=r"gradients of 5 .*more steps"):
        weight_for_share(
            (torch.tensor([3.0, 4.0]) * parameter).sum(), (0 * parameter).sum(), [parameter], 0.2
        )


def test_the_rollout_is_the_product_of_residual_attention_from_first_to_last() -> None:
    layers = [logits(seed) for seed in range(3)]
    for picture in range(2):
        flow = np.eye(6)
        for layer in layers:
            weights = np.exp(layer[picture].double().numpy())
            weights /= weights.sum(-1, keepdims=True)
            flow = (weights.mean(0) / 2 + np.eye(6) / 2) @ flow
        np.testing.assert_allclose(rollout(layers)[picture].numpy(), flow, atol=1e-5)
    assert torch.allclose(rollout(layers).sum(-1), torch.ones(2, 6), atol=1e-5)


def test_the_top_fifth_of_ten_places_is_two_and_one_in_common_is_a_third() -> None:
    def receiving(*places: int) -> Tensor:
        flow = torch.zeros(1, 10, 10)
        flow[:, :, list(places)] = 1
        return flow

    assert float(top_overlap(receiving(2, 7), receiving(2, 7))) == 1
    assert float(top_overlap(receiving(2, 7), receiving(7, 9))) == pytest.approx(1 / 3)
    assert float(top_overlap(receiving(2, 7), receiving(0, 1))) == 0


def test_the_row_divergence_is_that_of_scipy_and_symmetric() -> None:
    before, after = logits(3), logits(4)
    wanted = jensenshannon(
        before.softmax(-1).double().numpy(), after.softmax(-1).double().numpy(), axis=-1
    )
    assert float(row_divergence(before, after)) == pytest.approx(np.mean(wanted**2), rel=1e-4)
    assert float(row_divergence(after, before)) == pytest.approx(np.mean(wanted**2), rel=1e-4)
    apart = torch.tensor([[0.0, 1e4], [0.0, 1e4]])[None, None]
    assert float(row_divergence(apart, apart.flip(-1))) == pytest.approx(math.log(2))


def test_even_attention_falls_on_people_as_often_as_they_cover_the_picture() -> None:
    foreground = torch.zeros(1, 64, 64)
    foreground[:, :32, :16] = 1  # an eighth
    assert float(foreground_mass(torch.zeros(1, 2, 16, 16), foreground)) == pytest.approx(1 / 8)
    looking = torch.zeros(1, 2, 16, 16)
    looking[..., 4] = 1e4  # second row, first column of 4 x 4 places: rows 16-31, columns 0-15
    assert float(foreground_mass(looking, foreground)) == pytest.approx(1)
