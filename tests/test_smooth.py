"""The One-Euro filter: values worked out by hand, true time steps, one state for each person."""

import math

import numpy as np
import pytest

from edge_pose.smooth import OneEuro, OneEuroSettings, PoseFilter, SmoothSettings

MS = 1_000_000


def one(value: float) -> np.ndarray:
    return np.array([[value]])


def test_the_second_value_is_the_one_worked_out_from_the_paper() -> None:
    """A step from 0 to 1 after 0.1 s, fcmin = 1 Hz, beta = 0.5, derivative cut-off 1 Hz.

    Derivative 10 /s; alpha(1 Hz) = 1 / (1 + 1 / (2 pi 0.1)) = 0.38587; so 3.8587 /s is the
    smoothed speed, the cut-off 1 + 0.5 * 3.8587 = 2.92934 Hz, and
    alpha = 1 / (1 + 1 / (2 pi 2.92934 * 0.1)) = 0.64796.
    """
    euro = OneEuro(OneEuroSettings(min_cutoff_hz=1.0, beta=0.5, derivative_cutoff_hz=1.0))
    euro.step(one(0.0), 0)
    assert euro.step(one(1.0), 100 * MS)[0, 0] == pytest.approx(0.64796, abs=1e-4)


def test_uneven_frames_end_where_even_ones_end() -> None:
    """One long step is not quite many short ones, but both are near the exponential."""
    settings = OneEuroSettings(min_cutoff_hz=0.5, beta=0.0)
    even, uneven = OneEuro(settings), OneEuro(settings)
    even.step(one(0.0), 0)
    uneven.step(one(0.0), 0)
    for at_ms in range(10, 401, 10):
        last_even = even.step(one(1.0), at_ms * MS)
    random = np.random.default_rng(0)
    times = np.sort(np.concatenate([random.choice(np.arange(1, 400), 25, replace=False), [400]]))
    for at_ms in times:
        last_uneven = uneven.step(one(1.0), int(at_ms) * MS)
    exact = 1.0 - math.exp(-2.0 * math.pi * 0.5 * 0.4)
    assert last_even[0, 0] == pytest.approx(exact, abs=0.02)
    assert last_uneven[0, 0] == pytest.approx(exact, abs=0.03)


def test_a_filter_that_believes_in_thirty_frames_a_second_would_fail_at_five() -> None:
    """The story of a rival: its filter has a fixed rate, so slow streams lag by whole seconds."""
    settings = OneEuroSettings(min_cutoff_hz=2.0, beta=0.0)
    slow = OneEuro(settings)
    slow.step(one(0.0), 0)
    assert slow.step(one(1.0), 200 * MS)[0, 0] > 0.7


def test_still_points_stop_trembling_and_fast_ones_keep_up() -> None:
    random = np.random.default_rng(0)
    settings = SmoothSettings().joints
    still, fast = OneEuro(settings), OneEuro(settings)
    trembling, lag = [], []
    for index in range(90):
        noise = random.normal(0, 0.01, (1, 3))
        trembling.append(still.step(noise, index * 33 * MS))
        truth = np.array([[3.0 * index * 0.033, 0.0, 0.0]])
        lag.append(np.linalg.norm(fast.step(truth, index * 33 * MS) - truth))
    assert np.std(trembling[30:]) < 0.006
    assert np.mean(lag[30:]) < 0.06


def test_turning_the_axes_turns_the_result() -> None:
    random = np.random.default_rng(0)
    path = np.cumsum(random.normal(0, 0.05, (40, 5, 3)), axis=0)
    angle = 0.7
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    plain, turned = OneEuro(SmoothSettings().joints), OneEuro(SmoothSettings().joints)
    for index, points in enumerate(path):
        expected = plain.step(points, index * 33 * MS) @ turn.T
        found = turned.step(points @ turn.T, index * 33 * MS)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_one_restless_joint_leaves_its_neighbours_calm() -> None:
    settings = OneEuroSettings(min_cutoff_hz=1.0, beta=5.0)
    together, alone = OneEuro(settings), OneEuro(settings)
    random = np.random.default_rng(0)
    for index in range(30):
        calm = random.normal(0, 0.01, (1, 3))
        wild = np.array([[2.0 * math.sin(index), 0.0, 0.0]])
        both = together.step(np.concatenate([calm, wild]), index * 33 * MS)
        single = alone.step(calm, index * 33 * MS)
    np.testing.assert_allclose(both[:1], single)


@pytest.mark.parametrize("jump_ms", [600, -100])
def test_after_a_long_or_backward_jump_the_past_is_forgotten(jump_ms: int) -> None:
    euro = OneEuro(OneEuroSettings(min_cutoff_hz=0.1, beta=0.0))
    euro.step(one(0.0), 1000 * MS)
    assert euro.step(one(5.0), (1000 + jump_ms) * MS)[0, 0] == 5.0


def test_the_same_moment_twice_changes_nothing() -> None:
    euro = OneEuro(OneEuroSettings(min_cutoff_hz=1.0, beta=0.0))
    euro.step(one(1.0), 0)
    assert euro.step(one(9.0), 0)[0, 0] == 1.0


def test_depth_noise_of_a_far_person_is_calmed_without_moving_them_sideways() -> None:
    person = PoseFilter(SmoothSettings())
    random = np.random.default_rng(0)
    ray = np.array([0.3, 0.05, 1.0])
    depths = []
    for index in range(120):
        root = person.place(ray * 6.0 * math.exp(random.normal(0, 0.04)), index * 33 * MS)
        np.testing.assert_allclose(root[:2] / root[2], ray[:2], atol=1e-9)
        depths.append(root[2])
    # Unfiltered it would be 4 % of 6 m.
    assert np.std(depths[30:]) < 0.6 * 0.24
    assert np.mean(depths[30:]) == pytest.approx(6.0, abs=0.1)


def test_two_people_do_not_share_a_filter() -> None:
    """The story of a rival: one depth filter for everybody, set back by each new person."""
    first, second = PoseFilter(SmoothSettings()), PoseFilter(SmoothSettings())
    first.place(np.array([0.0, 0.0, 3.0]), 0)
    second.place(np.array([0.0, 0.0, 8.0]), 0)
    assert first.place(np.array([0.0, 0.0, 3.0]), 33 * MS)[2] == pytest.approx(3.0)
    assert second.place(np.array([0.0, 0.0, 8.0]), 33 * MS)[2] == pytest.approx(8.0)
