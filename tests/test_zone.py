"""Zones are read as they are drawn, and know how far inside them a place lies."""

import json
import math

import numpy as np
import pytest

from edge_pose.level import on_floor_m, up_in_camera
from edge_pose.zone import NotAZone, Zone, read_zones

SQUARE = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]
NOTCHED = [[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]]
"""A square of which a wedge from below is missing."""


def one(**told: object) -> Zone:
    (zone,) = read_zones({"press": told})
    return zone


@pytest.mark.parametrize(
    ("place", "depth"),
    [((0.5, 0.5), 0.3), ((0.25, 0.5), 0.05), ((0.0, 0.5), -0.2), ((1.0, 1.0), -0.2 * math.sqrt(2))],
)
def test_depth_is_the_distance_from_the_nearest_side(
    place: tuple[float, float], depth: float
) -> None:
    assert one(picture=SQUARE).depth(place) == pytest.approx(depth)


def test_a_polygon_may_have_a_notch() -> None:
    zone = one(floor_m=NOTCHED)
    assert zone.depth((0.5, 2.0)) > 0
    assert zone.depth((3.5, 2.0)) > 0
    assert zone.depth((2.0, 2.0)) < 0, "in the notch"
    assert zone.depth((2.0, 0.5)) > 0


def test_the_way_round_does_not_matter() -> None:
    assert one(picture=SQUARE[::-1]).depth((0.3, 0.5)) == pytest.approx(0.1)


def test_zones_come_from_a_table_or_from_json_in_the_order_in_which_they_stand() -> None:
    table = {"press": {"picture": SQUARE}, "aisle": {"floor_m": NOTCHED, "part": "hips"}}
    press, aisle = read_zones(table)
    assert read_zones(json.dumps(table)) == (press, aisle)
    assert (press.name, press.space, press.part) == ("press", "picture", "feet")
    assert (aisle.name, aisle.space, aisle.part) == ("aisle", "floor_m", "hips")
    assert aisle.corners[3] == (2.0, 1.0)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ([], "wanted a table"),
        ("[", "is not JSON"),
        ({"a/b": {"picture": SQUARE}}, "its name becomes a tag"),
        ({"press": SQUARE}, "wanted a table"),
        ({"press": {}}, "no corners"),
        ({"press": {"picture": SQUARE, "floor_m": SQUARE}}, "either as picture"),
        ({"press": {"pictrue": SQUARE}}, "did you mean 'picture'?"),
        ({"press": {"picture": SQUARE[:2]}}, "three or more"),
        ({"press": {"picture": [*SQUARE, [1]]}}, "three or more"),
        ({"press": {"picture": [*SQUARE, ["a", "b"]]}}, "three or more"),
        ({"press": {"picture": [[0, 0], [640, 0], [640, 480]]}}, "divide by its width"),
        ({"press": {"picture": SQUARE, "part": "head"}}, "wanted 'feet' or 'hips'"),
    ],
)
def test_what_is_no_zone_is_refused_with_what_to_write(told: object, sentence: str) -> None:
    with pytest.raises(NotAZone, match=sentence.replace("?", r"\?")):
        read_zones(told)


def test_a_level_camera_sees_up_against_its_second_axis() -> None:
    np.testing.assert_allclose(up_in_camera(0.0, 0.0), [0, -1, 0], atol=1e-12)
    assert on_floor_m(np.array([1.0, 0.7, 3.0]), up_in_camera(0.0, 0.0)) == (1.0, 3.0)


def test_a_camera_that_looks_down_finds_the_floor_by_trigonometry() -> None:
    """From 3 m up, 45 degrees down, the middle of the picture is 3 m ahead."""
    along_axis_m = np.array([0.0, 0.0, 3.0 * math.sqrt(2)])
    np.testing.assert_allclose(
        on_floor_m(along_axis_m, up_in_camera(45.0, 0.0)), [0, 3], atol=1e-12
    )


def test_with_a_positive_roll_what_is_level_runs_down_to_the_right() -> None:
    up = up_in_camera(0.0, 20.0)
    level_m = np.array([math.cos(math.radians(20)), math.sin(math.radians(20)), 0.0])
    assert level_m @ up == pytest.approx(0.0)
    np.testing.assert_allclose(on_floor_m(level_m, up), [1, 0], atol=1e-12)
    assert np.linalg.norm(up_in_camera(33.0, -12.0)) == pytest.approx(1.0)
