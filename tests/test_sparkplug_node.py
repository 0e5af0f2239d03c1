"""What an edge node knows of its camera: by exception, null where nothing is known, or later."""

import re
from pathlib import Path

import numpy as np
import pytest

from edge_pose.skeleton import JOINTS
from edge_pose.sparkplug.metrics import camera_metrics, camera_values
from edge_pose.sparkplug.node import EdgeNode, Publish
from edge_pose.sparkplug.payload import Payload, Value, decode
from sparkplug import DEADBAND_M, PEOPLE, edge_node
from walkers import walkers

MESSAGES = (Path(__file__).resolve().parents[1] / "docs" / "messages.md").read_text()
NOSE = "Pose/P0/nose/x"


def live_node() -> EdgeNode:
    node = edge_node()
    node.connect(0)
    node.camera(online=True)
    return node


def told(node: EdgeNode, values: dict[str, Value]) -> dict[str | None, Value]:
    """Report a frame and give what was published of it."""
    return {
        metric.name: metric.value
        for payload in payloads(node.report(values, measured_ms=1))
        for metric in payload.metrics
    }


def payloads(actions: object) -> list[Payload]:
    assert isinstance(actions, list)
    return [decode(action.payload) for action in actions if isinstance(action, Publish)]


def test_a_joint_is_told_again_when_it_moved_farther_than_the_deadband() -> None:
    node = live_node()
    assert told(node, {NOSE: 1.0}) == {NOSE: 1.0}
    assert told(node, {NOSE: 1.0 + 0.8 * DEADBAND_M}) == {}
    crept = 1.0 + 1.2 * DEADBAND_M
    assert told(node, {NOSE: crept}) == {NOSE: pytest.approx(crept)}


def test_a_joint_that_is_lost_is_null_once_and_told_anew_when_it_is_found() -> None:
    node = live_node()
    told(node, {NOSE: 1.0})
    assert told(node, {}) == {NOSE: None}
    assert told(node, {}) == {}
    assert told(node, {NOSE: 1.0}) == {NOSE: 1.0}


def test_what_was_not_declared_at_birth_is_not_told() -> None:
    node = live_node()
    assert told(node, {f"Pose/P{PEOPLE}/nose/x": 1.0, "Else": 1}) == {}
    assert node.report_historical({"Else": 1}, measured_ms=1) == []


def test_a_camera_that_comes_back_knows_nothing_of_before() -> None:
    node = live_node()
    told(node, {NOSE: 1.0})
    node.camera(online=False)
    (birth,) = payloads(node.camera(online=True))
    assert {metric.value for metric in birth.metrics} == {None}
    assert birth.metrics[0].timestamp_ms is not None
    assert birth.metrics[0].timestamp_ms > 1
    assert told(node, {NOSE: 1.0}) == {NOSE: 1.0}


def test_what_was_measured_before_is_historical_and_changes_nothing_now() -> None:
    node = live_node()
    told(node, {NOSE: 1.0})
    (old,) = payloads(node.report_historical({NOSE: 5.0, "Pose/Persons": None}, measured_ms=77))
    assert old.seq == 3
    assert {metric.is_historical for metric in old.metrics} == {True}
    assert {metric.timestamp_ms for metric in old.metrics} == {77}
    assert {metric.name: metric.value for metric in old.metrics} == {
        NOSE: 5.0,
        "Pose/Persons": None,
    }
    assert told(node, {NOSE: 1.0}) == {}


def test_what_was_measured_before_waits_while_nobody_can_hear_it() -> None:
    node = edge_node()
    assert node.report_historical({NOSE: 5.0}, measured_ms=77) == []
    node.connect(0)
    assert node.report_historical({NOSE: 5.0}, measured_ms=77) == []


def test_a_joint_without_a_place_and_a_slot_without_a_person_have_no_values() -> None:
    _, poses, stats = next(walkers(people=1, frames=1))
    poses[0].joints_m[JOINTS.index("nose")] = np.nan
    values = camera_values(poses, stats, slots={1: 1}, joints=("nose", "neck"))
    assert set(values) == {
        "Pose/Persons",
        "Stats/fps",
        "Pose/P1/stale",
        *(f"Pose/P1/neck/{leaf}" for leaf in "xyzc"),
    }


def test_every_value_that_a_camera_can_have_is_declared() -> None:
    _, poses, stats = next(walkers(people=4, frames=1))
    declared = camera_metrics(joints=JOINTS, people=4, deadband_m=DEADBAND_M)
    slots = {pose.track: slot for slot, pose in enumerate(poses)}
    values = camera_values(poses, stats, slots=slots, joints=JOINTS)
    assert set(values) == {metric.name for metric in declared}


def test_the_table_on_the_page_is_the_one_that_is_declared() -> None:
    rows = re.findall(
        r"^\| `((?:Pose|Stats)/\S+)` \| (\w+) \| (\S*) \| (\S+)[^|]*\|", MESSAGES, re.MULTILINE
    )
    shown = {(name, kind, unit, float(deadband)) for name, kind, unit, deadband in rows}
    declared = {
        (
            re.sub(r"P\d+", "P<n>", metric.name).replace("/nose/", "/<joint>/"),
            metric.datatype.name.capitalize(),
            metric.unit or "–",
            metric.deadband,
        )
        for metric in camera_metrics(joints=("nose",), people=2, deadband_m=DEADBAND_M)
    }
    assert shown == declared
    assert len(rows) == len(shown)
