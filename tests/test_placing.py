"""Where people stand, and what people set by hand: a network that tells the truth is not off."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import by_hand, placing
from edge_pose.bundle import open_bundle, packaged
from edge_pose.region import region_of_body
from edge_pose.skeleton import INDEX, NUM_JOINTS, ROOT
from test_pose_augment import far_person
from train.labelled_image import LabelledImage, LabelledPerson, encode_mask, encode_picture
from train.pose_augment import Person, cut_crop

ASSUMED_PX = 554.0
"""Focal length of 60 degrees across 640 pixels."""


def somebody(focal_px: float = ASSUMED_PX, *, aside_px: float = 0.0) -> Person:
    """Four metres before a camera, somewhat to the right."""
    camera = np.array([[focal_px, 0, 319.5 + aside_px], [0, focal_px, 239.5], [0, 0, 1]])
    shape_m = np.asarray(far_person(3).joints_m, np.float64) - np.array([0.2, -0.1, 40])
    shape_m[ROOT] = (shape_m[INDEX["left_hip"]] + shape_m[INDEX["right_hip"]]) / 2
    joints_m = shape_m + np.array([0.5, 0.2, 4.0])
    projected = joints_m @ camera.T
    joints_px = projected[:, :2] / projected[:, 2:]
    return replace(
        far_person(3),
        joints_m=joints_m.astype(np.float32),
        joints_px=joints_px.astype(np.float32),
        reach_px=np.array([joints_px[ROOT], joints_px[ROOT] - (0, 110)], np.float32),
        camera_matrix=camera,
    )


class Truth:
    """Answers as a network would that knows, `larger` than the truth by a factor."""

    def __init__(self, person: Person, larger: float = 1.0) -> None:
        crop = cut_crop(person, region_of_body(person.reach_px))
        self._said = {
            "joints_px": crop.joints_px[None],
            "joints_m": larger * crop.joints_m[None],
            "scores": np.ones((1, NUM_JOINTS), np.float32),
            "presence": np.ones(1, np.float32),
            "reach_px": crop.reach_px[None],
        }

    def get_outputs(self) -> list[Any]:
        """Name what is answered."""
        return [SimpleNamespace(name=name) for name in self._said]

    def run(self, names: list[str], _inputs: object) -> list[np.ndarray]:
        """Answer."""
        return [self._said[name] for name in names]


def placed(larger: float = 1.0, focal_px: float = ASSUMED_PX) -> dict[str, placing.Placing]:
    manifest, person = open_bundle(packaged()).manifest, somebody(focal_px)
    return dict(placing.place(person, Truth(person, larger), manifest))


def test_who_is_seen_truly_by_a_known_camera_stands_where_they_stand() -> None:
    found = placed()["known"]
    assert abs(found.depth_share) < 0.003
    assert found.across_m < 0.01
    assert found.joints_m.max() < 0.02
    assert found.bones_share == pytest.approx(0, abs=0.001)


def test_who_is_taken_for_larger_stands_as_much_farther() -> None:
    found = placed(1.1)["known"]
    assert found.depth_share == pytest.approx(0.1, abs=0.01)
    assert found.bones_share == pytest.approx(0.1, abs=0.001)


def test_a_camera_that_is_assumed_wrongly_moves_people_along_its_axis() -> None:
    assert abs(placed()["assumed"].depth_share) < 0.005
    longer = placed(focal_px=1.5 * ASSUMED_PX)
    assert abs(longer["known"].depth_share) < 0.003
    assert longer["assumed"].depth_share == pytest.approx(1 / 1.5 - 1, abs=0.03)


def test_a_window_cut_out_of_a_picture_is_no_whole_picture() -> None:
    assert placing.is_whole(somebody())
    assert not placing.is_whole(somebody(aside_px=9))


def test_where_no_pelvis_counts_the_shoulders_stand_for_it() -> None:
    true_m = np.asarray(somebody().joints_m, np.float64)
    counted = np.zeros(NUM_JOINTS, bool)
    upper = [
        INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("shoulder", "elbow")
    ]
    counted[upper] = True
    said_m = true_m * 1.2
    said_m[~counted] = 99
    found = placing.placing_of(said_m, true_m, counted)
    assert found.depth_share == pytest.approx(0.2)
    assert found.bones_share == pytest.approx(0.2)
    assert np.isfinite(found.joints_m).sum() == len(upper)


class Middle(nn.Module):
    """Sees every joint in the middle of the crop."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Answer."""
        crops = len(image)
        return {
            "joints_px": torch.full((crops, NUM_JOINTS, 2), 127.5),
            "score_logits": torch.full((crops, NUM_JOINTS), 2.0),
        }


def test_what_a_network_says_is_compared_in_the_picture() -> None:
    person = somebody()
    label = LabelledPerson(
        joints_px=person.joints_px,
        confidence=np.ones(NUM_JOINTS, np.float32),
        box_px=person.box_px,
        reach_px=person.reach_px,
        mask_png=encode_mask(np.zeros((480, 640), np.uint8)),
        quality=1.0,
        disagreement_px=0.0,
    )
    image = LabelledImage(
        jpeg=encode_picture(person.image),
        key="one",
        source="tests",
        licence="none",
        group="tests",
        width_px=640,
        height_px=480,
        people=(label, label),
        detected_px=np.zeros((0, 4), np.float32),
        detected_scores=np.zeros(0, np.float32),
        given=(),
    )
    said = by_hand.relabelled(image, Middle())
    for one in said.people:
        np.testing.assert_allclose(
            one.joints_px, np.tile(person.reach_px[0], (NUM_JOINTS, 1)), atol=0.01
        )
        np.testing.assert_allclose(one.confidence, 0.88, atol=0.01)
    assert by_hand.relabelled(replace(image, people=()), Middle()).people == ()


def test_a_row_tells_each_point_and_the_difference_where_both_have_one() -> None:
    ours = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.nan], [np.nan] * 3])
    row = by_hand.row_of("ours", ours, ours + 1)
    assert row[:2] == ("ours", "2")
    assert [cell.split()[0] for cell in row[2:]] == ["1.00", "2.00", "3.00", "1.80", "-1.00"]
    assert by_hand.row_of("last", ours, ours)[-1] == "-"
