"""Probes against brute force, and against features in which the answer is known to lie."""

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_pose.errors import ConfigError
from edge_pose.skeleton import INDEX, NUM_JOINTS, ROOT
from train.probes import HeadRecipe, Known, fit_ridge, head_probe, known_people, linear_probe, pool


def bodies(seed: int, people: int) -> np.ndarray:
    joints_m = np.random.default_rng(seed).normal(0, 0.3, (people, NUM_JOINTS, 3))
    hips = joints_m[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(1, keepdims=True)
    joints_m = joints_m - hips
    joints_m[:, ROOT] = 0
    return joints_m.astype(np.float32)


def mixed(joints_m: np.ndarray, units: int, *, bend: float = 0.0) -> np.ndarray:
    """Features that hold the first joint's coordinates, turned and, with `bend`, folded."""
    random = np.random.default_rng(99)
    flat = joints_m[:, :1].reshape(len(joints_m), -1)
    turned = flat @ random.normal(size=(flat.shape[1], units)) + random.normal(size=units)
    return ((1 - bend) * turned + bend * np.sin(6 * turned)).astype(np.float32)


def only_the_nose(joints_m: np.ndarray) -> np.ndarray:
    """Bodies of which nothing moves but the first joint, so that features can hold everything."""
    still = joints_m.copy()
    still[:, 1:] = 0
    still[:, INDEX["left_hip"], 0], still[:, INDEX["right_hip"], 0] = 0.1, -0.1
    return still


def test_the_error_of_leaving_one_out_is_that_of_really_leaving_it_out() -> None:
    random = np.random.default_rng(1)
    features, outputs = random.normal(size=(15, 6)), random.normal(size=(15, 4))
    ridge = fit_ridge(features, outputs, [0.3])
    squared = []
    for one in range(15):
        rest = np.arange(15) != one
        middle, aim = features[rest].mean(0), outputs[rest].mean(0)
        x, y = features[rest] - middle, outputs[rest] - aim
        # Least squares of an augmented system about the mean of the rest: no hat matrix anywhere.
        system = np.vstack([x, np.sqrt(ridge.strength) * np.eye(6)])
        weights, *_ = np.linalg.lstsq(system, np.vstack([y, np.zeros((6, 4))]), rcond=None)
        squared.append(((features[one] - middle) @ weights + aim - outputs[one]) ** 2)
    assert ridge.left_out_error == pytest.approx(np.mean(squared))


def test_the_ridge_solves_its_normal_equations() -> None:
    random = np.random.default_rng(2)
    features, outputs = random.normal(size=(30, 5)) + 4, random.normal(size=(30, 2)) - 7
    ridge = fit_ridge(features, outputs, [0.5])
    centred = features - features.mean(0)
    expected = np.linalg.solve(
        centred.T @ centred + ridge.strength * np.eye(5), centred.T @ (outputs - outputs.mean(0))
    )
    np.testing.assert_allclose(ridge.weights, expected, atol=1e-10)
    np.testing.assert_allclose(ridge(features).mean(0), outputs.mean(0))


def test_noise_asks_for_a_strong_ridge_and_a_clean_line_for_a_weak_one() -> None:
    random = np.random.default_rng(3)
    features = random.normal(size=(40, 20))
    clean = features @ random.normal(size=(20, 3))
    assert fit_ridge(features, clean).strength < 0.1
    assert fit_ridge(features, random.normal(size=(40, 3))).strength > 40


def test_joints_that_lie_linearly_in_the_features_are_found_and_those_that_do_not_are_not() -> None:
    fitted, held_out = only_the_nose(bodies(1, 200)), only_the_nose(bodies(2, 80))
    known = Known(features=mixed(fitted, 40), joints_m=fitted)
    unseen = Known(features=mixed(held_out, 40), joints_m=held_out)
    found = linear_probe(known, unseen)
    assert found.mpjpe_mm.mean < 1
    assert (found.fitted_people, found.held_out_people) == (200, 80)
    unrelated = Known(features=mixed(bodies(5, 80), 40), joints_m=held_out)
    assert linear_probe(known, unrelated).mpjpe_mm.mean > 15


def test_a_unit_that_is_loud_for_the_first_time_does_not_throw_anybody_far() -> None:
    fitted, held_out = bodies(1, 200), bodies(2, 80)
    faint = np.random.default_rng(7).normal(scale=1e-3, size=(200, 1)).astype(np.float32)
    known = Known(features=np.hstack([mixed(fitted, 40), faint]), joints_m=fitted)

    def error_mm(loud: float) -> float:
        unit = np.zeros((80, 1), np.float32)
        unit[3] = loud
        unseen = Known(features=np.hstack([mixed(held_out, 40), unit]), joints_m=held_out)
        return linear_probe(known, unseen).mpjpe_mm.mean

    assert error_mm(loud=1e4) == pytest.approx(error_mm(loud=0.0), rel=0.05)


def test_without_information_the_probe_answers_the_mean_pose() -> None:
    fitted, held_out = bodies(1, 60), bodies(2, 40)
    silent = np.full((60, 3), 2.5, np.float32)
    found = linear_probe(
        Known(features=silent, joints_m=fitted), Known(features=silent[:40], joints_m=held_out)
    )
    mean = fitted.mean(0)
    mean = mean - mean[[INDEX["left_hip"], INDEX["right_hip"]]].mean(0)
    by_hand = np.linalg.norm(held_out - mean, axis=2).mean() * 1000
    assert found.mpjpe_mm.mean == pytest.approx(by_hand, rel=1e-4)


def test_a_small_head_reads_folded_features_that_a_line_cannot() -> None:
    fitted, held_out = only_the_nose(bodies(1, 2000)), only_the_nose(bodies(2, 80))
    known = Known(features=mixed(fitted, 40, bend=0.9), joints_m=fitted)
    unseen = Known(features=mixed(held_out, 40, bend=0.9), joints_m=held_out)
    line = linear_probe(known, unseen).mpjpe_mm.mean
    head = head_probe(known, unseen, HeadRecipe(steps=300)).mpjpe_mm.mean
    assert head < 0.8 * line
    torch.manual_seed(5)  # the result is the recipe's own, whatever the global state
    assert head_probe(known, unseen, HeadRecipe(steps=300)).mpjpe_mm.mean == head


def test_pooling_keeps_the_quarter_of_the_picture_a_token_belongs_to() -> None:
    tokens = torch.zeros(1, 16, 2)
    tokens[0, 3, 1] = 8.0  # top right of a 4 x 4 grid
    expected = torch.tensor([[0, 0, 0, 0, 0, 2.0, 0, 0]])  # unit 1; quarters in reading order
    assert torch.equal(pool(tokens), expected)
    assert torch.equal(pool(tokens.transpose(1, 2).reshape(1, 2, 4, 4)), expected)
    assert torch.equal(pool(torch.ones(3, 5)), torch.ones(3, 5))
    with pytest.raises(ConfigError, match="17 tokens"):
        pool(torch.zeros(1, 17, 2))


def test_people_without_3d_are_left_out_and_the_encoder_is_left_alone() -> None:
    batch = {
        "input": torch.rand(4, 3, 8, 8),
        "joints_m": torch.from_numpy(bodies(0, 4)),
        "has_3d": torch.tensor([True, False, True, False]),
    }
    scale = torch.ones(1, requires_grad=True)

    def encode(image: Tensor) -> Tensor:
        return image * scale

    known = known_people(encode, [batch, batch])
    assert known.features.shape == (4, 12)
    np.testing.assert_array_equal(known.joints_m[:2], bodies(0, 4)[[0, 2]])
    with pytest.raises(ConfigError, match="give rendered people"):
        known_people(encode, [{**batch, "has_3d": torch.zeros(4, dtype=torch.bool)}])
