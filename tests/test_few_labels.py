"""COCO key points: read exactly, refused with a sentence, and cut out as the network expects."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_pose import skeleton
from edge_pose.errors import SourceError
from train.coco import NAMES, MarkedFrame, MarkedPerson, read_coco
from train.few_labels import FewPeople, first_frames, reach_from_marks
from train.pose_augment import Augmentation, make_crop
from train.reach import reach_of

JOINTS_PX = {
    "nose": (100, 30),
    "left_eye": (103, 27),
    "right_eye": (97, 27),
    "left_ear": (106, 29),
    "right_ear": (94, 29),
    "left_shoulder": (120, 55),
    "right_shoulder": (80, 55),
    "left_elbow": (126, 85),
    "right_elbow": (74, 85),
    "left_wrist": (128, 110),
    "right_wrist": (72, 110),
    "left_hip": (112, 115),
    "right_hip": (88, 115),
    "left_knee": (112, 160),
    "right_knee": (88, 160),
    "left_ankle": (112, 200),
    "right_ankle": (88, 200),
}
"""Somebody who stands and faces the camera: their left is on the right of the picture."""


def document(folder: Path, *, pictures: int = 1) -> dict[str, Any]:
    """Write pictures and return COCO's table for them, in the order of the standard."""
    for number in range(pictures):
        grey = np.full((240, 200, 3), 40 + number, np.uint8)
        cv2.imwrite(str(folder / f"frame-{number:03d}.png"), grey)
    return {
        "images": [
            {"id": 50 + n, "file_name": f"frame-{n:03d}.png", "width": 200, "height": 240}
            for n in range(pictures)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES)}],
        "annotations": [
            {
                "id": 900 + n,
                "image_id": 50 + n,
                "category_id": 1,
                "bbox": [60.5, 15.5, 80, 195],
                "keypoints": [value for name in NAMES for value in (*JOINTS_PX[name], 2)],
            }
            for n in range(pictures)
        ],
    }


def read(folder: Path, table: object) -> tuple[MarkedFrame, ...]:
    path = folder / "labels.json"
    path.write_text(json.dumps(table))
    return read_coco(path, folder)


def test_key_points_stay_and_boxes_move_half_a_pixel(tmp_path: Path) -> None:
    ((person,),) = (frame.people for frame in read(tmp_path, document(tmp_path)))
    wrist = skeleton.INDEX["left_wrist"]
    assert person.joints_px[wrist].tolist() == [128, 110]
    assert person.box_px.tolist() == [60, 15, 140, 210]
    assert (person.flags == 2).all()


def test_names_in_another_order_come_to_the_right_joints(tmp_path: Path) -> None:
    table = document(tmp_path)
    shuffled = list(reversed(NAMES))
    table["categories"][0]["keypoints"] = [name.replace("_", " ").title() for name in shuffled]
    table["annotations"][0]["keypoints"] = [
        value for name in shuffled for value in (*JOINTS_PX[name], 2)
    ]
    ((person,),) = (frame.people for frame in read(tmp_path, table))
    for name, place in JOINTS_PX.items():
        assert tuple(person.joints_px[skeleton.INDEX[name]]) == place


def test_crowds_and_people_without_any_mark_are_passed_over(tmp_path: Path) -> None:
    table = document(tmp_path, pictures=2)
    table["annotations"][0]["keypoints"] = [0] * 51
    table["annotations"].append({"image_id": 51, "bbox": [0, 0, 9, 9], "iscrowd": 1})
    (frame,) = read(tmp_path, table)
    assert frame.picture.name == "frame-001.png"
    assert len(frame.people) == 1


def broken(table: dict[str, Any], where: tuple[str, int, str], value: object) -> dict[str, Any]:
    kind, number, key = where
    table[kind][number][key] = value
    return table


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (("images", 0, "file_name"), "gone.png", r"gone\.png, which does not exist; give the fold"),
        (("annotations", 0, "keypoints"), [1, 2, 2], r"annotation 900 has 3 numbers .* wanted 51"),
        (("annotations", 0, "bbox"), [150, 15, 80, 195], r"box \[150, 15, 80, 195\].* outside"),
        (("annotations", 0, "bbox"), [20, 15, 0, 195], "is empty or outside"),
        (("annotations", 0, "bbox"), [20, 15, 30], "box of 3 numbers"),
        (("annotations", 0, "bbox"), [None, 15, 3, 3], "something other than numbers"),
        (("annotations", 0, "image_id"), 7, "picture 7, which the file does not list"),
        (("annotations", 0, "keypoints"), [999, 9, 2] * 17, "point outside the picture of 200 x"),
        (("annotations", 0, "keypoints"), [9, 9, 3] * 17, "flag other than 0, 1 and 2"),
        (("annotations", 0, "keypoints"), [0, 0, 0] * 17, "marks no key points of anybody"),
        (("categories", 0, "keypoints"), ["nose", "tail"], r"2 named .* wanted COCO's 17; .* tail"),
    ],
)
def test_a_wrong_file_is_refused_with_a_sentence(
    where: tuple[str, int, str], value: object, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=sentence):
        read(tmp_path, broken(document(tmp_path), where, value))


def test_what_is_no_coco_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json cannot be read \(No such file"):
        read_coco(tmp_path / "none.json", tmp_path)
    (tmp_path / "text.json").write_text("key points: none")
    with pytest.raises(SourceError, match=r"text\.json is not JSON .*export the key points again"):
        read_coco(tmp_path / "text.json", tmp_path)
    with pytest.raises(SourceError, match="holds a list"):
        read(tmp_path, [])
    with pytest.raises(SourceError, match="no list 'images'"):
        read(tmp_path, {"annotations": []})
    with pytest.raises(SourceError, match="number 0 of 'images' has no 'width'"):
        read(tmp_path, {"images": [{"id": 1, "file_name": "a", "height": 3}]})
    with pytest.raises(SourceError, match="number 0 of 'images' has no 'id'"):
        read(tmp_path, {"images": [5]})


def test_a_labelled_person_gives_2d_alone_and_the_pelvis_lies_between_the_hips(
    tmp_path: Path,
) -> None:
    table = document(tmp_path)
    table["annotations"][0]["keypoints"][3 * 9 + 2] = 1  # the left wrist is hidden
    table["annotations"][0]["keypoints"][3 * 10 + 2] = 0  # the right one was not marked
    people = FewPeople(read(tmp_path, table))
    person = people.person(0)
    assert person.joints_m is None
    assert person.joints_px[skeleton.ROOT].tolist() == [100, 115]
    assert person.weight_2d[[9, 10, 11, skeleton.ROOT]].tolist() == [0.5, 0, 1, 1]
    assert not person.weight_2d[18:].any()
    assert person.visible is not None
    assert person.visible[[9, 10, 11]].tolist() == [False, False, True]
    crop = make_crop(person, Augmentation(), np.random.default_rng(0))
    assert not crop.has_3d
    np.testing.assert_allclose(crop.joints_px[skeleton.ROOT], [127.5, 127.5], atol=0.01)
    inside = (crop.joints_px[:17] > 0) & (crop.joints_px[:17] < 255)
    assert inside.all()


def test_pictures_of_another_size_than_the_labels_are_refused(tmp_path: Path) -> None:
    frames = read(tmp_path, document(tmp_path))
    cv2.imwrite(str(frames[0].picture), np.zeros((120, 100, 3), np.uint8))
    with pytest.raises(SourceError, match="is 100 x 120 pixels, its labels were made on 200 x 240"):
        FewPeople(frames).person(0)
    frames[0].picture.write_bytes(b"no picture")
    with pytest.raises(SourceError, match="cannot be read as a picture"):
        FewPeople(frames).person(0)


def test_somebody_without_hips_is_counted_and_left_out(tmp_path: Path) -> None:
    table = document(tmp_path, pictures=2)
    table["annotations"][0]["keypoints"][3 * 11 + 2] = 0
    people = FewPeople(read(tmp_path, table))
    assert (len(people), people.left_out) == (1, 1)
    table["annotations"][1]["keypoints"][3 * 11 + 2] = 0
    with pytest.raises(SourceError, match="of 2 labelled people nobody has both hips"):
        FewPeople(read(tmp_path, table))


def test_few_frames_are_among_more_of_them_and_too_many_are_refused(tmp_path: Path) -> None:
    frames = read(tmp_path, document(tmp_path, pictures=30))
    few, more = (first_frames(frames, count, seed=3) for count in (5, 20))
    assert few == more[:5]
    assert len({frame.picture for frame in more}) == 20
    assert first_frames(frames, 0, seed=3) == ()
    assert [f.picture for f in few] != [f.picture for f in first_frames(frames, 5, seed=4)]
    with pytest.raises(SourceError, match="31 labelled frames are asked for and 30 hold labels"):
        first_frames(frames, 31, seed=3)


def standing_m() -> np.ndarray:
    """Return an average body that stands and faces the camera, camera axes, metres."""
    joints_m = np.zeros((skeleton.NUM_JOINTS, 3), np.float32)
    for name, (x, y) in JOINTS_PX.items():
        joints_m[skeleton.INDEX[name]] = ((x - 100) * 0.01, (y - 115) * 0.01, 0)
    joints_m[skeleton.INDEX["neck"]] = (0, -0.62, 0)
    joints_m[skeleton.INDEX["left_ankle"], 1] = joints_m[skeleton.INDEX["right_ankle"], 1] = 0.85
    joints_m[skeleton.INDEX["left_toe"], 1] = joints_m[skeleton.INDEX["right_toe"], 1] = 0.95
    return joints_m


def marked(joints_m: np.ndarray, *, scale: float = 100.0) -> MarkedPerson:
    return MarkedPerson(
        box_px=np.array([0, 0, 9, 9], np.float32),
        joints_px=(joints_m[:17, :2] * scale + 300).astype(np.float32),
        flags=np.full(17, 2, np.int64),
    )


def turned(joints_m: np.ndarray, degrees: float, axes: tuple[int, int]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    rotation = np.eye(3)
    first, second = axes
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
    return (joints_m @ rotation.T).astype(np.float32)


@pytest.mark.parametrize("degrees", [0.0, 40.0, 85.0])
def test_the_reach_without_3d_is_near_that_with_3d_also_seen_from_the_side(degrees: float) -> None:
    joints_m = turned(standing_m(), degrees, (0, 2))
    joints_px = (joints_m[:, :2] * 100 + 300).astype(np.float32)
    with_3d = reach_of(joints_px, joints_m)
    without = reach_from_marks(marked(joints_m))
    assert without is not None
    np.testing.assert_allclose(without[0], [300, 300], atol=0.01)
    ratio = np.linalg.norm(without[1] - without[0]) / np.linalg.norm(with_3d[1] - with_3d[0])
    assert 0.8 < ratio < 1.2


def test_the_reach_follows_the_body_upright_and_its_size() -> None:
    lying = reach_from_marks(marked(turned(standing_m(), 90, (0, 1))))
    large = reach_from_marks(marked(standing_m(), scale=200))
    small = reach_from_marks(marked(standing_m()))
    assert lying is not None
    assert large is not None
    assert small is not None
    right = lying[1] - lying[0]
    assert right[0] > 0
    assert abs(right[1]) < 0.01 * right[0]
    np.testing.assert_allclose(large[1] - large[0], 2 * (small[1] - small[0]), rtol=1e-4)
