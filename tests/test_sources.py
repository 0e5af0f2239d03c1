"""Readers of real pictures: keys and groups that last, boxes in pixels, faults named."""

import json
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_pose.errors import SourceError
from train.known_sets import sign_language, sitting_posture, workers
from train.own_footage import own_footage, own_pictures, own_video
from train.pose_data import is_held_out
from train.sources import Source


def write_picture(path: Path, width: int = 40, height: int = 20, grey: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))


def write_clip(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 10 % 250, np.uint8))
    writer.release()


@pytest.fixture
def workers_set(tmp_path: Path) -> Path:
    write_picture(tmp_path / "train" / "000001_aa.png")
    write_picture(tmp_path / "train" / "000019_bb.png")
    write_picture(tmp_path / "valid" / "000020_cc.png")
    (tmp_path / "boxes.tsv").write_text(
        "# split\timage\tclass cx cy w h\n"
        "train\t000001_aa.png\t1 0.5 0.5 0.25 0.5\n"
        "train\t000001_aa.png\t2 0.25 0.5 0.5 1.0\n"
    )
    return tmp_path


def test_a_box_in_fractions_becomes_pixels_with_centres_at_integers(workers_set: Path) -> None:
    first = next(workers(workers_set).pictures())
    helmet, person = first.boxes
    assert (helmet.kind, person.kind) == ("helmet", "person")
    # the left half of 40 x 20 pixels: from the left edge of pixel 0 to the right edge of pixel 19
    np.testing.assert_allclose(person.box_px, [-0.5, -0.5, 19.5, 19.5])
    np.testing.assert_allclose(helmet.box_px, [14.5, 4.5, 24.5, 14.5])


def test_photos_that_follow_each_other_share_a_group(workers_set: Path) -> None:
    groups = [picture.group for picture in workers(workers_set).pictures()]
    assert groups[0] == groups[1] != groups[2]


def test_pictures_whose_keys_are_done_are_not_read_again(workers_set: Path) -> None:
    source = workers(workers_set)
    keys = [picture.key for picture in source.pictures()]
    assert keys == [
        "workers/train/000001_aa.png",
        "workers/train/000019_bb.png",
        "workers/valid/000020_cc.png",
    ]
    rest = [picture.key for picture in source.pictures(skip=frozenset(keys[:2]))]
    assert rest == keys[2:]


def test_a_broken_line_of_boxes_is_named_with_its_number(workers_set: Path) -> None:
    with (workers_set / "boxes.tsv").open("a") as table:
        table.write("train 000001_aa.png 1\n")
    with pytest.raises(SourceError, match=r"boxes\.tsv:4 is 'train 000001_aa\.png 1'"):
        workers(workers_set)


def test_one_day_at_the_desk_is_one_group(tmp_path: Path) -> None:
    for name in ("good_20241012_1.png", "bad_posture_20241012_2.png", "image_20241013_1.png"):
        write_picture(tmp_path / name)
    groups = {picture.key: picture.group for picture in sitting_posture(tmp_path).pictures()}
    assert sorted(set(groups.values())) == ["sitting-posture/20241012", "sitting-posture/20241013"]


def write_points(path: Path, *, names: list[str], values: list[float]) -> None:
    category = {"id": 1, "name": "Bad", "keypoints": names}
    picture = {"id": 7, "file_name": "good_20241012_1.jpg", "width": 80, "height": 40}
    mark = {"image_id": 7, "category_id": 1, "keypoints": values}
    content = {"categories": [category], "images": [picture], "annotations": [mark]}
    path.write_text(json.dumps(content))


def test_points_that_people_set_come_with_the_picture_in_its_own_pixels(tmp_path: Path) -> None:
    """The file was written for a picture twice as large, with another ending."""
    write_picture(tmp_path / "good_20241012_1.png", width=40, height=20)
    write_picture(tmp_path / "good_20241012_2.png")
    names = ["bottom", "shoulder", "head"]
    write_points(tmp_path / "train.coco.json", names=names, values=[40, 20, 2, 0, 0, 0, 80, 4, 1])
    first, second = sitting_posture(tmp_path).pictures()
    assert second.points == ()
    assert [point.name for point in first.points] == ["bottom", "head"]
    # the middle of 40 x 20 pixels, and the right edge of pixel 39 a tenth of the height down
    np.testing.assert_allclose(first.points[0].place_px, [19.5, 9.5])
    np.testing.assert_allclose(first.points[1].place_px, [39.5, 1.5])


@pytest.mark.parametrize("text", ["[", "[]", "{}", '{"categories": [], "images": []}'])
def test_a_file_of_points_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "good_20241012_1.png")
    (tmp_path / "train.coco.json").write_text(text)
    with pytest.raises(SourceError, match=r"train\.coco\.json is no COCO file"):
        sitting_posture(tmp_path)


def test_a_name_too_few_for_the_points_is_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path / "good_20241012_1.png")
    write_points(tmp_path / "train.coco.json", names=["head"], values=[1, 1, 2, 3, 3, 2])
    with pytest.raises(SourceError, match="is no COCO file"):
        sitting_posture(tmp_path)


def test_every_third_frame_of_a_clip_is_the_right_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "wave.mkv", frames=10)
    source = sign_language(tmp_path, every=3)
    pictures = list(source.pictures())
    assert [picture.key for picture in pictures] == [
        f"sign-language/wave#{number:06d}" for number in (0, 3, 6, 9)
    ]
    brightness = [float(picture.image.mean()) for picture in pictures]
    np.testing.assert_allclose(brightness, [0, 30, 60, 90], atol=3)
    assert {picture.group for picture in pictures} == {"sign-language/wave"}
    assert len(source) == len(pictures)


def test_skipping_a_frame_does_not_renumber_the_others(tmp_path: Path) -> None:
    write_clip(tmp_path / "wave.mkv", frames=4)
    skip = frozenset({"own/wave#000001"})
    source = own_video(tmp_path / "wave.mkv", name="own", licence="mine")
    brightness = [float(picture.image.mean()) for picture in source.pictures(skip)]
    np.testing.assert_allclose(brightness, [0, 20, 30], atol=3)


def test_subfolders_of_own_pictures_are_groups(tmp_path: Path) -> None:
    write_picture(tmp_path / "hall" / "one.png")
    write_picture(tmp_path / "yard" / "one.png")
    source = own_pictures(tmp_path, name="plant", licence="ours")
    assert isinstance(source, Source)
    found = [(picture.key, picture.group, picture.licence) for picture in source.pictures()]
    assert found == [
        ("plant/hall/one.png", "plant/hall", "ours"),
        ("plant/yard/one.png", "plant/yard", "ours"),
    ]


def test_of_one_flat_folder_runs_of_twenty_are_groups_and_the_second_is_held_out(
    tmp_path: Path,
) -> None:
    for number in range(50):
        write_picture(tmp_path / "hall" / f"{number:03d}.png")
    source = own_pictures(tmp_path / "hall", name="hall", licence="ours")
    groups = [picture.group for picture in source.pictures()]
    assert [len(list(run)) for _, run in groupby(groups)] == [20, 20, 10]
    assert [is_held_out(group) for group in groups] == 20 * [False] + 20 * [True] + 10 * [False]
    assert source.groups() == set(groups)
    rest = source.pictures(skip=frozenset(f"hall/{number:03d}.png" for number in range(30)))
    assert [picture.group for picture in rest] == groups[30:]


def test_of_one_clip_runs_of_twenty_labelled_frames_are_groups(tmp_path: Path) -> None:
    write_clip(tmp_path / "wave.mkv", frames=63)
    source = own_video(tmp_path / "wave.mkv", name="own", licence="mine", every=3)
    groups = [picture.group for picture in source.pictures()]
    assert [is_held_out(group) for group in groups] == [False] * 20 + [True]
    assert source.groups() == set(groups)
    (rest,) = source.pictures(skip=frozenset(f"own/wave#{3 * n:06d}" for n in range(20)))
    assert rest.group == groups[20]


def test_clips_beside_each_other_stay_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_clip(tmp_path / f"{name}.mkv", frames=21)
    source = own_video(tmp_path, name="own", licence="mine")
    groups = [picture.group for picture in source.pictures()]
    assert groups == ["own/a"] * 21 + ["own/b"] * 21
    assert source.groups() == {"own/a", "own/b"}


def test_footage_of_ones_own_is_pictures_or_videos(tmp_path: Path) -> None:
    write_picture(tmp_path / "hall" / "one.png")
    write_clip(tmp_path / "clips" / "wave.mkv", frames=2)
    found = {
        path: [picture.key for picture in own_footage(path, name="line", licence="x").pictures()]
        for path in (tmp_path / "hall", tmp_path / "clips", tmp_path / "clips" / "wave.mkv")
    }
    frames = ["line/wave#000000", "line/wave#000001"]
    assert list(found.values()) == [["line/one.png"], frames, frames]
    with pytest.raises(SourceError, match=r"there is no .*gone; name a folder of pictures"):
        own_footage(tmp_path / "gone", name="line", licence="x")


def test_a_file_that_is_no_picture_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("not a picture")
    source = own_pictures(tmp_path, name="own", licence="mine")
    with pytest.raises(SourceError, match=r"broken\.jpg cannot be read as a picture"):
        list(source.pictures())


def test_a_file_that_is_no_video_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("not a video")
    source = own_video(tmp_path / "broken.mp4", name="own", licence="mine")
    with pytest.raises(SourceError, match=r"broken\.mp4 cannot be read as a video"):
        list(source.pictures())


def test_an_empty_folder_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no pictures"):
        own_pictures(tmp_path, name="own", licence="mine")
    with pytest.raises(SourceError, match="is not a folder"):
        sitting_posture(tmp_path / "missing")
