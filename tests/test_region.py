"""Squares to look at: their middle, their size, their upright."""

from dataclasses import replace

import numpy as np
import pytest

from edge_pose.region import Region, region_of_body, region_of_box, region_of_upper_half


def test_a_square_of_a_body_faces_the_second_point() -> None:
    region = region_of_body(np.array([[100.0, 50.0], [100.0, 90.0]]))
    assert region.side_px == pytest.approx(100.0)
    assert abs(region.turn_rad) == pytest.approx(np.pi)
    moved = region.shifted(np.array([3.0, -4.0]))
    assert moved == replace(region, centre_px=(103.0, 46.0))


def test_a_body_without_extent_still_gives_a_square() -> None:
    assert region_of_body(np.full((2, 2), 7.0)).side_px == 8.0


def test_a_first_look_is_a_quarter_larger_than_the_box() -> None:
    region = region_of_box(np.array([10.0, 20.0, 30.0, 100.0]))
    assert region == Region(centre_px=(20.0, 60.0), side_px=100.0)


def test_the_upper_half_of_a_body_lies_in_the_upper_half_of_its_square() -> None:
    region = region_of_upper_half(np.array([10.0, 20.0, 90.0, 100.0]))
    assert region == Region(centre_px=(50.0, 100.0), side_px=200.0)


def test_a_square_keeps_its_place_when_the_frame_changes_size() -> None:
    region = Region(centre_px=(320.0, 200.0), side_px=128.0, turn_rad=0.3)
    half = region.scaled(np.array([0.5, 0.5]))
    assert half == Region(centre_px=(160.0, 100.0), side_px=64.0, turn_rad=0.3)


def test_the_middle_and_the_top_of_the_square_are_where_they_should_be() -> None:
    region = Region(centre_px=(320.0, 200.0), side_px=128.0, turn_rad=np.pi / 2)
    affine = region.image_from_region(256)
    np.testing.assert_allclose(affine @ [127.5, 127.5, 1.0], [320.0, 200.0])
    np.testing.assert_allclose(affine @ [127.5, -0.5, 1.0], [384.0, 200.0])
