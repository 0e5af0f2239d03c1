"""What goes over the wire: rounded, typed, described by a schema, and the same everywhere."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from edge_pose import message
from edge_pose.event import CameraChange, Degraded, Drift, Event, People, ZoneEnter, ZoneLeave
from edge_pose.schema import NAMES, schema
from edge_pose.skeleton import INDEX, JOINTS, NAME, NUM_JOINTS
from edge_pose.types import Frame, Pose3D, Stats
from walkers import HEIGHT_PX, WIDTH_PX, intrinsics, walkers

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
MODEL = message.Model(name="edge-body", version="1.0.0", sha256="ab" * 32)


def seen(*, people: int = 2) -> tuple[Frame, list[Pose3D], Stats]:
    return next(walkers(people=people))


def frame_of(poses: list[Pose3D]) -> message.FrameMessage:
    frame, _, stats = seen()
    return message.frame_message(frame, poses, stats, cam="cam0")


def meta() -> message.Meta:
    return message.meta(cam="cam0", intrinsics=intrinsics(), model=MODEL, engine="a fake")


def examples() -> dict[str, message.Message | Mapping[str, object]]:
    """One message of each kind."""
    _, poses, now = seen()
    frame = frame_of(poses)
    info = message.Info(version="0.1.0", machine="x", model=MODEL, engine="a fake", started=1)
    summary = message.stats_message([now], ts=1, seq=0, persons=2, unsent=0)
    events: list[Event] = [
        ZoneEnter(ts=1, seq=1, cam="cam0", zone="press", id=4, inside=1),
        ZoneLeave(ts=1, seq=2, cam="cam0", zone="press", id=4, inside=0, reason="out", dwell_s=2.0),
        People(ts=1, seq=3, cam="cam0", persons=1),
        CameraChange(ts=1, seq=4, cam="cam0", state="stale", was="online"),
        Degraded(ts=1, seq=5, cam="cam0", why="no GPU"),
        Drift(ts=1, seq=6, cam="cam0", measure="score", value=0.4, limit=0.5),
    ]
    return {
        "frame": frame,
        "meta": meta(),
        "info": info,
        "stats": summary,
        "person": message.flat_person(frame, frame.persons[0], np.array([0.0, -1.0, 0.0])),
        **{f"event-{event.type}": event for event in events},
    }


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_message_obeys_the_schema_that_is_published(name: str) -> None:
    published = json.loads((SCHEMAS / f"pose-{name}-1.schema.json").read_text())
    Draft202012Validator.check_schema(published)
    Draft202012Validator(published).validate(json.loads(message.encode(examples()[name])))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_published_schema_is_the_one_the_types_give(name: str) -> None:
    """Renew with `python -m edge_pose.schema schemas`."""
    assert json.loads((SCHEMAS / f"pose-{name}-1.schema.json").read_text()) == schema(name)


def test_a_flat_person_has_no_key_that_the_schema_does_not_know() -> None:
    properties = schema("person")["properties"]
    assert isinstance(properties, dict)
    assert set(json.loads(message.encode(examples()["person"]))) == set(properties)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.pop("ts"),
        lambda frame: frame.update(unit="mm"),
        lambda frame: frame.update(seq=-1),
        lambda frame: frame["persons"][0].update(score=1.2),
        lambda frame: frame["persons"][0]["kp"].pop(),
        lambda frame: frame["persons"][0]["kp"][3].pop(),
        lambda frame: frame["persons"][0]["box"].append(1.0),
    ],
)
def test_the_schema_refuses_a_frame_that_is_not_ours(spoil: object) -> None:
    plain = json.loads(message.encode(frame_of(seen()[1])))
    assert callable(spoil)
    spoil(plain)
    with pytest.raises(ValidationError):
        Draft202012Validator(schema("frame")).validate(plain)


def test_a_joint_arrives_where_it_was_to_a_millimetre_and_a_tenth_of_a_pixel() -> None:
    _, (pose, *_), _ = seen()
    sent = json.loads(message.encode(frame_of([pose])))["persons"][0]
    np.testing.assert_allclose([kp[:3] for kp in sent["kp"]], pose.joints_m, atol=0.00051)
    np.testing.assert_allclose(sent["kp_px"], pose.joints_px, atol=0.051)
    np.testing.assert_allclose(sent["box"], pose.box_px, atol=0.051)


def test_measured_numbers_always_have_decimals_and_never_a_minus_before_zero() -> None:
    _, (pose, *_), _ = seen()
    whole = replace(
        pose,
        joints_m=np.full((NUM_JOINTS, 3), -0.0001, np.float32),
        joints_px=np.full((NUM_JOINTS, 2), 4.0, np.float32),
        scores=np.ones(NUM_JOINTS, np.float32),
    )
    text = message.encode(frame_of([whole]))
    assert '"kp":[[0.0,0.0,0.0,1.0],' in text
    assert '"kp_px":[[4.0,4.0],' in text
    assert not re.search(r"-0\.0\b", text)


def test_a_coordinate_that_is_not_known_is_null() -> None:
    _, (pose, *_), _ = seen()
    joints_m = pose.joints_m.copy()
    joints_m[INDEX["left_wrist"]] = np.nan
    one = frame_of([replace(pose, joints_m=joints_m)])
    plain = json.loads(message.encode(one))
    Draft202012Validator(schema("frame")).validate(plain)
    assert plain["persons"][0]["kp"][INDEX["left_wrist"]][:3] == [None, None, None]
    flat = message.flat_person(one, one.persons[0])
    assert "left_wrist_x" not in flat
    assert "right_wrist_x" in flat


def test_predicted_joints_and_stale_people_are_marked_and_others_not() -> None:
    _, (sure, guessed), _ = seen()
    first, second = frame_of([sure, replace(guessed, stale=True)]).persons
    assert "predicted" not in message.as_mapping(first)
    assert "stale" not in message.as_mapping(first)
    assert second.predicted == (INDEX["right_elbow"], INDEX["right_wrist"])
    assert second.stale is True


def test_one_flat_person_is_numbers_by_name_and_the_distance_of_the_pelvis() -> None:
    frame = frame_of(seen()[1])
    flat = message.flat_person(frame, frame.persons[0])
    assert all(f"{joint}_{axis}" in flat for joint in JOINTS for axis in "xyzc")
    assert all(isinstance(value, int | float) for value in flat.values())
    pelvis = [flat[f"pelvis_{axis}"] for axis in "xyz"]
    assert flat["distance"] == pytest.approx(math.dist(pelvis, [0, 0, 0]), abs=0.001)


def test_of_too_many_people_the_nearest_are_sent_in_the_order_of_their_numbers() -> None:
    _, (pose, *_), _ = seen()
    ahead = np.array([0, 0, 1], np.float32)
    crowd = [
        replace(pose, track=100 - depth, joints_m=pose.joints_m + np.float32(depth) * ahead)
        for depth in range(message.MAX_PERSONS + 5)
    ]
    sent = [person.id for person in frame_of(crowd).persons]
    assert sent == list(range(100 - message.MAX_PERSONS + 1, 101))


def test_jsonl_says_first_what_holds_for_all_frames_and_then_only_what_changes() -> None:
    first = json.loads(message.jsonl_meta(meta()))
    assert list(first) == ["meta"]
    assert first["meta"]["joints"] == list(JOINTS)
    assert first["meta"]["skeleton"] == NAME
    assert first["meta"]["intrinsics"]["assumed"] is True
    frame = frame_of(seen()[1])
    line = json.loads(message.jsonl_frame(frame))
    assert list(line) == ["seq", "ts", "size", "lat_ms", "persons"]
    assert line["size"] == [WIDTH_PX, HEIGHT_PX]
    header = {key: json.loads(message.encode(frame))[key] for key in message.FRAME_HEADER}
    assert {**header, **line} == json.loads(message.encode(frame))


def test_every_message_is_one_line() -> None:
    assert all("\n" not in message.encode(example) for example in examples().values())


def test_latency_of_a_file_played_as_fast_as_it_goes_has_no_total() -> None:
    frame, poses, now = seen()
    told = message.frame_message(frame, poses, replace(now, total_ms=None), cam="cam0")
    assert list(message.as_mapping(told)["lat_ms"]) == ["infer"]


def test_percentiles_are_those_of_the_window_by_nearest_rank() -> None:
    _, _, now = seen()
    window = [replace(now, infer_ms=float(ms), total_ms=None) for ms in range(100, 0, -1)]
    told = message.stats_message(window, ts=0, seq=0, persons=0, unsent=3)
    assert (told.infer_ms_p50, told.infer_ms_p95) == (50.0, 95.0)
    assert told.total_ms_p50 is None
    assert "total_ms_p50" not in message.as_mapping(told)
    assert told.unsent == 3
