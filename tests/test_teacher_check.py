"""The teacher against points that people set: which joints are compared, with whom, in pixels."""

from pathlib import Path

import numpy as np
import pytest

from edge_pose.skeleton import INDEX, NUM_JOINTS
from train.labelled_image import LabelledImage, LabelledPerson
from train.sources import Still, Stills
from train.teacher_check import point_errors


def person(
    joints_px: dict[str, tuple[float, float]], confidence: dict[str, float]
) -> LabelledPerson:
    places = np.zeros((NUM_JOINTS, 2), np.float32)
    sure = np.zeros(NUM_JOINTS, np.float32)
    for name, place in joints_px.items():
        places[INDEX[name]] = place
        sure[INDEX[name]] = confidence.get(name, 0.5)
    return LabelledPerson(
        joints_px=places,
        confidence=sure,
        box_px=np.array([10, 20, 60, 220], np.float32),
        reach_px=np.zeros((2, 2), np.float32),
        mask_png=b"",
        quality=1.0,
        disagreement_px=0.0,
    )


def image_of(*people: LabelledPerson) -> LabelledImage:
    return LabelledImage(
        jpeg=b"",
        key="desk/one.png",
        source="desk",
        licence="mine",
        group="desk/day",
        width_px=400,
        height_px=200,
        people=people,
        detected_px=np.zeros((0, 4), np.float32),
        detected_scores=np.zeros(0, np.float32),
        given=(),
    )


def source(*points: tuple[str, float, float]) -> Stills:
    still = Still(path=Path("one.png"), key="desk/one.png", group="desk/day", points=points)
    return Stills(name="desk", licence="mine", files=(still,))


def test_the_surer_side_is_compared_in_pixels_of_the_labelled_picture() -> None:
    seen = person(
        {"left_ear": (103.5, 53.5), "right_ear": (99.5, 49.5), "left_hip": (0.0, 0.0)},
        {"left_ear": 0.8, "right_ear": 0.4},
    )
    # a quarter of 400 x 200 is (99.5, 49.5) with pixel centres at integers: 4 px off each way
    (error,) = point_errors([image_of(seen)], source(("head", 0.25, 0.25), ("back", 0.1, 0.1)))
    assert error.name == "head"
    assert error.error_px == pytest.approx(4.0 * np.sqrt(2.0), abs=1e-4)
    assert error.box_px == pytest.approx(200.0)


def test_of_two_people_the_one_who_fits_all_points_is_compared() -> None:
    right = person({"left_shoulder": (99.5, 49.5), "right_hip": (205.5, 107.5)}, {})
    wrong = person({"left_shoulder": (300.0, 60.0), "right_hip": (199.5, 99.5)}, {})
    points = source(("shoulder", 0.25, 0.25), ("bottom", 0.5, 0.5))
    errors = point_errors([image_of(wrong, right)], points)
    assert [error.error_px for error in errors] == [pytest.approx(0.0), pytest.approx(10.0)]


def test_nobody_labelled_and_no_label_of_a_joint_are_no_numbers() -> None:
    points = source(("shoulder", 0.25, 0.25), ("head", 0.5, 0.5))
    assert [np.isnan(error.error_px) for error in point_errors([image_of()], points)] == [True] * 2
    half = person({"left_ear": (199.5, 99.5)}, {})
    errors = {error.name: error.error_px for error in point_errors([image_of(half)], points)}
    assert np.isnan(errors["shoulder"])
    assert errors["head"] == pytest.approx(0.0)


def test_pictures_without_points_say_nothing() -> None:
    assert point_errors([image_of()], source()) == []
