"""The detector looks at the whole frame and, in turn, closer up; nobody is cut by every look."""

import numpy as np
import pytest

from edge_pose.sweep import Sweep, is_cut, views_of


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (1080, 1920), (3840, 1080), (320, 240)])
def test_the_squares_are_as_high_as_the_frame_cover_it_and_overlap(size: tuple[int, int]) -> None:
    whole, *squares = views_of(*size)
    assert whole.tolist() == [0, 0, *size]
    side, axis = min(size), int(size[1] > size[0])
    assert all((square[2:] - square[:2]).tolist() == [side, side] for square in squares)
    starts = [float(square[axis]) for square in squares]
    assert starts[0] == 0
    assert starts[-1] == max(size) - side
    assert max(np.diff(starts)) <= 0.8 * side + 1


def test_a_frame_that_is_nearly_square_is_looked_at_as_a_whole() -> None:
    assert len(views_of(720, 720)) == len(views_of(1280, 1080)) == 1


def test_whoever_is_narrower_than_the_overlap_is_whole_in_some_square() -> None:
    squares = views_of(1920, 1080)[1:]
    for left in range(0, 1920 - 180, 20):
        box = np.array([[left, 300, left + 180, 800]], np.float32)
        assert not all(is_cut(box, square, (1920, 1080))[0] for square in squares)


def test_a_box_at_the_rim_of_the_frame_is_not_cut_but_one_at_the_rim_of_a_view_is() -> None:
    view = np.array([0, 0, 1080, 1080], np.float32)
    boxes = np.array([[0, 0, 200, 1080], [900, 300, 1079, 800], [500, 20, 700, 1079]], np.float32)
    assert is_cut(boxes, view, (1920, 1080)).tolist() == [False, True, False]


def test_a_new_frame_size_is_swept_at_once_and_then_every_second_turn_is_the_whole() -> None:
    sweep = Sweep()
    whole, left, right = views_of(1920, 1080)
    assert len(sweep.next_views(1920, 1080)) == 3
    turns = [sweep.next_views(1920, 1080) for _ in range(6)]
    assert all(len(turn) == 1 for turn in turns)
    expected = [left, whole, right, whole, left, whole]
    assert [turn[0].tolist() for turn in turns] == [view.tolist() for view in expected]
    assert len(sweep.next_views(1280, 720)) == 3
