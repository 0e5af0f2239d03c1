"""The detector that ships goes on learning, and is counted before and after."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pytest
import torch

from edge_pose.boxes import overlaps
from edge_pose.bundle import open_bundle
from edge_pose.detect import DetectSettings, find_people
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import ConfigError, SourceError
from edge_pose.types import Detection
from mim_folders import labelled_folder, rendered_folder, rendered_frame
from train import run_recipe
from train.__main__ import main
from train.checkpoint import TENSORS
from train.detector import DetectorNet
from train.detector_command import load_detector
from train.detector_data import Scene
from train.detector_refresh import (
    FOUND,
    HIGHER_IS_BETTER,
    INVENTED,
    REFRESHED,
    SHIPPED,
    detector_rows,
    judge,
    refresh_detector,
)
from train.domains import source_domain, target_domain
from train.label_cache import LabelFolder, read_labels
from train.labelled_image import LabelledImage, encode_picture
from train.pose_data import is_held_out
from train.report_summary import tables
from train.shipped import shipped_weights
from train.synth.dataset import chunk_path, pack_chunk, write_chunk
from train.workflow_stages import Assignment

BUNDLE: Final = open_bundle()
WEIGHT: Final = "tower.layers.op187.conv.weight"
RATE: Final = 0.1
GROUPS: Final = MappingProxyType(
    {is_held_out(name): name for name in (f"line/{number}" for number in range(100))}
)
"""A group of pictures that is held out (True), and one that is not."""
GOLDEN: Final = np.load(BUNDLE.folder / "golden.npz")


@pytest.fixture(scope="module")
def shipped() -> DetectorNet:
    return load_detector(BUNDLE.folder)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    """Two rendered folders, a target that the teachers labelled, and one step to take."""
    folder = tmp_path_factory.mktemp("line")
    sources = (rendered_folder(folder / "a", 2), rendered_folder(folder / "b", 3))
    target = labelled_folder(folder / "target", 2, group=GROUPS[False])
    return Assignment(
        source_folders=sources,
        target_folder=target,
        source=source_domain(sources),
        target=target_domain(target, folder / "labels"),
        preset_name="tiny",
        network="student",
        begin=None,
        learning_rate=RATE,
        out=folder / "out",
        share_of_steps=0.05,
    )


@pytest.fixture(scope="module")
def refreshed(task: Assignment) -> DetectorNet:
    return refresh_detector(task, BUNDLE.folder, 0)


def frames_folder(folder: Path, people: Sequence[Sequence[Detection]]) -> Path:
    """Write the golden frames as a group held out, with whom the teachers saw in each."""
    labels = LabelFolder(folder, teachers={"teacher": "hash"})
    for number, (frame, seen) in enumerate(zip(GOLDEN["detector.images"], people, strict=True)):
        labels.add(
            LabelledImage(
                jpeg=encode_picture(frame),
                key=f"{GROUPS[True]}#{number:06d}",
                source="line",
                licence="none",
                group=GROUPS[True],
                width_px=frame.shape[1],
                height_px=frame.shape[0],
                people=(),
                detected_px=np.array([one.box_px for one in seen], np.float32).reshape(-1, 4),
                detected_scores=np.array([one.score for one in seen], np.float32),
                given=(),
            )
        )
    labels.flush()
    return folder


def test_what_ships_is_read_back_as_it_answers(shipped: DetectorNet) -> None:
    """All of the file answers as the file does; what is trained on are its numbers."""
    stored = shipped_weights(BUNDLE.path_of("detector"))
    whole = DetectorNet()
    whole.load_state_dict(stored)
    pixels = GOLDEN["detector.images"][..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        answer = whole(torch.from_numpy(pixels / 127.5 - 1))
    scores = answer["score_logits"].sigmoid().numpy()
    sure = GOLDEN["detector.scores"] > 0.4
    assert sure.any()
    np.testing.assert_allclose(scores, GOLDEN["detector.scores"], atol=1e-4)
    np.testing.assert_allclose(
        answer["boxes_px"].numpy()[sure], GOLDEN["detector.boxes_px"][sure], atol=0.01
    )
    for name, value in shipped.state_dict().items():
        if name.startswith("tower."):
            torch.testing.assert_close(value, stored[name], rtol=0.0, atol=0.0)


def test_the_stem_that_ships_is_the_published_one_to_half_a_step(shipped: DetectorNet) -> None:
    stored = shipped_weights(BUNDLE.path_of("detector"))
    published = DetectorNet().state_dict()
    rounded = 0
    for name, value in shipped.state_dict().items():
        if name.startswith("stem."):
            assert torch.equal(value, published[name])
            if value.ndim == 4:
                # Bytes go from -127 to 127 in each channel.
                step = value.abs().amax((1, 2, 3), keepdim=True) / 127
                assert ((stored[name] - value).abs() <= 0.51 * step).all()
                rounded += 1
    assert rounded > 20


def test_one_step_moves_what_ships_by_its_share_of_the_rate(
    task: Assignment, refreshed: DetectorNet, shipped: DetectorNet
) -> None:
    moved = {
        name: float((value - shipped.state_dict()[name]).abs().max())
        for name, value in refreshed.state_dict().items()
    }
    assert all(change == 0 for name, change in moved.items() if name.startswith("stem."))
    # Adam's first step is the rate, here 1/100 of its height and 0.3 of that; 0.9 go into the mean.
    assert moved[WEIGHT] == pytest.approx(0.9 * 0.3 * RATE / 100, rel=0.05)
    saved = load_detector(task.out / "detector").state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in refreshed.state_dict().items())


def test_a_refreshed_detector_is_not_refreshed_again(
    task: Assignment, refreshed: DetectorNet
) -> None:
    saved = task.out / "detector" / TENSORS
    before = saved.stat().st_mtime_ns
    again = refresh_detector(task, BUNDLE.folder, 0)
    assert saved.stat().st_mtime_ns == before
    assert torch.equal(again.state_dict()[WEIGHT], refreshed.state_dict()[WEIGHT])
    recipe = run_recipe.read(task.out / "detector")
    assert recipe["begin"] == str(BUNDLE.folder)
    assert (recipe["rendered_frames"], recipe["real_frames"]) == ("5", "2")


def test_the_command_begins_where_a_run_ended(
    task: Assignment, refreshed: DetectorNet, tmp_path: Path
) -> None:
    folders = ["--rendered", str(task.source_folders[0]), "--real", str(task.target_folder)]
    words = ["detector", *folders, "--preset", "tiny", "--steps", "1", "--workers", "0"]
    words += ["--batch-size", "2", "--learning-rate", "1e-6"]
    begin = ["--begin", str(task.out / "detector"), "--out", str(tmp_path / "run")]
    assert main([*words, *begin]) == 0
    now = load_detector(tmp_path / "run").state_dict()[WEIGHT]
    assert float((now - refreshed.state_dict()[WEIGHT]).abs().max()) < 1e-7


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (False, "there is no folder"),
        (True, "holds no trained network"),
    ],
)
def test_a_beginning_without_a_network_is_refused(tmp_path: Path, *, made: bool, said: str) -> None:
    path = tmp_path / "begin"
    if made:
        path.mkdir()
    with pytest.raises(ConfigError, match=said):
        load_detector(path)


def test_another_network_is_no_detector(tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(BUNDLE.path_of("pose").read_bytes())
    with pytest.raises(ConfigError, match="but not the detector"):
        load_detector(tmp_path)


def test_a_target_that_nobody_labelled_and_one_held_out_whole_are_refused(
    task: Assignment, tmp_path: Path
) -> None:
    rendered = replace(task, target_folder=task.source_folders[0], out=tmp_path)
    with pytest.raises(ConfigError, match="truth that no line has"):
        refresh_detector(rendered, BUNDLE.folder, 0)
    held_out = labelled_folder(tmp_path / "held", 2, group=GROUPS[True])
    with pytest.raises(SourceError, match="0 real ones"):
        refresh_detector(replace(task, target_folder=held_out), BUNDLE.folder, 0)


def test_each_box_answers_for_one_person_and_only_strangers_are_invented() -> None:
    scene = Scene(
        image=np.zeros((200, 400, 3), np.uint8),
        people_px=np.array(
            [[0, 0, 50, 100], [10, 0, 60, 100], [200, 0, 250, 100], [300, 0, 308, 19]], np.float32
        ),
        unsure_px=np.array([[320, 100, 360, 200]], np.float32),
    )
    boxes = np.array(
        [
            [4, 0, 54, 100],  # either of the first two, not both
            [200, 60, 250, 160],  # a quarter of the third: known, not found
            [300, 0, 308, 19],  # too small to count
            [320, 100, 360, 200],  # nobody knows
            [100, 100, 140, 200],  # nobody there
        ],
        np.float32,
    )
    found, invented = judge(scene, boxes)
    assert sorted(found[:2]) == [False, True]
    assert found[2:].tolist() == [False]
    assert invented == 1


def test_shares_and_inventions_are_those_that_the_appliance_would_show(
    shipped: DetectorNet, tmp_path: Path
) -> None:
    engine = OnnxEngine(BUNDLE.path_of("detector"), threads=1)
    whole = np.array([0, 0, 300, 300], np.float32)
    spec, settings = BUNDLE.manifest.networks.detector, DetectSettings(score_min=0.25)
    first, second = (
        find_people(engine, spec, image.image(), [whole], settings)
        for image in read_labels(frames_folder(tmp_path / "nobody", [(), ()]))
    )
    # The teachers saw the same, half of it with doubt, but a stranger for the surest of a frame,
    # of whom they saw no part either.
    shares = overlaps(second[0].box_px[None], np.stack([one.box_px for one in second]))[0]
    apart = [one for one, share in zip(second, shares, strict=True) if share == 0]
    unknown = [one for one, share in zip(second, shares, strict=True) if share > 0]
    invented_there = sum(one.score >= DetectSettings().score_min for one in unknown)
    stranger = Detection(box_px=np.array([260, 262, 299, 299], np.float32), score=0.9)
    seen = frames_folder(tmp_path / "seen", [first, [stranger, *apart]])
    sure = [one for one in (*first, *apart) if one.score >= 0.5]
    high = sum(float(one.box_px[3] - one.box_px[1]) >= 30 for one in sure)
    assert high >= 2
    silent = load_detector(BUNDLE.folder)
    with torch.no_grad():
        for name, value in silent.named_parameters():
            if name.endswith("bias") and len(value) in {3, 6}:
                value.fill_(-20.0)
    tests = {"other": rendered_folder(tmp_path / "rendered", 3), "line": seen}
    rows = detector_rows(shipped, silent, tests, seed=1, most=2)
    by_key = {(row.domain, row.method, row.metric): row for row in rows}
    assert len(by_key) == len(rows) == 8
    before, after = (by_key["line", method, FOUND] for method in (SHIPPED, REFRESHED))
    assert before.value == pytest.approx(100 * high / (high + 1))
    assert before.samples == high + 1
    assert len(before.group_sums) == 2
    assert before.interval is not None
    assert before.interval[0] <= before.value <= before.interval[1]
    assert (after.value, after.name, after.seed) == (0.0, f"{REFRESHED}, seed 1", 1)
    invented = by_key["line", SHIPPED, INVENTED]
    assert (invented.value, invented.samples) == (50.0 * invented_there, 2)
    assert by_key["line", REFRESHED, INVENTED].value == 0.0
    assert by_key["other", SHIPPED, INVENTED].samples == 2
    better = {table.metric: table.higher_is_better for table in tables(rows, HIGHER_IS_BETTER)}
    assert better == {FOUND: True, INVENTED: False}


def test_where_nobody_counts_inventions_do_and_where_nothing_is_held_out_nothing_does(
    task: Assignment, shipped: DetectorNet, tmp_path: Path
) -> None:
    empty = frames_folder(tmp_path / "empty", [(), ()])
    rows = detector_rows(shipped, shipped, {"line": empty}, seed=0, most=5)
    assert [row.metric for row in rows] == [INVENTED, INVENTED]
    assert rows[0].value >= 200.0
    with pytest.raises(SourceError, match="nothing to measure"):
        detector_rows(shipped, shipped, {"line": task.target_folder}, seed=0, most=5)


def test_pictures_counted_reach_from_the_first_to_the_last(
    shipped: DetectorNet, tmp_path: Path
) -> None:
    """Somebody is in the first and in the last of three."""
    frames = [rendered_frame(seed) for seed in range(3)]
    frames[1] = replace(frames[1], people=())
    write_chunk(chunk_path(tmp_path, 0), pack_chunk(frames))
    rows = detector_rows(shipped, shipped, {"other": tmp_path}, seed=0, most=2)
    assert [row.samples for row in rows if row.metric == FOUND] == [2, 2]
