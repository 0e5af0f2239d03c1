"""Matching: never worse than trying every permutation."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from edge_pose.assign import assign


def best_by_trying(gains: np.ndarray, least: float) -> float:
    worth = np.where(gains >= least, gains, 0.0)
    if worth.shape[0] > worth.shape[1]:
        worth = worth.T
    rows, columns = worth.shape
    return max(
        sum(worth[row, column] for row, column in enumerate(order))
        for order in permutations(range(columns), rows)
    )


@given(rows=draw.integers(1, 5), columns=draw.integers(1, 5), seed=draw.integers(0, 10**6))
def test_no_permutation_gains_more(rows: int, columns: int, seed: int) -> None:
    gains = np.random.default_rng(seed).uniform(0, 1, (rows, columns))
    pairs = assign(gains, least=0.3)
    assert sum(gains[row, column] for row, column in pairs) == pytest.approx(
        best_by_trying(gains, 0.3)
    )
    assert all(gains[row, column] >= 0.3 for row, column in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)


def test_the_greedy_choice_is_not_taken_when_it_costs_more() -> None:
    assert assign(np.array([[0.9, 0.8], [0.8, 0.0]]), least=0.1) == [(0, 1), (1, 0)]


def test_nobody_to_match_is_no_pair() -> None:
    assert assign(np.zeros((0, 3)), least=0.1) == []
    assert assign(np.zeros((3, 0)), least=0.1) == []
