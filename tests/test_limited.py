"""Joints that nobody asked for leave in no message, and neither do pictures."""

import io
import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from appliance import start
from brokers import Mosquitto, listening, prepared_mosquitto
from edge_pose.errors import BrokerError
from edge_pose.jsonl import JsonlSink
from edge_pose.limited import limited
from edge_pose.message import flat_person, frame_message
from edge_pose.pipeline import Background
from edge_pose.schema.asyncapi import CHANNELS
from edge_pose.skeleton import INDEX, JOINTS
from edge_pose.types import Frame, Pose3D, Stats
from walkers import walkers

ALLOWED = ("left_wrist", "right_wrist")
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"/9j/", b"iVBORw0KGgo")
"""JPEG, PNG, GIF, WebP; JPEG and PNG in base64."""
CLIP = Path(__file__).resolve().parents[1] / "demo" / "worker.mp4"


ADDRESSES = [re.compile(re.sub(r"\{\w+\}", "[^/]+", channel.address)) for channel in CHANNELS]


class Heap:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.sent: list[tuple[Frame, list[Pose3D], Stats]] = []

    def start(self, meta: Mapping[str, object]) -> None:
        """Need nothing."""

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Keep it."""
        self.sent.append((frame, poses, stats))

    def status(self, camera: str) -> None:
        """Need nothing."""

    def close(self) -> None:
        """Hold nothing."""


def test_a_joint_that_is_not_allowed_has_no_place_and_no_probability_in_any_message() -> None:
    heap = Heap()
    (sink,) = limited([heap], ALLOWED)
    sink.send(*next(walkers(people=2)))
    ((frame, poses, stats),) = heap.sent
    message = frame_message(frame, poses, stats, cam="cam0")
    for one in message.persons:
        known = {JOINTS[index] for index, kp in enumerate(one.kp) if kp[0] is not None}
        assert known == set(ALLOWED)
        assert all(kp[3] == 0.0 for kp in one.kp if kp[0] is None)
        assert sum(pixel[0] is not None for pixel in one.kp_px) == len(ALLOWED)
        flat = flat_person(message, one, np.array([0.0, -1.0, 0.0]))
        assert {key for key in flat if key.endswith("_x")} == {f"{name}_x" for name in ALLOWED}
        assert not [key for key in flat if key.endswith("_deg") or key == "distance"]
    assert message.persons[1].predicted == (INDEX["right_wrist"],)


def test_lines_of_json_are_limited_too() -> None:
    stream = io.StringIO()
    (sink,) = limited([JsonlSink(stream, cam="cam0")], ALLOWED)
    sink.send(*next(walkers(people=1)))
    (person,) = json.loads(stream.getvalue())["persons"]
    assert sum(kp[0] is not None for kp in person["kp"]) == len(ALLOWED)


def test_the_poses_of_others_stay_whole() -> None:
    frame, poses, stats = next(walkers(people=1))
    (sink,) = limited([Heap()], ALLOWED)
    sink.send(frame, poses, stats)
    assert np.isfinite(poses[0].joints_m).all()


class Refused(Heap):
    """A sink whose own thread has ended."""

    def raise_if_dead(self) -> None:
        """Say why."""
        raise BrokerError("refused")


def test_a_sink_that_failed_is_not_hidden() -> None:
    whole, refused = limited([Heap(), Refused()], ALLOWED)
    assert isinstance(whole, Background)
    assert isinstance(refused, Background)
    whole.raise_if_dead()
    with pytest.raises(BrokerError):
        refused.raise_if_dead()


def test_without_a_limit_nothing_stands_in_between() -> None:
    heap = Heap()
    assert limited([heap], None) == [heap]


def run(folder: Path, mosquitto: Mosquitto) -> None:
    """Let the whole appliance look at a real clip."""
    settings = folder / "edge-pose.toml"
    settings.write_text(
        f'[mqtt]\nbroker = "127.0.0.1:{mosquitto.broker.port}"\n[spool]\nfolder = "{folder}"\n'
        '[device]\nname = "edge-7"\n[tags]\nenabled = true\n'
        f"[output]\njoints = {json.dumps(ALLOWED)}\n"
        "[events.zones.all]\npicture = [[0, 0], [1, 0], [1, 1], [0, 1]]\npart = 'hips'\n"
    )
    with start("run", CLIP, "--realtime", "--frames", "90", "--config", settings) as child:
        _, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors


def assert_no_picture(data: bytes) -> None:
    assert not [sign for sign in IMAGE_STARTS if sign in data]


@pytest.mark.slow
def test_no_picture_and_no_other_joint_is_on_any_topic(tmp_path: Path) -> None:
    mosquitto = prepared_mosquitto(tmp_path)
    mosquitto.start()
    try:
        with listening(mosquitto.broker, "#", "-q", "1") as listener:
            run(tmp_path, mosquitto)
            heard = listener.until("edge-pose/edge-7/status", "offline")
    finally:
        mosquitto.stop()
    leaves = {one.topic.removeprefix("edge-pose/edge-7/cam0/").split("/")[0] for one in heard}
    assert {"pose", "person", "tag", "event", "summary", "meta"} <= leaves
    for one in heard:
        assert [True for known in ADDRESSES if known.fullmatch(one.topic)] == [True], one.topic
        assert_no_picture(one.payload.encode())
        assert len(one.payload) < 8000, one.topic
        if one.topic.endswith("/pose"):
            for person in json.loads(one.payload)["persons"]:
                assert sum(kp[0] is not None for kp in person["kp"]) <= len(ALLOWED)
        named = {
            name for name in JOINTS if f"/{name}/" in one.topic or f'"{name}_x"' in one.payload
        }
        assert named <= set(ALLOWED), one.topic


@pytest.mark.slow
def test_no_picture_and_no_joint_is_in_the_spool(tmp_path: Path) -> None:
    mosquitto = prepared_mosquitto(tmp_path)
    mosquitto.start()
    try:
        run(tmp_path, mosquitto)
    finally:
        mosquitto.stop()
    path = tmp_path / "edge-7-cam0.spool"
    assert_no_picture(path.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT leaf, payload FROM waiting").fetchall()
    assert {"event/zone_enter", "event/zone_leave"} <= {leaf for leaf, _ in rows}
    assert max(len(payload) for _, payload in rows) < 1000
    assert not [payload for _, payload in rows if any(name in payload for name in JOINTS)]
