"""What a network thinks of real people goes with them into crops, in the axes of each crop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_pose import skeleton
from test_pose_augment import far_person
from train.begin import student_from
from train.hold import HeldPeople, ask_once, opinions
from train.pool import arrived, cut_wide
from train.pose_augment import Augmentation, Person, make_crop
from train.pose_data import collate
from train.student import PoseNet

STILL = Augmentation()


class Leaning:
    """Somebody in a photograph, upright and leaning either way; of their depth nobody knows."""

    def __len__(self) -> int:
        return 3

    def person(self, index: int) -> Person:
        """Return the same picture, about which the square leans as they do."""
        person = far_person()
        hips_px, head_px = person.reach_px
        lean_rad = (0.0, 0.6, -0.9)[index]
        turn = [[np.cos(lean_rad), -np.sin(lean_rad)], [np.sin(lean_rad), np.cos(lean_rad)]]
        leaning_px = np.stack([hips_px, hips_px + np.array(turn) @ (head_px - hips_px)])
        return replace(
            person,
            reach_px=leaning_px.astype(np.float32),
            joints_m=None,
            camera_matrix=None,
        )

    def nobody(self, rng: np.random.Generator) -> Person | None:
        """Return somebody who is not there."""
        assert rng.random() < 1
        return replace(far_person(), presence=False)


@pytest.fixture(scope="module")
def network() -> PoseNet:
    return student_from(Path("edge_pose/models/fast"))


def test_a_held_person_is_told_in_the_axes_of_the_crop(network: PoseNet, tmp_path: Path) -> None:
    people = Leaning()
    held = HeldPeople(people, ask_once(lambda: network, people, tmp_path / "run" / "held.npy"))
    told = opinions(student_from(Path("edge_pose/models/fast")))
    assert len(held) == len(people)
    for number in range(len(people)):
        wide = cut_wide(people.person(number), STILL, np.random.default_rng(0))
        expected_m = told(arrived(collate([wide], None)))["joints_m"][0].numpy()
        expected_m -= expected_m[skeleton.ROOT]
        crop = make_crop(held.person(number), STILL, np.random.default_rng(0))
        np.testing.assert_allclose(crop.joints_m, expected_m, atol=2e-3)
        assert not crop.has_3d
    nobody = held.nobody(np.random.default_rng(0))
    assert nobody is not None
    assert not nobody.presence


def test_everybody_is_asked_once(network: PoseNet, tmp_path: Path) -> None:
    path = tmp_path / "held.npy"
    first_m = ask_once(lambda: network, Leaning(), path)
    np.save(path, first_m + 1)

    def nobody_to_ask() -> PoseNet:
        raise AssertionError

    np.testing.assert_allclose(ask_once(nobody_to_ask, Leaning(), path), first_m + 1)
    assert [found.name for found in tmp_path.iterdir()] == ["held.npy"]
