"""The locator says whose body it is that a box shows, and learns that from first looks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_pose import skeleton
from edge_pose.bundle import open_bundle
from edge_pose.crop import take_locator_crop
from edge_pose.errors import ConfigError, SourceError
from export.graph import export_locator
from mim_folders import labelled_folder, rendered_folder
from train.__main__ import main
from train.locator import INPUT_PX, LocatorNet
from train.locator_command import FIRST_LOOKS, LOCATOR_CUT, load_locator
from train.locator_loss import locator_terms
from train.pose_augment import Augmentation, Person, make_crop
from train.pose_data import RenderedPeople, collate
from train.stream import shown

HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> LocatorNet:
    return LocatorNet()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_folder(tmp_path_factory.mktemp("rendered") / "source", 2)


@pytest.fixture(scope="module")
def person(rendered: Path) -> Person:
    return RenderedPeople(rendered).person(0)


def first_look(*people: Person) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    plain = Augmentation(first_look=1.0)
    crops = [make_crop(one, plain, rng, cut=LOCATOR_CUT) for one in people]
    return shown(collate(crops, None), HERE)


def perfect(batch: Mapping[str, Tensor], anchors: int, logits: Tensor) -> dict[str, Tensor]:
    shoulders = [skeleton.INDEX["left_shoulder"], skeleton.INDEX["right_shoulder"]]
    middle_px = batch["joints_px"][:, shoulders].mean(1, keepdim=True)
    points_px = torch.cat([batch["reach_px"], middle_px], 1)
    return {
        "points_px": points_px[:, None].expand(-1, anchors, -1, -1),
        "score_logits": logits,
    }


def answering(batch: Mapping[str, Tensor], anchors_px: Tensor) -> Tensor:
    """Find the anchors whose points count."""
    logits = torch.zeros(1, len(anchors_px))
    points_px = perfect(batch, len(anchors_px), logits)["points_px"] + 1.0
    points_px.requires_grad_()
    predicted = {"points_px": points_px, "score_logits": logits}
    terms = locator_terms(predicted, batch, anchors_px)
    (gradient,) = torch.autograd.grad(terms["points"], points_px)
    return gradient.abs().sum((2, 3)) > 0


def test_it_learns_from_the_squares_that_the_appliance_cuts(person: Person) -> None:
    box_px = person.box_px + np.array([-70, 0, -70, 0], np.float32)
    moved = replace(person, box_px=box_px)
    rng = np.random.default_rng(0)
    learnt = make_crop(moved, Augmentation(first_look=1.0), rng, cut=LOCATOR_CUT)
    asked = take_locator_crop(person.image, box_px, side_px=INPUT_PX)
    np.testing.assert_array_equal(learnt.image[::-1].transpose(1, 2, 0), asked.image)
    assert (asked.image[:, :20] == 0).all()
    back = np.column_stack([learnt.reach_px, np.ones(2)]) @ asked.image_from_crop.T
    np.testing.assert_allclose(back, person.reach_px, atol=1e-3)


def test_whoever_points_at_the_body_from_its_throat_is_right(
    person: Person, network: LocatorNet
) -> None:
    anchors_px = network.anchors_px
    batch = first_look(person)
    logits = torch.where(answering(batch, anchors_px), 8.0, -8.0)
    right = locator_terms(perfect(batch, len(anchors_px), logits), batch, anchors_px)
    assert right["points"] < 1e-6
    far_off = {"score_logits": logits}
    far_off["points_px"] = perfect(batch, len(anchors_px), logits)["points_px"] + 30.0
    assert locator_terms(far_off, batch, anchors_px)["points"] > 0.3
    silent = perfect(batch, len(anchors_px), torch.full_like(logits, -8.0))
    elsewhere = perfect(batch, len(anchors_px), logits.roll(700, 1))
    for wrong in (silent, elsewhere):
        assert locator_terms(wrong, batch, anchors_px)["score"] > 5 * right["score"]


def test_every_grid_has_an_anchor_that_answers(person: Person, network: LocatorNet) -> None:
    anchors_px = network.anchors_px
    batch = first_look(person)
    moved = answering(batch, anchors_px)[0]
    assert {int(size) for size in anchors_px[moved, 2]} == {8, 16, 32}
    assert moved.float().mean() < 0.2
    throat = [skeleton.INDEX["nose"], skeleton.INDEX["neck"]]
    throat_px = batch["joints_px"][0, throat].mean(0)
    away_px = (anchors_px[:, :2] - throat_px).norm(dim=-1)
    assert away_px[moved].max() < away_px[~moved].quantile(0.1)


def test_a_neighbour_in_the_square_is_nobody(person: Person, network: LocatorNet) -> None:
    """Both stand in the picture; only the one in the middle of the square is meant."""
    anchors_px = network.anchors_px
    batch = first_look(person)
    mine = answering(batch, anchors_px)
    beside = {**batch, "joints_px": batch["joints_px"] + torch.tensor([80.0, 0.0])}
    both = mine | answering(beside, anchors_px)
    costs = [
        locator_terms(
            perfect(batch, len(anchors_px), torch.where(found, 8.0, -8.0)), batch, anchors_px
        )["score"]
        for found in (mine, both)
    ]
    assert costs[1] > costs[0] + 1.0


def test_where_nobody_is_every_score_costs_and_points_do_not(
    person: Person, network: LocatorNet
) -> None:
    anchors_px = network.anchors_px
    batch = first_look(replace(person, presence=False))
    loud = perfect(batch, len(anchors_px), torch.full((1, len(anchors_px)), 3.0))
    loud["points_px"] = loud["points_px"] + 50
    terms = locator_terms(loud, batch, anchors_px)
    assert terms["points"] == 0
    assert terms["score"] > 100


def test_boxes_are_disturbed_like_a_detectors(person: Person) -> None:
    rng = np.random.default_rng(0)
    crops = [make_crop(person, FIRST_LOOKS, rng, cut=LOCATOR_CUT) for _ in range(40)]
    assert {crop.image.shape for crop in crops} == {(3, INPUT_PX, INPUT_PX)}
    hips = np.stack([crop.reach_px[0] for crop in crops])
    assert (hips.std(0) > 5).all()
    assert (np.abs(hips - (INPUT_PX - 1) / 2) < INPUT_PX).all()


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in its exporter
def test_a_run_is_trained_read_and_exported(rendered: Path, tmp_path: Path) -> None:
    real = labelled_folder(tmp_path / "real", 2)
    run = tmp_path / "run"
    words = ["locator", "--rendered", str(rendered), "--real", str(real), "--out", str(run)]
    assert main([*words, "--preset", "tiny", "--steps", "2", "--workers", "0"]) == 0
    trained, published = load_locator(run).state_dict(), LocatorNet().state_dict()
    assert any(not torch.equal(trained[name], value) for name, value in published.items())
    export_locator(load_locator(run), tmp_path / "locator.onnx")
    again = load_locator(tmp_path).state_dict()
    for name, value in trained.items():
        assert torch.allclose(again[name], value, atol=float(value.abs().max()) / 100)


def test_the_locator_that_ships_can_be_trained_on() -> None:
    shipped = load_locator(open_bundle().folder)
    assert all(value.isfinite().all() for value in shipped.state_dict().values())


def test_wrong_folders_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        load_locator(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["locator", "--rendered", str(empty), "--real", str(empty), "--out", "run"]
    assert main(words) == SourceError.exit_code
