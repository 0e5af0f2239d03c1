"""Monitors of latents against values worked out by hand and formulas of another kind."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from edge_pose.errors import ConfigError
from train import representation as measure

CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
"""Two units that know nothing of each other."""


def drawn(seed: int, samples: int = 60, units: int = 7) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, units)) @ random.normal(size=(units, units)) + 0.5


def test_units_that_say_the_same_are_fully_correlated_and_independent_ones_are_not() -> None:
    same = np.repeat(CORNERS[:, :1], 3, axis=1)
    assert measure.decorrelation(CORNERS) == pytest.approx(0)
    assert measure.decorrelation(same) == pytest.approx(2)  # 3 x 2 pairs of C = 1 over 3 units
    assert measure.decorrelation(same * [1.0, -5.0, 0.01]) == pytest.approx(2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_decorrelation_is_a_loop_over_correlation_coefficients(seed: int) -> None:
    latents = drawn(seed)
    coefficients = np.corrcoef(latents.T)
    by_loop = sum(coefficients[i, j] ** 2 for i in range(7) for j in range(7) if i != j) / 7
    assert measure.decorrelation(latents) == pytest.approx(by_loop)
    silent = np.column_stack([latents, np.full(len(latents), 3.0)])
    assert measure.decorrelation(silent) == pytest.approx(by_loop)


def test_a_unit_that_answers_one_picture_in_four_is_three_quarters_sparse() -> None:
    """1 - (1/4)^2 / (1/4) = 3/4; a steady unit has 0; their mean is 3/8."""
    rates = np.array([[1.0, 2.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    assert measure.lifetime_sparsity(rates) == pytest.approx(3 / 8)
    # rows: (1, 2) gives 1 - 1.5^2 / 2.5 = 0.1; (0, 2) gives 1 - 1 / 2 = 0.5, three times
    assert measure.population_sparsity(rates) == pytest.approx((0.1 + 3 * 0.5) / 4)


def test_silence_is_neither_sparse_nor_dense() -> None:
    rates = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert measure.lifetime_sparsity(rates) == pytest.approx(0.5)
    assert measure.population_sparsity(rates) == pytest.approx(0.5)
    assert measure.lifetime_sparsity(np.zeros((3, 2))) == 0


def test_the_participation_ratio_counts_equal_directions_and_forgets_flat_ones() -> None:
    assert measure.participation_ratio(CORNERS) == pytest.approx(2)
    assert measure.participation_ratio(CORNERS * [1.0, 0.0] + 9) == pytest.approx(1)
    # variances 4 and 1: (4 + 1)^2 / (16 + 1)
    assert measure.participation_ratio(CORNERS * [2.0, 1.0]) == pytest.approx(25 / 17)
    assert measure.participation_ratio(np.ones((4, 3))) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(60, 7), (5, 12)]))
def test_the_participation_ratio_is_that_of_the_eigenvalues(
    seed: int, shape: tuple[int, int]
) -> None:
    latents = drawn(seed, *shape)
    values = np.linalg.eigvalsh(np.cov(latents.T))
    by_values = values.sum() ** 2 / (values**2).sum()
    assert measure.participation_ratio(latents) == pytest.approx(by_values)


def test_rankme_counts_equal_directions_of_latents_as_given() -> None:
    assert measure.rankme(np.eye(5)) == pytest.approx(5, rel=1e-4)
    assert measure.rankme(np.ones((6, 4))) == pytest.approx(1, rel=1e-4)  # not centred
    # singular values 3 and 1: shares 3/4 and 1/4, e^H = 4 / 3^(3/4)
    assert measure.rankme(np.diag([3.0, 1.0])) == pytest.approx(4 / 3**0.75, rel=1e-4)


def test_a_unit_that_follows_the_label_is_selective_and_noise_is_not() -> None:
    labels = np.repeat(["carry", "kneel"], 100)
    random = np.random.default_rng(0)
    unit = (labels == "carry").astype(float)
    latents = np.column_stack([unit, -3 * unit + 1, random.normal(size=(200, 40))])
    found = measure.selectivity(latents, labels)
    assert found.classes == ("carry", "kneel")
    np.testing.assert_allclose(found.shares[:2], 1)
    assert (found.null_quantiles < 0.05).all()
    noise_above = (found.shares > found.null_quantiles)[2:].mean()
    assert noise_above < 0.2
    assert found.above_chance == pytest.approx((2 + 40 * noise_above) / 42)


def test_selectivity_is_the_share_of_variance_between_classes() -> None:
    """Values 0, 2 | 4, 6: means 1 and 5 about 3 give 16 of a total of 20."""
    labels = np.array([0, 0, 1, 1])
    values = np.array([[0.0], [2.0], [4.0], [6.0]])
    assert measure.selectivity(values, labels).shares[0] == pytest.approx(0.8)


def test_the_quantile_of_chance_is_that_of_the_beta_law() -> None:
    """With two classes and normal noise eta^2 follows Beta(1/2, (n - 2)/2)."""
    latents = np.random.default_rng(3).normal(size=(80, 30))
    found = measure.selectivity(latents, np.arange(80) % 2, shuffles=800)
    expected = float(beta.ppf(0.95, 0.5, 39))
    assert found.null_quantiles.mean() == pytest.approx(expected, rel=0.1)


def test_tensors_and_arrays_give_the_same_monitors() -> None:
    latents = drawn(5)
    latents[:, 2] = 0.7
    found = measure.monitors(latents)
    assert found == measure.monitors(torch.from_numpy(latents).requires_grad_())
    assert (found.samples, found.units, found.silent_units) == (60, 7, 1)
    assert 1 <= found.participation_ratio <= 6
    assert 1 <= found.rankme <= 7


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least two classes"):
        measure.selectivity(CORNERS, np.zeros(4))
    with pytest.raises(ConfigError, match="at least 2"):
        measure.monitors(CORNERS[:1])
