"""Errors of poses against values worked out by hand and against naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64

from edge_pose.skeleton import INDEX, NUM_JOINTS
from train import confidence, metrics

RIGHT_TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def body(seed: int = 0, frames: int = 3) -> Float64[np.ndarray, "frames joints 3"]:
    return np.random.default_rng(seed).normal(0, 0.4, (frames, NUM_JOINTS, 3))


def everything(frames: int = 3) -> np.ndarray:
    return np.ones((frames, NUM_JOINTS), np.bool_)


def test_where_the_body_stands_does_not_matter_to_root_aligned_errors() -> None:
    truth = body()
    errors = metrics.position_errors_mm(truth + np.array([1.0, -2.0, 3.0]), truth, everything())
    np.testing.assert_allclose(errors, 0, atol=1e-9)


def test_a_wrist_off_by_three_and_four_centimetres_is_fifty_millimetres_off() -> None:
    truth = body()
    predicted = truth.copy()
    predicted[1, INDEX["left_wrist"]] += [0.03, 0.0, -0.04]
    errors = metrics.position_errors_mm(predicted, truth, everything())
    assert errors[1, INDEX["left_wrist"]] == pytest.approx(50)
    assert np.delete(errors[1], INDEX["left_wrist"]).max() == pytest.approx(0, abs=1e-9)


def test_the_root_is_the_middle_of_the_joints_that_are_named() -> None:
    """A hip that is 20 mm off moves the mid-hip by 10 mm, and with it every other joint."""
    truth = body()
    predicted = truth.copy()
    predicted[:, INDEX["left_hip"], 0] += 0.02
    by_hips = metrics.position_errors_mm(predicted, truth, everything())
    by_shoulders = metrics.position_errors_mm(
        predicted, truth, everything(), root=metrics.MID_SHOULDER
    )
    np.testing.assert_allclose(by_hips, 10)
    assert by_shoulders[0, INDEX["nose"]] == pytest.approx(0, abs=1e-9)
    assert by_shoulders[0, INDEX["left_hip"]] == pytest.approx(20)


def test_a_joint_that_does_not_count_has_no_error_and_a_lost_root_takes_the_frame() -> None:
    counted = everything()
    counted[0, INDEX["nose"]] = False
    counted[1, INDEX["right_hip"]] = False
    errors = metrics.position_errors_mm(body(1), body(2), counted)
    assert np.isnan(errors[0, INDEX["nose"]])
    assert np.isfinite(np.delete(errors[0], INDEX["nose"])).all()
    assert np.isnan(errors[1]).all()
    assert np.isfinite(errors[2]).all()


def test_unknown_coordinates_outside_the_mask_do_no_harm() -> None:
    counted = everything()
    counted[:, INDEX["spine"]] = False
    predicted, truth = body(1), body(2)
    predicted[:, INDEX["spine"]] = np.nan
    for errors in (
        metrics.position_errors_mm(predicted, truth, counted),
        metrics.aligned_errors_mm(predicted, truth, counted),
        metrics.scaled_errors_mm(predicted, truth, counted),
    ):
        assert np.isfinite(np.delete(errors, INDEX["spine"], axis=1)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 3.0))
def test_the_similarity_undoes_any_turn_scale_and_shift(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    truth = body(seed)
    moved = scale * truth @ turn.T + random.normal(size=3)
    np.testing.assert_allclose(metrics.aligned_errors_mm(moved, truth, everything()), 0, atol=1e-6)


def test_the_mirror_image_of_a_body_does_not_fit() -> None:
    truth = body()
    mirrored = truth * [-1.0, 1.0, 1.0]
    rotation, _, _ = metrics.fit_similarity(mirrored[0], truth[0])
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert metrics.mean_error(metrics.aligned_errors_mm(mirrored, truth, everything())) > 50


def test_no_similarity_nearby_fits_better_than_the_one_found() -> None:
    """An independent check of the closed form: small changes of it only make it worse."""
    points, targets = body(4)[0], body(5)[0]
    rotation, scale, shift = metrics.fit_similarity(points, targets)

    def misfit(turn: np.ndarray, factor: float, offset: np.ndarray) -> float:
        return float(((factor * points @ (turn @ rotation).T + offset - targets) ** 2).sum())

    best = misfit(np.eye(3), scale, shift)
    random = np.random.default_rng(6)
    for _ in range(50):
        skew = np.cross(np.eye(3), random.normal(0, 0.02, 3))
        turn, _ = np.linalg.qr(np.eye(3) + skew)
        turn *= np.sign(np.diag(turn))
        assert misfit(turn, scale, shift) >= best
        assert misfit(np.eye(3), scale * random.uniform(0.98, 1.02), shift) >= best
        assert misfit(np.eye(3), scale, shift + random.normal(0, 0.01, 3)) >= best


def test_three_joints_are_too_few_for_a_similarity() -> None:
    counted = np.zeros((3, NUM_JOINTS), np.bool_)
    counted[0, :3] = True
    counted[1, :4] = True
    errors = metrics.aligned_errors_mm(body(1), body(2), counted)
    assert np.isnan(errors[0]).all()
    assert np.isfinite(errors[1, :4]).all()


def test_a_giant_is_right_once_scaled_but_not_once_turned() -> None:
    truth = body()
    giant = metrics.scaled_errors_mm(1.3 * truth + 0.5, truth, everything())
    np.testing.assert_allclose(giant, 0, atol=1e-9)
    turned = metrics.scaled_errors_mm(truth @ RIGHT_TURN.T, truth, everything())
    assert metrics.mean_error(turned) > 100


def test_shares_and_area_follow_their_definitions() -> None:
    errors = np.array([[0.0, 75.0, 150.0, 151.0, np.nan, np.inf]])
    assert metrics.correct_share(errors, 150.0) == pytest.approx(3 / 5)
    by_hand = np.mean([(errors[0, [0, 1, 2, 3, 5]] <= 5 * step).mean() for step in range(31)])
    assert metrics.area_under_curve(errors) == pytest.approx(by_hand)


def test_a_steady_offset_has_no_speed_error_and_a_jump_has_one_and_two() -> None:
    truth = body(frames=5)
    offset = truth.copy()
    offset[:, INDEX["nose"]] += 0.1
    still = metrics.speed_errors_mm(offset, truth, everything(5))
    np.testing.assert_allclose(still, 0, atol=1e-9)
    jump = truth.copy()
    jump[2, INDEX["nose"], 1] += 0.01
    speed = metrics.speed_errors_mm(jump, truth, everything(5))[:, INDEX["nose"]]
    acceleration = metrics.acceleration_errors_mm(jump, truth, everything(5))[:, INDEX["nose"]]
    np.testing.assert_allclose(speed, [0, 10, 10, 0], atol=1e-9)
    np.testing.assert_allclose(acceleration, [10, 20, 10], atol=1e-9)


def test_a_gap_interrupts_speed() -> None:
    counted = everything(5)
    counted[2, INDEX["nose"]] = False
    speed = metrics.speed_errors_mm(body(1, 5), body(2, 5), counted)[:, INDEX["nose"]]
    assert list(np.isfinite(speed)) == [True, False, False, True]


def test_pixels_are_measured_in_torsos_and_boxes() -> None:
    truth = np.zeros((1, NUM_JOINTS, 2))
    truth[0, list(metrics.MID_SHOULDER)] = [[40.0, 0.0], [60.0, 0.0]]
    truth[0, list(metrics.MID_HIP)] = [[45.0, 100.0], [55.0, 100.0]]
    predicted = truth.copy()
    predicted[0, INDEX["left_hip"]] += [6.0, 8.0]
    counted = np.zeros((1, NUM_JOINTS), np.bool_)
    counted[0, [*metrics.MID_SHOULDER, *metrics.MID_HIP]] = True
    errors = metrics.pixel_errors_px(predicted, truth, counted)
    assert errors[0, INDEX["left_hip"]] == pytest.approx(10)
    assert metrics.torso_px(truth)[0] == pytest.approx(100)
    assert metrics.box_px(truth, counted)[0] == pytest.approx(100)
    relative = metrics.relative_errors(errors, metrics.torso_px(truth))
    assert relative[0, INDEX["left_hip"]] == pytest.approx(0.1)


def test_the_visible_and_the_occluded_make_up_the_whole() -> None:
    errors = metrics.position_errors_mm(body(1), body(2), everything())
    visible = np.random.default_rng(0).random(errors.shape) < 0.6
    seen, hidden = metrics.visible_and_occluded(errors, visible)
    total = np.nansum(seen) + np.nansum(hidden)
    assert total == pytest.approx(errors.sum())
    assert np.isnan(seen[~visible]).all()
    assert np.isnan(hidden[visible]).all()


def test_the_interval_of_independent_frames_is_that_of_the_normal_law() -> None:
    errors = np.random.default_rng(1).normal(100, 20, (400, 1))
    interval = confidence.bootstrap_mean(errors)
    half = 1.96 * errors.std() / 20
    assert interval.mean == pytest.approx(errors.mean())
    assert interval.low == pytest.approx(errors.mean() - half, abs=0.3)
    assert interval.high == pytest.approx(errors.mean() + half, abs=0.3)
    assert (interval.groups, interval.measured) == (400, 400)


def test_frames_of_one_person_do_not_count_as_many_witnesses() -> None:
    """Twenty persons of twenty identical frames say no more than twenty frames."""
    person = np.random.default_rng(2).normal(100, 20, (20, 1))
    errors, groups = np.repeat(person, 20, axis=0), np.repeat(np.arange(20), 20)
    grouped = confidence.bootstrap_mean(errors, groups)
    naive = confidence.bootstrap_mean(errors)
    alone = confidence.bootstrap_mean(person)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert naive.high - naive.low < (grouped.high - grouped.low) / 3


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    hard = np.random.default_rng(3).normal(100, 40, (200, 1))
    noise = np.random.default_rng(4).normal(0, 1, (200, 1))
    difference = confidence.bootstrap_difference(hard - 3 + noise, hard)
    assert difference.low < -3 < difference.high
    assert difference.high - difference.low < 0.5


def test_nothing_measured_has_no_mean() -> None:
    interval = confidence.bootstrap_mean(np.full((4, 2), np.nan))
    assert np.isnan(interval.mean)
    assert interval.measured == 0


def test_scores_that_keep_their_word_have_no_calibration_error() -> None:
    random = np.random.default_rng(5)
    scores = random.random(200_000)
    honest = confidence.reliability(scores, random.random(200_000) < scores)
    boastful = confidence.reliability(scores, random.random(200_000) < scores**2)
    assert honest.expected_error < 0.01
    assert boastful.expected_error == pytest.approx(1 / 6, abs=0.01)
    assert honest.counts.sum() == 200_000


def test_the_calibration_error_of_two_bins_by_hand() -> None:
    found = confidence.reliability(
        np.array([0.9, 0.9, 0.9, 0.2]), np.array([True, True, False, False])
    )
    assert found.expected_error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.2)
    assert confidence.reliability_table(found).splitlines() == [
        "| score | joints | mean score | share right |",
        "| --- | ---: | ---: | ---: |",
        "| 0.2-0.3 | 1 | 0.200 | 0.000 |",
        "| 0.9-1.0 | 3 | 0.900 | 0.667 |",
    ]


def test_the_joint_table_leaves_out_what_was_not_measured() -> None:
    errors = np.array([[10.0, np.nan], [10.0, np.nan]])
    table = confidence.joint_table(["nose", "spine"], {"ours": errors})
    assert table.splitlines()[2:] == ["| nose | 10.0 [10.0, 10.0] |"]
