"""Left stays left while the network changes its mind about it, and no longer than it does so."""

import numpy as np
import pytest

from edge_pose.clock import NS_PER_S
from edge_pose.region import Region
from edge_pose.sides import Sides
from edge_pose.skeleton import INDEX, MIRROR, NUM_JOINTS
from edge_pose.types import RelativePose

FRAME_NS = NS_PER_S // 30
LEFT, RIGHT = INDEX["left_wrist"], INDEX["right_wrist"]


def walker(frame: int, *, score: float = 0.9) -> RelativePose:
    """Somebody of half the picture's height who walks to the right and swings arms and legs."""
    joints_px = np.zeros((NUM_JOINTS, 2))
    swing_px = 12 * np.sin(frame / 5)
    for row, (joint, wide) in enumerate(
        (("shoulder", 22), ("elbow", 27), ("wrist", 30), ("hip", 14), ("knee", 14), ("ankle", 13))
    ):
        for side, way in (("left", 1), ("right", -1)):
            joints_px[INDEX[f"{side}_{joint}"]] = (
                200 + 2 * frame + way * wide,
                100 + 40 * row + way * swing_px * (row % 3) / 2,
            )
    joints_m = np.column_stack([joints_px / 200, np.arange(NUM_JOINTS) / 50])
    return RelativePose(
        joints_px=joints_px.astype(np.float32),
        joints_m=joints_m.astype(np.float32),
        scores=np.full(NUM_JOINTS, score, np.float32),
        presence=1.0,
        region=Region(centre_px=(200.0, 200.0), side_px=400.0),
    )


def mistaken(frame: int) -> RelativePose:
    pose, order = walker(frame), list(MIRROR)
    return RelativePose(
        joints_px=pose.joints_px[order],
        joints_m=pose.joints_m[order],
        scores=pose.scores[order],
        presence=1.0,
        region=pose.region,
    )


def settled(wrong: set[int], frames: int, *, every_ns: int = FRAME_NS) -> list[bool]:
    """Tell for each frame whether the sides came out right; the network errs in some frames."""
    sides = Sides()
    right = []
    for frame in range(frames):
        pose = mistaken(frame) if frame in wrong else walker(frame)
        out = sides.settle(pose, frame * every_ns)
        right.append(bool((out.joints_px == walker(frame).joints_px).all()))
        if right[-1]:
            np.testing.assert_array_equal(out.joints_m, walker(frame).joints_m)
    return right


def test_a_network_that_never_errs_is_left_alone() -> None:
    assert all(settled(set(), 90))


@pytest.mark.parametrize("wrong", [{30}, {30, 31, 32}, set(range(40, 52)), {20, 22, 24, 60, 61}])
def test_what_is_wrong_for_a_moment_is_put_right(wrong: set[int]) -> None:
    assert all(settled(wrong, 90))


def test_what_the_network_says_most_of_the_time_wins() -> None:
    """It began with a mistake: that is not kept for ever."""
    right = settled(set(range(6)), 90)
    assert not any(right[:6])
    assert all(right[30:])


def test_after_a_pause_it_is_believed_anew() -> None:
    sides = Sides()
    sides.settle(walker(0), 0)
    out = sides.settle(mistaken(20), 2 * NS_PER_S)
    np.testing.assert_array_equal(out.joints_px, mistaken(20).joints_px)


def test_a_source_that_starts_again_is_believed_anew() -> None:
    sides = Sides()
    for frame in range(10):
        sides.settle(walker(frame), NS_PER_S + frame * FRAME_NS)
    out = sides.settle(mistaken(0), 0)
    np.testing.assert_array_equal(out.joints_px, mistaken(0).joints_px)


def test_who_is_seen_from_the_side_has_nothing_to_exchange() -> None:
    sides = Sides()
    flat = []
    for frame in range(30):
        pose = walker(frame) if frame % 2 else mistaken(frame)
        pose.joints_px[:, 0] = 200 + 2 * frame
        pose.joints_px[:, 1] = 100 + 10 * np.arange(NUM_JOINTS)
        flat.append(sides.settle(pose, frame * FRAME_NS) is pose)
    assert all(flat)
