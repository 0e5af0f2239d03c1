"""Network arrays become boxes and poses in the frames that their names promise."""

import numpy as np
import pytest

from edge_pose import camera
from edge_pose.boxes import overlaps, suppress
from edge_pose.crop import letterbox, take_crop
from edge_pose.decode import decode_detections, decode_poses
from edge_pose.region import Region, region_of_box
from edge_pose.types import Detection

REACH_PX = np.array([[127.5, 127.5], [127.5, 27.5]], np.float32)
FRAME = np.zeros((480, 640, 3), np.uint8)


def detections(boxes: list[list[float]], scores: list[float]) -> list[Detection]:
    return decode_detections(
        {"boxes_px": np.array([boxes], np.float32), "scores": np.array([scores], np.float32)},
        letterbox(FRAME, width_px=320, height_px=320, pad_value=0.0),
        view=np.array([0, 0, 640, 480], np.float32),
        frame_size_px=(640, 480),
        min_score=0.4,
        max_overlap=0.5,
    )


def test_overlap_of_boxes_worked_out_by_hand() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
    np.testing.assert_allclose(overlaps(first, second), [[1 / 3, 0, 1]], atol=1e-9)


def test_a_box_survives_when_only_a_suppressed_one_covers_it() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert suppress(boxes, max_overlap=0.4) == [0, 2]


def test_boxes_return_to_the_frame_best_first_and_without_doubles() -> None:
    found = detections(
        [[10, 50, 60, 200], [12, 52, 62, 202], [200, 60, 250, 220], [0, 40, 9, 50]],
        [0.6, 0.7, 0.95, 0.1],
    )
    assert [detection.score for detection in found] == pytest.approx([0.95, 0.7])
    # 640 x 480 in 320 x 320: half size, 40 rows of padding above.
    np.testing.assert_allclose(found[0].box_px, [400.5, 40.5, 500.5, 360.5], atol=1e-3)


def test_boxes_end_at_the_rim_of_the_frame_and_those_in_the_padding_are_nobody() -> None:
    found = detections([[-20, 20, 60, 340], [100, 0, 200, 30]], [0.9, 0.9])
    assert len(found) == 1
    np.testing.assert_allclose(found[0].box_px, [0, 0, 120.5, 479], atol=1e-3)


def test_nothing_likely_is_nobody() -> None:
    assert detections([[10, 50, 60, 200]], [0.39]) == []


def test_a_crop_off_the_axis_turns_its_joints_towards_the_camera() -> None:
    intrinsics = camera.from_angle(hfov_deg=90.0, width_px=641, height_px=481)
    # The crop's centre is on the right rim, 45 degrees off.
    crop = take_crop(FRAME, region_of_box(np.array([600, 200, 681, 280], np.float32)))
    outputs = {
        "joints_px": np.tile(np.array([127.5, 127.5], np.float32), (1, 25, 1)),
        "joints_m": np.tile(np.array([0.0, 0.0, 1.0], np.float32), (1, 25, 1)),
        "scores": np.full((1, 25), 0.5, np.float32),
        "presence": np.array([0.75], np.float32),
        "reach_px": REACH_PX[None],
    }
    (pose,) = decode_poses(outputs, [crop], intrinsics, reach=2.5)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(pose.joints_m, np.tile([half, 0.0, half], (25, 1)), atol=1e-6)
    np.testing.assert_allclose(pose.joints_px, np.tile([640.5, 240.0], (25, 1)), atol=1e-3)
    assert pose.presence == 0.75


def test_each_pose_uses_its_own_crop() -> None:
    intrinsics = camera.assume(640, 480)
    boxes = [np.array([x, 100, x + 50, 300], np.float32) for x in (50.0, 400.0)]
    crops = [take_crop(FRAME, region_of_box(box)) for box in boxes]
    outputs = {
        "joints_px": np.full((2, 25, 2), 127.5, np.float32),
        "joints_m": np.zeros((2, 25, 3), np.float32),
        "scores": np.ones((2, 25), np.float32),
        "presence": np.ones(2, np.float32),
        "reach_px": np.stack([REACH_PX, REACH_PX]),
    }
    poses = decode_poses(outputs, crops, intrinsics, reach=2.5)
    np.testing.assert_allclose([pose.joints_px[0] for pose in poses], [[75, 200], [425, 200]])


def test_a_turned_crop_turns_its_joints_back() -> None:
    intrinsics = camera.assume(640, 480)
    region = Region(centre_px=(319.5, 239.5), side_px=256.0, turn_rad=np.pi / 2)
    up_px = np.tile(np.array([127.5, 27.5], np.float32), (1, 25, 1))
    outputs = {
        "joints_px": up_px,
        "joints_m": np.tile(np.array([0.0, -1.0, 0.0], np.float32), (1, 25, 1)),
        "scores": np.ones((1, 25), np.float32),
        "presence": np.ones(1, np.float32),
        "reach_px": REACH_PX[None],
    }
    (pose,) = decode_poses(outputs, [take_crop(FRAME, region)], intrinsics, reach=2.5)
    # What is up in a square turned clockwise by a quarter is to the right in the picture.
    np.testing.assert_allclose(pose.joints_px, np.tile([419.5, 239.5], (25, 1)), atol=1e-3)
    np.testing.assert_allclose(pose.joints_m, np.tile([1.0, 0.0, 0.0], (25, 1)), atol=1e-6)
    # The body's own up is the crop's, so the next look is turned as this one.
    assert pose.region.turn_rad == pytest.approx(np.pi / 2, abs=1e-5)
    assert pose.region.side_px == pytest.approx(250.0, rel=1e-5)
