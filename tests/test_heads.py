"""Heads that people drew judge networks: whose head it is, and how far from it ears are placed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.heads import away_of, main, pairs_of, rows_of
from edge_pose.region import region_of_body
from edge_pose.skeleton import NUM_JOINTS
from mim_folders import labelled_folder
from train.drawn_heads import in_upper_half
from train.label_cache import read_labels
from train.labelled_image import LabelledImage
from train.sources import GivenBox
from train.student import INPUT_SIZE_PX


def box(*corners: float) -> np.ndarray:
    return np.array(corners, np.float32)


@pytest.fixture
def image(tmp_path: Path) -> LabelledImage:
    """One person, whose box ends at 60, 20, 90, 100."""
    return next(iter(read_labels(labelled_folder(tmp_path / "labels", 1))))


def with_heads(image: LabelledImage, *heads: np.ndarray) -> LabelledImage:
    return replace(image, given=tuple(GivenBox(kind="helmet", box_px=head) for head in heads))


class Pointing(nn.Module):
    """Places every joint so many pixels right of the middle of the crop, and below it."""

    def __init__(self, right_px: float, down_px: float) -> None:
        super().__init__()
        self.place = torch.tensor([right_px, down_px]) + (INPUT_SIZE_PX - 1) / 2

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        """Answer about squares."""
        people = len(picture)
        return {
            "joints_px": self.place.expand(people, NUM_JOINTS, 2),
            "score_logits": torch.zeros(people, NUM_JOINTS),
        }


def test_a_head_is_in_the_upper_half_of_whose_it_is() -> None:
    person = box(60, 20, 90, 100)[None]
    heads = np.stack([box(70, 10, 80, 40), box(70, 60, 80, 90), box(92, 20, 99, 30)])
    assert in_upper_half(heads, person)[:, 0].tolist() == [True, False, False]


def test_heads_that_could_be_of_two_people_and_people_with_two_heads_do_not_count(
    image: LabelledImage,
) -> None:
    head, other = box(68, 20, 82, 36), box(70, 30, 84, 46)
    (pair,) = pairs_of(with_heads(image, head))
    assert pair[0] == 0
    np.testing.assert_array_equal(pair[1], head)
    assert pairs_of(with_heads(image, head, other)) == []
    twice = replace(image, people=image.people * 2)
    assert pairs_of(with_heads(twice, head)) == []
    assert pairs_of(with_heads(image, box(70, 20, 72, 23))) == [], "too small to point at"
    assert pairs_of(image) == []


def test_distance_is_told_in_shares_of_the_box(image: LabelledImage) -> None:
    region = region_of_body(image.people[0].reach_px)
    x, y = region.centre_px
    side = region.side_px / INPUT_SIZE_PX
    drawn = with_heads(image, box(x - 10, y - 5, x + 10, y + 5))
    pairs = [[(0, drawn.given[0].box_px)]]
    np.testing.assert_allclose(away_of(Pointing(0, 0), [drawn], pairs), [[0, 0]], atol=0.01)
    away = away_of(Pointing(16, -8), [drawn], pairs)
    np.testing.assert_allclose(away, [[16 * side * 5, -8 * side * 5]], rtol=1e-3)


def test_what_is_off_for_everybody_does_not_count_as_scatter() -> None:
    random = np.random.default_rng(0)
    exact = random.normal(0, 1, (300, 2))
    shifted, loose = exact + np.array([0, 30]), 2 * exact
    rows = {
        row[0]: row
        for row in rows_of(
            {"shifted": shifted, "loose": loose, "exact": exact}, np.arange(300) // 2
        )
    }
    assert rows["exact"][2] == "150"
    assert rows["shifted"][4] == rows["exact"][4]
    assert abs(float(rows["shifted"][5].split()[0])) < 0.01
    assert float(rows["loose"][5].split()[0]) == pytest.approx(1.25, abs=0.15)
    assert float(rows["shifted"][3].split()[0]) == pytest.approx(30, abs=1)


def test_a_folder_without_heads_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workers", str(labelled_folder(tmp_path / "labels", 2))]) == 78
    assert "drawn head" in capsys.readouterr().err
