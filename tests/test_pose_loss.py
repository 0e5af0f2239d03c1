"""What the pose network is punished for, against cases worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_pose import skeleton
from train.calibrate import fit_calibration
from train.pose_loss import WEIGHTS, asymmetry_m, lift_gap, pose_terms, total

JOINTS = skeleton.NUM_JOINTS


def body(seed: int = 0) -> Tensor:
    return torch.randn(3, JOINTS, 3, generator=torch.Generator().manual_seed(seed)) * 0.3


def test_a_scaled_orthographic_view_leaves_no_lift_gap() -> None:
    joints_m = body()
    seen_px = joints_m[..., :2] * torch.tensor([80.0, 120.0, 200.0])[:, None, None] + 77
    weight = torch.rand(3, JOINTS)
    assert float(lift_gap(joints_m, seen_px, weight)) < 1e-5


def test_the_lift_gap_grows_with_the_error_and_ignores_unknown_joints() -> None:
    joints_m, weight = body(), torch.ones(3, JOINTS)
    seen_px = joints_m[..., :2] * 100
    gaps = []
    for error_px in (0.0, 5.0, 20.0):
        moved = seen_px.clone()
        moved[:, 3, 0] += error_px
        gaps.append(float(lift_gap(joints_m, moved, weight)))
    assert gaps[0] < gaps[1] < gaps[2]
    weight[:, 3] = 0
    assert float(lift_gap(joints_m, moved, weight)) < 1e-5


def test_a_mirrored_view_is_not_explained_by_a_negative_scale() -> None:
    joints_m = body()
    assert float(lift_gap(joints_m, joints_m[..., :2] * -100, torch.ones(3, JOINTS))) > 0.05


def test_asymmetry_is_the_mean_difference_of_limb_lengths() -> None:
    joints_m = torch.zeros(1, JOINTS, 3)
    joints_m[0, skeleton.INDEX["left_wrist"]] = torch.tensor([0.0, 0.3, 0.4])
    # Left forearm 0.5 m, right forearm 0; the other three of four pairs agree.
    assert torch.isclose(asymmetry_m(joints_m, torch.ones(1)), torch.tensor(0.5 / 4))


def test_a_term_without_a_weight_is_refused() -> None:
    terms = {name: torch.tensor(1.0) for name in WEIGHTS}
    assert torch.isclose(total(terms), torch.tensor(sum(WEIGHTS.values())))
    with pytest.raises(KeyError, match="extra"):
        total(terms | {"extra": torch.tensor(1.0)})
    with pytest.raises(KeyError, match="must match"):
        total({"px": torch.tensor(1.0)})


def test_a_perfect_prediction_costs_nothing_and_unknown_3d_weighs_nothing() -> None:
    joints_m = body()
    for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = (skeleton.INDEX[f"{side}_{limb}"] for side in ("left", "right"))
        joints_m[:, right] = joints_m[:, left] * torch.tensor([-1.0, 1.0, 1.0])
    joints_px = joints_m[..., :2] * 100 + 128
    batch = {
        "joints_px": joints_px,
        "weight_2d": torch.ones(3, JOINTS),
        "joints_m": torch.where(torch.tensor([True, False, False])[:, None, None], joints_m, 9.0),
        "reach_px": torch.full((3, 2, 2), 50.0),
        "has_3d": torch.tensor([True, False, False]),
        "presence": torch.tensor([1.0, 1.0, 0.0]),
    }
    predicted = {
        "reach_px": torch.tensor([50.0, 50.0, 99.0])[:, None, None].expand(3, 2, 2),
        "joints_px": joints_px,
        "joints_m": joints_m,
        "score_logits": torch.tensor([30.0, 30.0, -30.0])[:, None].expand(3, JOINTS),
        "presence_logits": torch.tensor([30.0, 30.0, -30.0]),
    }
    terms = pose_terms(predicted, batch)
    assert max(float(value) for value in terms.values()) < 1e-5


@pytest.mark.slow
def test_the_calibration_finds_the_slope_and_offset_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (8000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(0.6 * logits + np.array([0.8, -0.5]))))
    right = rng.random(logits.shape) < chance
    judged = rng.random(logits.shape) < 0.7
    right[~judged] = True  # what nobody judged must not count
    found = fit_calibration(logits, right, judged)
    assert found.slope == pytest.approx((0.6, 0.6), abs=0.05)
    assert found.offset == pytest.approx((0.8, -0.5), abs=0.1)
