"""What is cut out of a picture as its background shows nobody that anybody knows of."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_pose.errors import SourceError
from mim_folders import labelled_folder
from train.backgrounds import backdrop, largest_square, main
from train.labelled_image import LabelledImage, encode_picture
from train.pose_data import is_held_out
from train.sources import GivenBox

GROUP = next(name for name in map(str, range(99)) if not is_held_out(name))
HELD_OUT = next(name for name in map(str, range(99)) if is_held_out(name))


def picture(detected: list[list[float]], given: tuple[GivenBox, ...] = ()) -> LabelledImage:
    """Noise, in which each place tells where it is."""
    noise = np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)
    return LabelledImage(
        jpeg=encode_picture(noise),
        key="a",
        source="line",
        licence="none",
        group=GROUP,
        width_px=480,
        height_px=320,
        people=(),
        detected_px=np.array(detected, np.float32).reshape(-1, 4),
        detected_scores=np.ones(len(detected), np.float32),
        given=given,
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_free_square_is_the_one_that_trying_all_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    taken = random.random((9, 13)) < random.uniform(0.05, 0.5)
    best = max(
        side
        for side in range(10)
        for row in range(10 - side)
        for column in range(14 - side)
        if not taken[row : row + side, column : column + side].any()
    )
    found = largest_square(taken)
    assert found is not None
    row, column, side = found
    assert side == best
    assert not taken[row : row + side, column : column + side].any()


def test_where_everything_is_taken_there_is_no_square() -> None:
    assert largest_square(np.ones((4, 5), bool)) is None


def test_a_background_keeps_clear_of_people_whoever_knows_of_them() -> None:
    head = GivenBox(kind="head", box_px=np.array([300, 20, 330, 50], np.float32))
    free = backdrop(picture([]))
    assert free is not None
    assert free.shape == (320, 320, 3)
    left = backdrop(picture([[250, 0, 300, 320]]))
    assert left is not None
    assert 200 <= len(left) <= 238
    below = backdrop(picture([], (head,)))
    assert below is not None
    assert len(below) < 320
    whole = picture([[250, 0, 300, 320]]).image()
    places = [
        column
        for column in range(480 - len(left) + 1)
        if np.array_equal(whole[: len(left), column : column + len(left)], left)
    ]
    assert places
    assert all(column + len(left) <= 250 - 12 or column >= 312 for column in places)


def test_crowds_bare_walls_and_what_is_held_out_give_none() -> None:
    assert backdrop(picture([[100, 0, 380, 320]])) is None
    assert backdrop(replace(picture([]), group=HELD_OUT)) is None
    wall = np.full((320, 480, 3), 90, np.uint8)
    assert backdrop(replace(picture([]), jpeg=encode_picture(wall))) is None


def test_a_folder_without_room_says_what_to_do(tmp_path: Path) -> None:
    labels = labelled_folder(tmp_path / "labels", 2)
    with pytest.raises(SourceError, match="made-up walls"):
        main(Namespace(labels=[labels], out=tmp_path / "out"))
