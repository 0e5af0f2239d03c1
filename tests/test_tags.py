"""A tag is told when its joint moved, not too often, and falls when the joint is gone."""

from dataclasses import replace

import numpy as np
import pytest

from edge_pose.clock import NS_PER_MS, NS_PER_S
from edge_pose.config import TagsConfig
from edge_pose.message import FrameMessage, frame_message
from edge_pose.mqtt.tags import ANEW_NS, Tags
from edge_pose.skeleton import INDEX
from walkers import walkers

WRIST = INDEX["left_wrist"]
SETTINGS = TagsConfig(enabled=True, joints=("left_wrist",))
FRAME, (POSE, *_), STATS = next(walkers(people=1))


def at(x_m: float, *, score: float = 0.9) -> FrameMessage:
    """One person, whose left wrist is there."""
    joints_m, scores = POSE.joints_m.copy(), POSE.scores.copy()
    joints_m[WRIST], scores[WRIST] = (x_m, 0.5, 3.0), score
    pose = replace(POSE, joints_m=joints_m, scores=scores)
    return frame_message(FRAME, [pose], STATS, cam="cam0")


def nobody() -> FrameMessage:
    return frame_message(FRAME, [], STATS, cam="cam0")


def told(tags: Tags, frame: FrameMessage, at_ns: int) -> dict[str, str]:
    return dict(tags.see(frame, {one.id: 0 for one in frame.persons}, at_ns))


def test_a_joint_is_four_bare_numbers() -> None:
    assert told(Tags(SETTINGS), at(1.25), 0) == {
        "tag/0/left_wrist/x": "1.250",
        "tag/0/left_wrist/y": "0.500",
        "tag/0/left_wrist/z": "3.000",
        "tag/0/left_wrist/c": "0.900",
    }


@pytest.mark.parametrize(("moved_m", "is_told"), [(0.004, False), (0.006, True), (-0.006, True)])
def test_a_joint_that_hardly_moves_is_not_told_again(moved_m: float, *, is_told: bool) -> None:
    tags = Tags(SETTINGS)
    told(tags, at(1.0), 0)
    assert bool(told(tags, at(1.0 + moved_m), NS_PER_S)) == is_told


def test_small_steps_add_up() -> None:
    tags = Tags(SETTINGS)
    news = [told(tags, at(1.0 + 0.002 * step), step * NS_PER_S) for step in range(7)]
    assert [bool(one) for one in news] == [True, False, False, True, False, False, True]


def test_a_tag_is_told_five_times_a_second_at_most() -> None:
    tags = Tags(SETTINGS)
    times = [ms for ms in range(0, 1000, 40) if told(tags, at(ms / 1000), ms * NS_PER_MS)]
    assert times == [0, 200, 400, 600, 800]


def test_what_does_not_move_is_told_anew_for_those_who_came_late() -> None:
    tags = Tags(SETTINGS)
    told(tags, at(1.0), 0)
    assert not told(tags, at(1.0), ANEW_NS - 1)
    assert told(tags, at(1.0), ANEW_NS)


def test_when_the_person_is_gone_the_confidence_falls_to_zero_once() -> None:
    tags = Tags(SETTINGS)
    told(tags, at(1.0), 0)
    assert told(tags, nobody(), NS_PER_MS) == {"tag/0/left_wrist/c": "0.000"}
    assert told(tags, nobody(), NS_PER_S) == {}
    assert len(told(tags, at(1.0), NS_PER_S)) == 4


def test_when_nobody_knows_who_is_there_every_tag_that_said_something_falls_to_zero_once() -> None:
    tags = Tags(SETTINGS)
    told(tags, at(1.0), 0)
    assert dict(tags.forget()) == {"tag/0/left_wrist/c": "0.000"}
    assert dict(tags.forget()) == {}
    assert len(told(tags, at(1.0), NS_PER_MS)) == 4, "whoever is seen again is told at once"
    told(tags, at(np.nan), NS_PER_S)
    assert dict(tags.forget()) == {}, "it is zero already"


def test_a_joint_that_is_not_known_has_no_place() -> None:
    tags = Tags(SETTINGS)
    told(tags, at(1.0), 0)
    assert told(tags, at(np.nan), NS_PER_S) == {"tag/0/left_wrist/c": "0.000"}


def test_a_joint_that_was_never_known_has_no_tag() -> None:
    assert told(Tags(SETTINGS), at(np.nan), 0) == {}


def test_only_joints_that_are_asked_for_have_tags() -> None:
    every = told(Tags(TagsConfig(enabled=True)), at(1.0), 0)
    assert len(every) == 4 * len(INDEX)
