"""Between two looks: what moved moves on, and nobody is carried away by an old or odd past."""

from dataclasses import replace

import numpy as np
import pytest

from bundles import BODY_M
from edge_pose.forecast import moved_on
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import Pose3D

MS = 1_000_000
WRIST = INDEX["left_wrist"]


def pose_at(ms: int, wrist_x: float = 0.0) -> Pose3D:
    joints_m = BODY_M.copy() + np.array([0, 0, 3], np.float32)
    joints_m[WRIST, 0] = wrist_x
    return Pose3D(
        track=1,
        score=0.9,
        box_px=np.array([10, 20, 110, 220], np.float32),
        joints_m=joints_m,
        joints_px=(600 * joints_m[:, :2] / joints_m[:, 2:]).astype(np.float32),
        scores=np.full(NUM_JOINTS, 0.9, np.float32),
        predicted=np.zeros(NUM_JOINTS, np.bool_),
        stale=False,
        captured_ns=ms * MS,
    )


def test_a_hand_goes_on_half_as_fast_and_the_rest_stays() -> None:
    pose = moved_on(pose_at(66, 0.2), pose_at(0, 0.0), 99 * MS)
    assert pose.joints_m[WRIST, 0] == pytest.approx(0.25, abs=1e-3)
    others = np.arange(NUM_JOINTS) != WRIST
    np.testing.assert_array_equal(pose.joints_m[others], pose_at(66).joints_m[others])
    assert pose.joints_px[WRIST, 0] > pose_at(66, 0.2).joints_px[WRIST, 0]
    assert pose.predicted.all()
    assert not pose.stale
    assert pose.captured_ns == 99 * MS


@pytest.mark.parametrize("before", [None, pose_at(66, 0.0), pose_at(66 - 400, 0.0)])
def test_without_a_recent_past_nothing_moves(before: Pose3D | None) -> None:
    last = pose_at(66, 0.2)
    pose = moved_on(last, before, 99 * MS)
    np.testing.assert_array_equal(pose.joints_m, last.joints_m)
    np.testing.assert_array_equal(pose.box_px, last.box_px)


def test_a_picture_that_comes_late_carries_nobody_away() -> None:
    late, very_late = (moved_on(pose_at(66, 0.2), pose_at(0, 0.0), ms * MS) for ms in (366, 9000))
    np.testing.assert_array_equal(late.joints_m, very_late.joints_m)
    assert very_late.joints_m[WRIST, 0] == pytest.approx(0.2 + 0.5 * 0.2 * 300 / 66, abs=1e-3)


def test_what_it_is_given_stays_as_it_is() -> None:
    last, before = pose_at(66, 0.2), pose_at(0, 0.0)
    kept = replace(last, joints_m=last.joints_m.copy())
    moved_on(last, before, 99 * MS)
    np.testing.assert_array_equal(last.joints_m, kept.joints_m)
    assert not last.predicted.any()
