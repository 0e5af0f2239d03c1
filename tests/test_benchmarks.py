"""The readers behind the benchmarks, on lines and clips made for the purpose."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks import appliance, desk, leaderboard, ours, reported, rivals
from benchmarks.clip_poses import EstimatorFailed, gather, run_and_time
from benchmarks.detector import empty_places
from edge_pose.bundle import Bundle, open_bundle
from edge_pose.errors import SourceError
from edge_pose.jsonl import JsonlSink
from edge_pose.runtime import open_engines
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import Frame, Pose3D, Stats
from mim_folders import labelled_folder
from test_pose_augment import far_person
from train import domain_errors
from train.desk import UPPER_BODY
from train.domain_errors import FLAT, POSITION
from train.labelling import label_source
from train.metrics import mean_error
from train.own_footage import own_pictures
from train.pose_augment import Person


def person(number: int, score: float, *, stale: bool = False) -> dict[str, object]:
    """Write a person as `edge-pose run --output jsonl` does."""
    written: dict[str, object] = {
        "id": number,
        "score": score,
        "box": [0.0, 0.0, 10.0, 20.0],
        "kp": [[0.1 * number, 0.2, 2.0, 0.9]] * (NUM_JOINTS - 1) + [[None, None, None, 0.0]],
        "kp_px": [[5.0 * number, 6.0]] * (NUM_JOINTS - 1) + [[None, None]],
    }
    return {**written, "stale": True} if stale else written


SAMPLE: list[dict[str, Any]] = [
    {"meta": {"skeleton": "edge-body-25", "joints": ["nose"]}},
    {"seq": 0, "ts": 1_790_000_000_000, "persons": [person(1, 0.6), person(2, 0.9)]},
    {"seq": 1, "ts": 1_790_000_000_033, "persons": []},
    {"seq": 3, "ts": 1_790_000_000_099, "persons": [person(2, 0.9, stale=True)]},
]


def printing(lines: list[dict[str, Any]], *, code: int = 0) -> list[str]:
    """Build a command that prints these lines and ends with this code."""
    words = "\\n".join(json.dumps(line) for line in lines)
    script = f"import sys; print({words!r}.replace(chr(92)+'n', chr(10))); sys.exit({code})"
    return [sys.executable, "-c", script]


def test_the_most_certain_person_of_our_lines_is_read() -> None:
    lines, cost = run_and_time(printing(SAMPLE))
    poses = gather(lines, ours.read_line, 5)
    assert list(poses.found) == [True, False, False, False, False]
    np.testing.assert_allclose(poses.joints_px[0, 0], [10, 6])
    np.testing.assert_allclose(poses.joints_m[0, 0], [0.2, 0.2, 2])
    assert np.isnan(poses.joints_m[0, -1]).all()
    assert np.isnan(poses.joints_px[1]).all()
    assert cost.frames == 3
    assert cost.peak_memory_mib > 1


def test_what_the_appliance_writes_is_what_is_read(tmp_path: Path) -> None:
    """The real sink's lines, not a sample of them."""
    joints_m = np.arange(NUM_JOINTS * 3, dtype=np.float32).reshape(NUM_JOINTS, 3) / 100
    joints_px = np.arange(NUM_JOINTS * 2, dtype=np.float32).reshape(NUM_JOINTS, 2)
    pose = Pose3D(
        track=4,
        score=0.8,
        box_px=np.array([0, 0, 50, 90], np.float32),
        joints_m=joints_m,
        joints_px=joints_px,
        scores=np.linspace(0, 1, NUM_JOINTS, dtype=np.float32),
        predicted=np.zeros(NUM_JOINTS, np.bool_),
        stale=False,
        captured_ns=0,
    )
    frame = Frame(image=np.zeros((9, 16, 3), np.uint8), sequence=0, captured_ns=0, captured_at_ms=1)
    written = tmp_path / "lines.jsonl"
    with written.open("w", encoding="utf-8") as stream:
        sink = JsonlSink(stream, cam="cam0")
        sink.start({"joints": ["nose"]})
        stats = Stats(fps=30.0, infer_ms=9.0, total_ms=None, skipped=0, reconnects=0)
        sink.send(frame, [pose], stats)
    lines = [json.loads(text) for text in written.read_text(encoding="utf-8").splitlines()]
    poses = gather([line for line in lines if "seq" in line], ours.read_line)
    np.testing.assert_allclose(poses.joints_m[0], joints_m, atol=0.001)
    np.testing.assert_allclose(poses.joints_px[0], joints_px, atol=0.1)
    assert poses.scores[0, -1] == 1


def test_an_estimator_that_fails_is_not_measured() -> None:
    with pytest.raises(EstimatorFailed, match="code 78 after 3 frames"):
        run_and_time(printing(SAMPLE, code=78))


def test_people_are_counted_where_pixels_showed_them() -> None:
    assert appliance.people_in(SAMPLE[1:]) == (1 / 3, 2)


def test_landmarks_of_mediapipe_find_their_joints() -> None:
    landmarks = [[float(number), 2.0 * number, 0.0, 0.01 * number] for number in range(33)]
    world = [[0.1 * number, 0.0, -0.1 * number, 0.5] for number in range(33)]
    read = rivals.read_line({"seq": 0, "landmarks": landmarks, "world": world})
    assert read is not None
    np.testing.assert_allclose(read.joints_px[INDEX["left_wrist"]], [14.5, 29.5])
    np.testing.assert_allclose(read.joints_m[INDEX["right_toe"]], [3.2, 0, -3.2])
    np.testing.assert_allclose(read.joints_m[INDEX["pelvis"]], [2.35, 0, -2.35])
    assert np.isnan(read.joints_px[INDEX["neck"]]).all()
    assert read.scores[INDEX["neck"]] == 0
    assert rivals.read_line({"seq": 1, "landmarks": None, "world": None}) is None


def test_a_folder_without_clips_says_which_kinds_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\.mp4"):
        rivals.clips_below(tmp_path)
    clip = tmp_path / "below" / "walk.mkv"
    clip.parent.mkdir()
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"FFV1"), 5, (32, 32))
    writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()
    assert rivals.clips_below(tmp_path) == [clip]


def test_errors_on_the_desk_are_zero_for_the_truth_and_missed_where_nobody_is_found() -> None:
    random = np.random.default_rng(0)
    truth = desk.Truth(
        joints_m=random.normal(0, 0.3, (4, NUM_JOINTS, 3)),
        joints_px=random.uniform(0, 500, (4, NUM_JOINTS, 2)),
        counted=np.isin(np.arange(NUM_JOINTS), UPPER_BODY)[None].repeat(4, axis=0),
        seconds=np.array([0, 0, 1, 1]),
    )
    lines = [
        {
            "seq": seq,
            "persons": [
                {
                    "score": 0.9,
                    "kp": np.c_[truth.joints_m[seq] + 1.0, np.ones(NUM_JOINTS)].tolist(),
                    "kp_px": truth.joints_px[seq].tolist(),
                }
            ],
        }
        for seq in range(3)
    ]
    measured = desk.measure([gather(lines, ours.read_line, 4)], truth)
    assert list(measured.found) == [True, True, True, False]
    assert mean_error(measured.rooted_mm) == pytest.approx(0, abs=1e-9)
    assert mean_error(measured.picture_px) == pytest.approx(0, abs=1e-9)
    assert desk.share_within(measured.rooted_mm, measured, truth.counted, 150.0) == 75
    tables = desk.error_tables({"ours": measured, "full": measured}, truth)
    assert "| ours | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] |" in tables
    assert "left_wrist" in tables
    assert "left_knee" not in tables


def test_what_ships_answers_the_leaderboard_as_the_appliance_would() -> None:
    bundle = open_bundle()
    with np.load(bundle.golden_path) as golden:
        pictures, said_px = golden["pose.images"], golden["pose.joints_px"]
        scores = golden["pose.scores"]
    planes = np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)
    answer = leaderboard.Shipped(bundle.path_of("pose"))(torch.from_numpy(planes / 255))
    np.testing.assert_allclose(answer["joints_px"], said_px, atol=0.5)
    np.testing.assert_allclose(answer["score_logits"].sigmoid(), scores, atol=0.02)


def test_everybody_is_covered_alike_for_every_network() -> None:
    class Alone:
        def __len__(self) -> int:
            return 3

        def person(self, index: int) -> Person:
            """Return the same person again and again."""
            assert index < 3
            return far_person()

    (plain, *_), once, again = (
        domain_errors.crops_of(Alone(), most=3),
        *(leaderboard.covered_crops(Alone(), 3) for _ in range(2)),
    )
    assert len(once) == 3
    for first, second in zip(once, again, strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        assert plain.visible.sum() - first.visible.sum() >= 4
        at = np.rint(plain.joints_px[plain.visible & ~first.visible]).astype(int)
        assert (first.image[:, at[:, 1], at[:, 0]] != plain.image[:, at[:, 1], at[:, 0]]).any()
    assert not np.array_equal(once[0].image, once[1].image)


def test_the_leaderboard_has_a_row_a_network_and_a_column_a_set_and_metric() -> None:
    errors = {POSITION: np.full((20, NUM_JOINTS), 80.0), FLAT: np.full((20, NUM_JOINTS), 1.25)}
    table = leaderboard.rows_of(["hall"], {"fast": [errors]}, {"fast": ("6.4", "5.2", "11.6")})
    head, _, row = table.splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "network",
        "hall: MPJPE mm",
        "hall: 2D error, % of crop",
        "ms, 1 thread",
        "ms, 2 threads",
        "MB",
    ]
    assert "80 [80, 80]" in row
    assert "1.25 [1.25, 1.25]" in row
    assert row.rstrip(" |").endswith("11.6")


def clip_of(path: Path, picture: np.ndarray, count: int) -> Path:
    """Show a picture for so many frames."""
    height, width = picture.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (width, height))
    for _ in range(count):
        writer.write(picture)
    writer.release()
    return path


def surest_golden(bundle: Bundle) -> np.ndarray:
    """Take the golden crop of whose person the pose network is surest."""
    with np.load(bundle.folder / "golden.npz") as golden:
        return np.asarray(golden["pose.images"][int(np.argmax(golden["pose.scores"].mean(axis=1)))])


def test_clips_count_whoever_is_reported_once_and_everybody_else_as_invented(
    tmp_path: Path,
) -> None:
    bundle = open_bundle()
    picture = surest_golden(bundle)
    room = np.full_like(picture, 90)
    alone = clip_of(tmp_path / "alone.avi", np.hstack([picture, room]), 3)
    both = clip_of(tmp_path / "both.avi", np.hstack([picture, picture]), 3)
    nobody = clip_of(tmp_path / "nobody.avi", np.hstack([room, room]), 6)
    with ExitStack() as stack:
        engines = open_engines(bundle, stack, folder=tmp_path, choice="onnx").engines
        row = reported.row_of_clips([alone, both, nobody], bundle, engines)
        with pytest.raises(SourceError, match="name one that shows one person"):
            reported.row_of_clips([tmp_path / "none.mp4"], bundle, engines)
    *_, pictures, people, found, invented = row
    assert (pictures, people) == ("12", "12")
    assert found.startswith("0.500 ")
    assert invented.startswith("0.250 ")


def test_in_an_empty_place_whoever_is_reported_is_invented_and_nobody_is_found(
    tmp_path: Path,
) -> None:
    """Somebody stands in one of four pictures of which it was said that they show nobody."""
    bundle = open_bundle()
    picture = surest_golden(bundle)
    (tmp_path / "night").mkdir()
    for number in range(4):
        shown = picture if number == 2 else np.full_like(picture, 90)
        assert cv2.imwrite(str(tmp_path / f"night/{number}.png"), shown)
    source = own_pictures(tmp_path / "night", name="night", licence="mine")
    label_source(source, tmp_path / "empty", nobody=True)
    with ExitStack() as stack:
        engines = open_engines(bundle, stack, folder=tmp_path, choice="onnx").engines
        places = empty_places(tmp_path / "empty")
        (row,) = reported.rows_of("empty", places, bundle, engines, [0.25], heads=False)
    *_, pictures, people, found, invented = row
    assert (pictures, people, found) == ("4", "0", "-")
    assert invented.startswith("0.250 ")


def test_a_place_where_teachers_saw_somebody_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="name a folder made by `train label pictures … --nobody`"
    ):
        list(empty_places(labelled_folder(tmp_path / "line", 1)))
