"""Whoever has a drawn head and no teacher is boxed by the pose network, and by nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from edge_pose.boxes import inside_share
from edge_pose.bundle import open_bundle
from edge_pose.engines.onnx import OnnxEngine
from train.__main__ import main
from train.detector_data import RealScenes
from train.drawn_heads import bodies_below, boxes_of_anybody, overlooked_heads
from train.label_cache import LabelFolder, read_labels, shards_of
from train.label_shard import overlooked_by
from train.labelled_image import LabelledImage, encode_picture
from train.overlooked import find_overlooked
from train.pose_data import RealPeople
from train.sources import GivenBox

BUNDLE: Final = open_bundle()
GOLDEN: Final = np.load(BUNDLE.folder / "golden.npz")
BEST: Final = int(
    np.argmax(GOLDEN["pose.presence"] * np.sort(GOLDEN["pose.scores"])[:, -8:].mean(axis=1))
)
"""Of the golden crops, the one that shows somebody best."""
FACE_PX: Final = GOLDEN["pose.joints_px"][BEST, :5]
MIDDLE_PX: Final = FACE_PX.mean(axis=0)
HALF_PX: Final = max(14.0, float(np.ptp(FACE_PX, axis=0).max()) * 0.8)
HEAD: Final = np.concatenate([MIDDLE_PX - HALF_PX, MIDDLE_PX + HALF_PX]).astype(np.float32)
NOBODY: Final = np.zeros((0, 4), np.float32)


def picture(*heads: np.ndarray, detected: np.ndarray = NOBODY) -> LabelledImage:
    """Label the golden crop: what somebody drew, and whom the teacher of people is sure of."""
    return LabelledImage(
        jpeg=encode_picture(GOLDEN["pose.images"][BEST]),
        key="line/0.png",
        source="line",
        licence="none",
        group="line/.#run-0000",
        width_px=256,
        height_px=256,
        people=(),
        detected_px=detected,
        detected_scores=np.ones(len(detected), np.float32),
        given=tuple(GivenBox(kind="head", box_px=head) for head in heads),
    )


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    return OnnxEngine(BUNDLE.path_of("pose"))


def test_a_drawn_head_without_a_known_body_may_have_less_or_more_of_one() -> None:
    head = np.array([100, 50, 120, 75], np.float32)
    body = np.array([[80, 45, 140, 240]], np.float32)
    image = picture(head)
    assert list(overlooked_heads(image, body)) == []
    assert len(list(overlooked_heads(image, body + 400))) == 1
    guesses = bodies_below(head)
    heads_high = (guesses[:, 3] - guesses[:, 1]) / 25
    np.testing.assert_allclose(heads_high, [2.2, 4.0, 7.0], rtol=1e-5)
    assert (guesses[:, 1] == 50).all()
    np.testing.assert_allclose((guesses[:, 0] + guesses[:, 2]) / 2, 110, atol=1e-4)


def test_below_a_drawn_head_the_body_is_found_once_with_helmet_and_all(engine: OnnxEngine) -> None:
    (found,) = find_overlooked(BUNDLE, engine, picture(HEAD, HEAD + 2))
    scores, joints_px = GOLDEN["pose.scores"][BEST], GOLDEN["pose.joints_px"][BEST]
    well_seen = joints_px[scores > np.sort(scores)[-8]]
    assert ((well_seen >= found[:2]) & (well_seen <= found[2:])).all()
    assert inside_share(np.clip(HEAD, 0, 255), found) > 0.99
    assert ((found >= 0) & (found <= 255)).all()


def test_nobody_is_below_a_head_drawn_elsewhere_nor_one_whom_a_teacher_boxed(
    engine: OnnxEngine,
) -> None:
    corner = np.array([225, 225, 250, 250], np.float32)
    assert len(find_overlooked(BUNDLE, engine, picture(corner))) == 0
    (found,) = find_overlooked(BUNDLE, engine, picture(HEAD))
    assert len(find_overlooked(BUNDLE, engine, picture(HEAD, detected=found[None]))) == 0
    blank = replace(picture(HEAD), jpeg=encode_picture(np.full((256, 256, 3), 90, np.uint8)))
    assert len(find_overlooked(BUNDLE, engine, blank)) == 0


def test_the_detector_learns_from_whom_the_command_found_and_finds_them_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = replace(picture(), key="line/1.png")
    labels = LabelFolder(tmp_path, teachers={"teacher": "hash"})
    for image in (empty, picture(HEAD)):
        labels.add(image)
    labels.flush()
    before = RealScenes([tmp_path], held_out=False).scene(1)
    assert (len(before.people_px), len(before.unsure_px)) == (0, 3)
    assert main(["overlooked", "--real", str(tmp_path)]) == 0
    assert "1 people in 2 pictures" in capsys.readouterr().out
    assert [len(image.overlooked_px) for image in read_labels(tmp_path)] == [0, 1]
    after = RealScenes([tmp_path], held_out=False).scene(1)
    assert (len(after.people_px), len(after.unsure_px)) == (1, 0)
    (shard,) = shards_of(tmp_path)
    assert overlooked_by(shard) == BUNDLE.manifest.sha256["pose.onnx"]
    (beside,) = tmp_path.glob("overlooked-*.npz")
    written_ns = beside.stat().st_mtime_ns
    assert main(["overlooked", "--real", str(tmp_path)]) == 0
    assert beside.stat().st_mtime_ns == written_ns


def test_squares_of_nobody_keep_clear_of_bodies_that_only_a_drawn_head_tells_of(
    tmp_path: Path,
) -> None:
    head = np.array([110, 30, 140, 62], np.float32)
    image = picture(head)
    trunk = np.array([90, 70, 160, 200], np.float32)
    boxes = boxes_of_anybody(image)
    assert max(inside_share(trunk, box) for box in boxes) > 0.99
    labels = LabelFolder(tmp_path, teachers={"teacher": "hash"})
    labels.add(image)
    labels.flush()
    people, rng = RealPeople([tmp_path], held_out=False), np.random.default_rng(0)
    squares = [nobody.box_px for _ in range(40) if (nobody := people.nobody(rng))]
    assert squares
    assert max(inside_share(square, trunk) for square in squares) == 0
