"""A mean of networks lies between them, and its opinion of who is there is set right by people."""

import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_pose.errors import ConfigError
from train.__main__ import main
from train.begin import student_from
from train.pose_augment import Person
from train.pose_data import nobody_in
from train.soup import main as soup
from train.soup import mean_of, presence_logits, set_presence
from train.student import PoseNet


class Squares:
    """People of whom nothing is known but their pixels."""

    def __init__(self, pixels: list[np.ndarray]) -> None:
        """Keep the pictures."""
        self.pixels = pixels

    def __len__(self) -> int:
        """Count them."""
        return len(self.pixels)

    def person(self, index: int) -> Person:
        """Give one, as large as its picture."""
        image = self.pixels[index]
        box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        return replace(nobody_in(image, box), presence=True)


@pytest.fixture(scope="module")
def published() -> PoseNet:
    return student_from(None)


def logits(network: PoseNet, people: Squares) -> torch.Tensor:
    return torch.from_numpy(presence_logits(network, people, len(people)))


def test_all_weigh_alike(published: PoseNet) -> None:
    before = {name: value.detach().clone() for name, value in published.named_parameters()}
    moved = [student_from(None) for _ in range(2)]
    for network, step in zip(moved, (1.0, 5.0), strict=True):
        with torch.no_grad():
            for value in network.parameters():
                value.add_(step)
    mean = mean_of([student_from(None), *moved])
    for name, value in mean.named_parameters():
        torch.testing.assert_close(value, before[name] + 2.0)


def test_presence_becomes_a_probability_at_the_odds_of_the_appliance(published: PoseNet) -> None:
    random = np.random.default_rng(4)
    pictures = [
        np.kron(random.integers(0, 256, (9, 7, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
        for _ in range(12)
    ]
    order = logits(published, Squares(pictures)).argsort(descending=True).tolist()
    # Mostly, not wholly apart, as people are: else no slope is steep enough.
    chosen = [*order[:5], order[6]]
    there = Squares([pictures[number] for number in chosen])
    absent = Squares([pictures[number] for number in order if number not in chosen])
    ranked = logits(published, Squares(pictures)).argsort().tolist()
    network = student_from(None)
    set_presence(network, there=[there], not_there=absent)
    assert logits(network, Squares(pictures)).argsort().tolist() == ranked
    says = logits(network, Squares(pictures))
    # What maximum likelihood gives at even odds, where the mean is the share of those there.
    assert (says - math.log(4)).sigmoid().mean() == pytest.approx(0.5, abs=0.03)
    assert logits(network, there).mean() > logits(network, absent).mean()


def test_one_network_has_no_mean_and_inventions_want_people(tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path, "inventions": None, "rendered": [], "real": []}
    with pytest.raises(ConfigError, match="two or more"):
        soup(Namespace(of=["published"], **options))
    options["inventions"] = tmp_path / "inventions.npz"
    with pytest.raises(ConfigError, match="--rendered and --real"):
        soup(Namespace(of=["published", "published"], **options))


def test_a_mean_is_read_like_any_run(tmp_path: Path, published: PoseNet) -> None:
    out = tmp_path / "mean"
    assert main(["soup", "--of", "published", "published", "--out", str(out)]) == 0
    read = student_from(out).state_dict()
    assert all(torch.equal(read[name], value) for name, value in published.state_dict().items())
