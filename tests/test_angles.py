"""Angles of bodies that were set up by hand, limb by limb."""

import math
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Bool, Float64

from edge_pose import message
from edge_pose.angles import NAMES, angles_deg
from edge_pose.level import up_in_camera
from edge_pose.skeleton import INDEX, NUM_JOINTS
from walkers import walkers

UP = up_in_camera(0.0, 0.0)
KNOWN: Bool[np.ndarray, "joints"] = np.ones(NUM_JOINTS, np.bool_)


def turn(axis: int, degrees: float) -> Float64[np.ndarray, "3 3"]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    one, other = [index for index in range(3) if index != axis]
    matrix[one, one] = matrix[other, other] = cosine
    matrix[one, other], matrix[other, one] = -sine, sine
    return matrix


def body(
    *,
    trunk: float = 0.0,
    neck: float = 0.0,
    arm: float = 0.0,
    elbow: float = 0.0,
    knee: float = 0.0,
) -> Float64[np.ndarray, "joints 3"]:
    """Somebody who looks at the camera, 3 m away, each limb bent forwards by so many degrees.

    Camera axes: up is -y, towards the camera is -z, the person's left is +x.
    """

    def leaning(degrees: float) -> Float64[np.ndarray, "3"]:
        return np.array([0, -math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))])

    joints = np.zeros((NUM_JOINTS, 3))
    pelvis = np.array([0.0, 0.3, 3.0])
    top = pelvis + 0.5 * leaning(trunk)
    joints[INDEX["pelvis"]], joints[INDEX["neck"]] = pelvis, top
    joints[INDEX["head_top"]] = top + 0.25 * leaning(trunk + neck)
    for side, x in (("left", 1.0), ("right", -1.0)):
        shoulder, hip = top + x * np.array([0.2, 0, 0]), pelvis + x * np.array([0.1, 0, 0])
        hand = shoulder - 0.3 * leaning(trunk - arm)
        joints[INDEX[f"{side}_shoulder"]], joints[INDEX[f"{side}_elbow"]] = shoulder, hand
        joints[INDEX[f"{side}_wrist"]] = hand - 0.25 * leaning(trunk - arm - elbow)
        joints[INDEX[f"{side}_hip"]] = hip
        joints[INDEX[f"{side}_knee"]] = foot = hip + np.array([0, 0.4, 0])
        joints[INDEX[f"{side}_ankle"]] = foot - 0.4 * leaning(knee)
    return joints


def test_whoever_stands_straight_has_no_angle_anywhere() -> None:
    found = angles_deg(body(), KNOWN, UP)
    assert tuple(found) == NAMES
    np.testing.assert_allclose(list(found.values()), 0.0, atol=1e-6)


def test_each_limb_has_the_angle_by_which_it_is_bent() -> None:
    found = angles_deg(body(trunk=40, neck=25, arm=70, elbow=95, knee=30), KNOWN, UP)
    wanted = [40, 25, 70, 70, 95, 95, 30, 30]
    np.testing.assert_allclose(list(found.values()), wanted, atol=1e-6)


def test_who_leans_back_has_a_negative_flexion() -> None:
    found = angles_deg(body(trunk=-20, neck=-10), KNOWN, UP)
    assert found["trunk_flexion_deg"] == pytest.approx(-20)
    assert found["neck_flexion_deg"] == pytest.approx(-10)


def test_an_arm_over_the_head_is_raised_by_half_a_turn() -> None:
    found = angles_deg(body(arm=175), KNOWN, UP)
    assert found["left_upper_arm_elevation_deg"] == pytest.approx(175)


@pytest.mark.parametrize("degrees", [35.0, 90.0, 180.0, 250.0])
def test_angles_do_not_depend_on_where_somebody_looks(degrees: float) -> None:
    bent = body(trunk=40, neck=25, arm=70, elbow=95, knee=30)
    turned = (bent - [0, 0, 3]) @ turn(1, degrees).T + [1, 0, 4]
    np.testing.assert_allclose(
        list(angles_deg(turned, KNOWN, UP).values()),
        list(angles_deg(bent, KNOWN, UP).values()),
        atol=1e-6,
    )


@pytest.mark.parametrize(("pitch_deg", "roll_deg"), [(35.0, 0.0), (0.0, 20.0), (50.0, -15.0)])
def test_the_tilt_of_the_camera_is_taken_out_of_the_trunk(
    pitch_deg: float, roll_deg: float
) -> None:
    """The body is turned by hand as a camera so tilted would see it."""
    camera_from_level = turn(2, roll_deg) @ turn(0, pitch_deg)
    seen = body(trunk=30) @ camera_from_level.T
    up = up_in_camera(pitch_deg, roll_deg)
    np.testing.assert_allclose(camera_from_level @ [0, -1, 0], up, atol=1e-12)
    assert angles_deg(seen, KNOWN, up)["trunk_flexion_deg"] == pytest.approx(30)


def test_without_a_known_tilt_the_trunk_is_left_out_and_the_rest_is_there() -> None:
    assert tuple(angles_deg(body(), KNOWN, None)) == NAMES[1:]


def test_an_angle_with_a_joint_that_is_not_known_is_left_out() -> None:
    known = KNOWN.copy()
    known[INDEX["left_elbow"]] = False
    joints = body()
    joints[INDEX["right_ankle"]] = np.nan
    missing = set(NAMES) - set(angles_deg(joints, known, UP))
    assert missing == {
        "left_upper_arm_elevation_deg",
        "left_elbow_flexion_deg",
        "right_knee_flexion_deg",
    }


def test_joints_in_one_place_have_no_direction() -> None:
    assert angles_deg(np.zeros((NUM_JOINTS, 3)), KNOWN, UP) == {}


def test_the_flat_message_has_angles_of_what_was_seen_and_not_of_what_was_guessed() -> None:
    """Of the second walker the right elbow and wrist are hidden."""
    frame, (open_, covered), stats = next(walkers(people=2))
    poses = [open_, replace(covered, scores=open_.scores)]
    sent = message.frame_message(frame, poses, stats, cam="cam0")
    seen, hidden = (message.flat_person(sent, one, UP) for one in sent.persons)
    assert set(NAMES) <= set(seen)
    assert set(NAMES) - set(hidden) == {
        "right_upper_arm_elevation_deg",
        "right_elbow_flexion_deg",
    }
    assert abs(seen["trunk_flexion_deg"]) < 10
    assert "trunk_flexion_deg" not in message.flat_person(sent, sent.persons[0])
