"""Recorded messages come back as the poses they were, and are played at their own pace."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edge_pose.clock import NS_PER_MS
from edge_pose.commands.replay import play
from edge_pose.errors import SourceError
from edge_pose.event import CameraChange
from edge_pose.jsonl import JsonlSink
from edge_pose.recorded import recorded
from edge_pose.skeleton import NUM_JOINTS
from edge_pose.types import Frame, Pose3D, Stats

STATS = Stats(fps=20.0, infer_ms=7.5, total_ms=None, skipped=0, reconnects=0)


def frame(number: int, *, width: int = 64) -> Frame:
    return Frame(
        image=np.zeros((48, width, 3), np.uint8),
        sequence=number,
        captured_ns=0,
        captured_at_ms=1_790_000_000_000 + 40 * number,
    )


def pose() -> Pose3D:
    random = np.random.default_rng(0)
    joints_m = random.normal(size=(NUM_JOINTS, 3)).astype(np.float32)
    joints_m[3] = np.nan
    predicted = np.zeros(NUM_JOINTS, np.bool_)
    predicted[[3, 7]] = True
    return Pose3D(
        track=5,
        score=0.75,
        box_px=np.array([1, 2, 30, 40], np.float32),
        joints_m=joints_m,
        joints_px=random.uniform(0, 64, (NUM_JOINTS, 2)).astype(np.float32),
        scores=random.uniform(size=NUM_JOINTS).astype(np.float32),
        predicted=predicted,
        stale=True,
        captured_ns=0,
    )


def record(path: Path) -> Path:
    """Three frames of which the last is larger."""
    with path.open("w", encoding="utf-8") as stream:
        sink = JsonlSink(stream, cam="cam0")
        sink.start({"size": [64, 48]})
        sink.send(frame(0), [pose()], STATS)
        sink.send(frame(1), [], STATS)
        sink.start({"size": [96, 48]})
        sink.send(frame(2, width=96), [], STATS)
    return path


def test_what_was_written_is_read_back_to_the_millimetre(tmp_path: Path) -> None:
    first, second, third = recorded(record(tmp_path / "a.jsonl"))
    assert [each.frame.sequence for each in (first, second, third)] == [0, 1, 2]
    assert [each.frame.image.shape for each in (first, third)] == [(48, 64, 3), (48, 96, 3)]
    assert (first.meta, second.meta, third.meta) == ({"size": [64, 48]}, None, {"size": [96, 48]})
    (found,), wanted = first.poses, pose()
    np.testing.assert_allclose(found.joints_m, wanted.joints_m, atol=5.1e-4)
    np.testing.assert_allclose(found.joints_px, wanted.joints_px, atol=0.051)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=5.1e-4)
    np.testing.assert_array_equal(found.predicted, wanted.predicted)
    np.testing.assert_array_equal(found.box_px, wanted.box_px)
    assert (found.track, found.score, found.stale) == (5, 0.75, True)
    assert (first.stats.infer_ms, first.stats.total_ms) == (7.5, None)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"seq": 1}', '{"seq": 1, "ts": 1, "size": 3, "lat_ms": {}, "persons": []}']
)
def test_a_line_that_is_no_message_is_named(line: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.jsonl")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(SourceError, match="line 6, is no message"):
        list(recorded(path))


def test_events_between_the_frames_are_passed_over(tmp_path: Path) -> None:
    first, *frames = record(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    happened = CameraChange(ts=1_790_000_000_000, cam="cam0", state="online")
    with (tmp_path / "b.jsonl").open("w", encoding="utf-8") as stream:
        stream.write(first + "\n")
        JsonlSink(stream, cam="cam0").event(happened)
        stream.write("\n".join(frames) + "\n")
        JsonlSink(stream, cam="cam0").event(happened)
    replayed = list(recorded(tmp_path / "b.jsonl"))
    assert [each.frame.sequence for each in replayed] == [0, 1, 2]
    assert replayed[0].meta == {"size": [64, 48]}


def test_a_missing_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(recorded(tmp_path / "none.jsonl"))


class Listener:
    """Notes when it was told what."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.heard_ns: list[int] = []

    def start(self, meta: Mapping[str, object]) -> None:
        """Note the size."""
        self.heard.append(meta["size"])

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Note the frame and the time."""
        assert stats.infer_ms == STATS.infer_ms
        self.heard.append((frame.sequence, len(poses)))
        self.heard_ns.append(time.monotonic_ns())

    def status(self, camera: str) -> None:
        """Note the state."""
        self.heard.append(camera)

    def close(self) -> None:
        """Hold nothing."""


def test_a_replay_never_runs_ahead_of_the_recording(tmp_path: Path) -> None:
    listener, start_ns = Listener(), time.monotonic_ns()
    play(list(recorded(record(tmp_path / "a.jsonl"))), listener, threading.Event())
    assert listener.heard == ["online", [64, 48], (0, 1), (1, 0), [96, 48], (2, 0)]
    for number, heard_ns in enumerate(listener.heard_ns):
        assert heard_ns - start_ns >= 40 * number * NS_PER_MS


def test_a_replay_stops_when_asked(tmp_path: Path) -> None:
    listener, stop = Listener(), threading.Event()
    stop.set()
    play(list(recorded(record(tmp_path / "a.jsonl"))), listener, stop)
    assert listener.heard == ["online"]


def test_the_lines_are_json_of_one_frame_each_and_of_what_holds_from_there_on(
    tmp_path: Path,
) -> None:
    lines = record(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    tables = [json.loads(line) for line in lines]
    assert [table.get("seq") for table in tables] == [None, 0, 1, None, 2]
    assert [tables[at] for at in (0, 3)] == [{"meta": {"size": [width, 48]}} for width in (64, 96)]
    assert [list(tables[at])[:3] for at in (1, 2, 4)] == [["seq", "ts", "size"]] * 3
