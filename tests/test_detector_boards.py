"""What stands before people in the detector's frames, and what becomes of their boxes."""

import numpy as np
import pytest

from train.detector_boards import HIDDEN_SHARE, _left_in_sight, hide_people

FRAME = np.full((240, 320, 3), 128, np.uint8)
BOX_PX = np.array([100, 40, 160, 200], np.float32)


def test_a_box_ends_where_a_table_hides_the_rest() -> None:
    in_sight = np.ones((240, 320), bool)
    in_sight[80:, :] = False
    box_px, share = _left_in_sight(in_sight, BOX_PX)
    np.testing.assert_array_equal(box_px, [100, 40, 160, 80])
    assert share == pytest.approx(0.25)


def test_a_box_that_shows_at_both_ends_stays_and_one_behind_a_door_narrows() -> None:
    beam = np.ones((240, 320), bool)
    beam[90:140, :] = False
    box_px, share = _left_in_sight(beam, BOX_PX)
    np.testing.assert_array_equal(box_px, BOX_PX)
    assert share == pytest.approx(1 - 50 / 160)
    door = np.ones((240, 320), bool)
    door[:, :145] = False
    box_px, share = _left_in_sight(door, BOX_PX)
    np.testing.assert_array_equal(box_px, [145, 40, 160, 200])
    assert share == pytest.approx(0.25)


def test_who_is_hidden_altogether_has_nothing_in_sight() -> None:
    _, share = _left_in_sight(np.zeros((240, 320), bool), BOX_PX)
    assert share == 0


def test_pixels_change_where_boxes_say_so_and_nobody_gets_a_larger_box() -> None:
    touched = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hidden, boxes_px, shares = hide_people(FRAME, BOX_PX[None], rng)
        changed = (hidden != FRAME).any(2)
        share = float(shares[0])
        assert (boxes_px[0, :2] >= BOX_PX[:2]).all()
        assert (boxes_px[0, 2:] <= BOX_PX[2:]).all()
        x0, y0, x1, y1 = BOX_PX.astype(int)
        if not changed[y0:y1, x0:x1].any():
            assert share == 1
        touched += share < 1
    assert HIDDEN_SHARE < touched / 300 < HIDDEN_SHARE + 0.25


def test_a_frame_without_people_is_now_and_then_covered_too() -> None:
    nobody = np.zeros((0, 4), np.float32)
    covered = 0
    for seed in range(200):
        hidden, boxes_px, shares = hide_people(FRAME, nobody, np.random.default_rng(seed))
        assert not len(boxes_px)
        assert not len(shares)
        covered += bool((hidden != FRAME).any())
    assert covered / 200 == pytest.approx(HIDDEN_SHARE, abs=0.1)
