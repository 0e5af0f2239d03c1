"""How far masks are believed, checked on shapes whose overlaps one can count."""

import json
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_pose.errors import ConfigError, SourceError
from train import foreground_command
from train.foreground import (
    MaskQuality,
    box_agreement,
    given,
    joint_agreement,
    motion_agreement,
    overlap,
    segmented,
    sift,
    stability,
)
from train.foreground_camera import learn_background
from train.foreground_scenes import mark_of
from train.label_cache import LabelFolder
from train.labelled_image import LabelledImage, LabelledPerson, encode_mask, encode_picture
from train.picture_runs import run_of

SIZE = (80, 120)
RED = np.array([20, 30, 230], np.float32)


def block(x0: int, y0: int, x1: int, y1: int, value: int = 255) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[y0:y1, x0:x1] = value
    return mask


def joints_at(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return 25 joints with confidence, of which only these are sure."""
    joints_px = np.zeros((25, 2), np.float32)
    confidence = np.full(25, 0.3, np.float32)
    joints_px[: len(points)] = points
    confidence[: len(points)] = 0.9
    return joints_px, confidence


def test_overlap_is_shared_area_over_joint_area() -> None:
    assert overlap(block(0, 0, 20, 10), block(10, 0, 30, 10)) == pytest.approx(100 / 300)
    assert overlap(block(0, 0, 20, 10, 100), block(0, 0, 20, 10, 200)) == pytest.approx(0.5)
    assert overlap(block(0, 0, 0, 0), block(0, 0, 0, 0)) == 1
    assert overlap(block(0, 0, 9, 9), block(0, 0, 0, 0)) == 0


def test_who_walks_is_stable_and_who_loses_the_legs_is_not() -> None:
    whole, moved = block(20, 20, 40, 60), block(33, 22, 53, 62)
    legless = block(20, 20, 40, 40)
    assert stability(whole, [moved]) == pytest.approx(1)
    assert stability(legless, [moved]) == pytest.approx(0.5, abs=0.02)
    assert stability(whole, [legless, moved]) == pytest.approx(1)  # one bad neighbour
    assert stability(whole, []) is None


def test_joints_in_the_mask_are_counted_and_the_unsure_ones_are_not() -> None:
    mask = block(20, 10, 40, 70)
    inside = [(22.0, 12.0), (38.0, 12.0), (30.0, 40.0)]
    assert joint_agreement(mask, *joints_at(*inside, (30, 65))) == 1
    assert joint_agreement(mask, *joints_at(*inside, (70, 40))) == 0.75
    assert joint_agreement(mask, *joints_at(*inside, (300, 40))) == 0.75  # beyond the picture
    assert joint_agreement(mask, *joints_at(*inside)) is None  # too few to tell


def test_a_wrist_at_the_rim_is_in_the_mask() -> None:
    mask = block(20, 10, 40, 70)
    body = [(22.0, 12.0), (38.0, 12.0), (30.0, 69.0)]
    assert joint_agreement(mask, *joints_at(*body, (40.4, 40))) == 1  # 2 % of 57 is 1 pixel
    assert joint_agreement(mask, *joints_at(*body, (42.6, 40))) == 0.75


def test_a_mask_is_compared_with_the_detected_box_that_it_fits_best() -> None:
    boxes_px = np.array([[0, 0, 5, 5], [19.5, 9.5, 39.5, 39.5]], np.float32)
    assert box_agreement(block(20, 10, 40, 70), boxes_px) == pytest.approx(0.5)
    assert box_agreement(block(0, 0, 0, 0), boxes_px) == 0
    assert box_agreement(block(20, 10, 40, 70), boxes_px[:0]) is None


def test_motion_is_compared_near_the_person_and_only_where_something_moved() -> None:
    person, box_px = block(20, 10, 40, 70), np.array([20, 10, 40, 70], np.float32)
    elsewhere = block(90, 0, 120, 80)
    half = block(20, 10, 40, 40)
    assert motion_agreement(person, box_px, person | elsewhere) == 1
    assert motion_agreement(person, box_px, half | elsewhere) == 1  # the rest looked like the wall
    assert motion_agreement(half, box_px, person | elsewhere) == 0.5
    assert motion_agreement(person, box_px, elsewhere) is None
    assert motion_agreement(block(0, 0, 0, 0), box_px, elsewhere) is None


def test_the_score_is_the_geometric_mean_of_what_is_known() -> None:
    assert MaskQuality(joints=0.9, box=0.4).score == pytest.approx(0.6)
    assert MaskQuality(agreement=0.9, stability=0.0, joints=1.0, box=1.0).score == 0
    assert MaskQuality(stability=0.7).score == pytest.approx(0.7)
    assert MaskQuality().score is None


def test_bad_masks_are_named_and_unknown_ones_are_used() -> None:
    qualities = {
        "good": MaskQuality(joints=1.0, box=0.9),
        "bad": MaskQuality(joints=0.2, box=0.9),
        "unknown": MaskQuality(),
    }
    assert sift(qualities, 0.5) == (("good", "unknown"), ("bad",))
    assert sift(qualities, 0.1) == (("good", "bad", "unknown"), ())


def test_a_given_mask_must_be_a_picture_of_the_right_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), block(1, 2, 3, 4))
    assert np.array_equal(given(tmp_path / "mask.png", 120, 80), block(1, 2, 3, 4))
    with pytest.raises(SourceError, match="120x80 pixels and its picture 80x120"):
        given(tmp_path / "mask.png", 80, 120)
    with pytest.raises(SourceError, match="cannot be read as a mask"):
        given(tmp_path / "none.png", 80, 120)


def scene(rng: np.random.Generator) -> np.ndarray:
    texture = rng.integers(40, 200, (10, 15, 3), np.uint8)
    return cv2.resize(texture, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)


def filmed(place: np.ndarray, rng: np.random.Generator, *, exposure: float = 1.0) -> np.ndarray:
    """Return what a noisy camera makes of a place."""
    return np.clip(exposure * (place + rng.normal(0, 3, place.shape)), 0, 255).astype(np.uint8)


def test_a_fixed_camera_shows_who_walks_through_also_when_the_exposure_drifts() -> None:
    rng = np.random.default_rng(0)
    place = scene(rng)
    clip, truth = [], []
    for number in range(40):
        left = 3 * number - 20
        mask = block(max(left, 0), 20, max(left + 16, 0), 70)
        with_person = np.where(mask[:, :, None] > 0, RED, place)
        clip.append(filmed(with_person, rng, exposure=1 + 0.15 * np.sin(number / 6)))
        truth.append(mask)
    background = learn_background(clip)
    found = [background.foreground(frame) for frame in clip]
    shared = [overlap(one, mask) for one, mask in zip(found, truth, strict=True) if mask.any()]
    assert min(shared[3:-3]) > 0.7
    assert np.mean(shared) > 0.85


def test_who_comes_and_goes_to_the_same_place_is_seen_there() -> None:
    """Present in four of ten frames, somebody doubles the spread over time, but not the noise."""
    rng = np.random.default_rng(1)
    place = scene(rng)
    mask = block(50, 20, 70, 70)
    with_person = np.where(mask[:, :, None] > 0, RED, place)
    clip = [filmed(with_person if number % 20 >= 12 else place, rng) for number in range(60)]
    background = learn_background(clip)
    assert overlap(background.foreground(clip[15]), mask) > 0.8
    assert background.foreground(clip[5]).mean() < 2


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(SourceError, match="3 frames and needs 15"):
        learn_background([np.zeros((4, 4, 3), np.uint8)] * 3)


def labelled(key: str, mask: np.ndarray, group: str = "line") -> LabelledImage:
    """Return a picture with one person whose joints and detected box stand where (20, 10) is."""
    joints_px, confidence = joints_at((22, 12), (38, 12), (30, 40), (30, 65))
    person = LabelledPerson(
        joints_px=joints_px,
        confidence=confidence,
        box_px=np.array([20, 10, 40, 70], np.float32),
        reach_px=np.array([[30, 40], [30, 5]], np.float32),
        mask_png=encode_mask(mask),
        quality=0.9,
        disagreement_px=1.0,
    )
    return LabelledImage(
        jpeg=encode_picture(np.zeros((*SIZE, 3), np.uint8)),
        key=key,
        source="own",
        licence="own",
        group=group,
        width_px=SIZE[1],
        height_px=SIZE[0],
        people=(person,),
        detected_px=np.array([[19.5, 9.5, 39.5, 69.5]], np.float32),
        detected_scores=np.array([0.9], np.float32),
        given=(),
    )


def test_the_segmenter_sees_everybody_in_a_picture() -> None:
    one = labelled("a", block(0, 0, 10, 10))
    assert np.array_equal(segmented(one), block(0, 0, 10, 10))


def test_frames_of_a_clip_know_their_neighbours_and_stills_do_not() -> None:
    whole, legless = block(20, 10, 40, 70), block(20, 10, 40, 30)
    masks = [whole, whole, legless, whole]
    frames = [labelled(f"clip#{number:06d}", mask) for number, mask in enumerate(masks)]
    found = [quality.stability for _, _, quality in foreground_command.judge(iter(frames))]
    assert found[0] == pytest.approx(1)
    assert found[2] == pytest.approx(20 / 50, abs=0.02)  # ten rows leave the picture
    stills = [labelled(f"still {number}", mask) for number, mask in enumerate(masks)]
    assert all(q.stability is None for _, _, q in foreground_command.judge(iter(stills)))


def test_runs_of_one_clip_are_judged_as_one_clip() -> None:
    whole = block(20, 10, 40, 70)
    frames = [
        replace(labelled(f"clip#{number:06d}", whole), group=run_of("clip", number))
        for number in range(21)
    ]
    found = [quality.stability for _, _, quality in foreground_command.judge(iter(frames))]
    assert found == pytest.approx([1.0] * 21)


def test_a_frame_in_which_everything_changes_says_nothing_about_masks() -> None:
    rng = np.random.default_rng(2)
    place = scene(rng)
    frames = []
    for number in range(20):
        shown = filmed(255 - place if number == 7 else place, rng)
        frames.append(
            replace(
                labelled(f"clip#{number:06d}", block(20, 10, 40, 70)), jpeg=encode_picture(shown)
            )
        )
    moved = foreground_command.moving(frames)
    assert moved[7] is None
    assert all(mask is not None and mask.mean() < 5 for mask in moved[:7] + moved[8:])
    assert foreground_command.moving(frames[:5]) == [None] * 5


def run(*words: str) -> None:
    parser = ArgumentParser()
    foreground_command.add_arguments(parser)
    foreground_command.main(parser.parse_args(words))


def test_the_command_names_bad_masks_and_what_it_wrote_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = labelled("fine", block(20, 10, 40, 70)), labelled("wrong", block(60, 10, 80, 70))
    folder = LabelFolder(tmp_path / "labels", teachers={"net": "0"})
    folder.add(good)
    folder.add(bad)
    folder.flush()
    out = tmp_path / "foreground.json"
    run(str(tmp_path / "labels"), "--out", str(out))
    printed = capsys.readouterr().out
    assert "left out: wrong, person 0, which" in printed
    assert "fine" not in printed
    assert "1 masks are used, 1 of 2 left out" in printed
    person = bad.people[0]
    assert foreground_command.read_left_out(out) == {mark_of(person.box_px, person.joints_px)}
    run(str(tmp_path / "labels"), "--out", str(out), "--least", "0")
    assert foreground_command.read_left_out(out) == frozenset()


def test_wrong_files_and_limits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"masks": {}}))
    for name in ("other.json", "none.json"):
        with pytest.raises(SourceError, match="make it with `python -m train foreground`"):
            foreground_command.read_left_out(tmp_path / name)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        run(str(tmp_path), "--out", str(tmp_path / "x.json"), "--least", "7")
