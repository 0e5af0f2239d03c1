"""What the cards of the models that ship tell is what their manifests state."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from edge_pose.bundle import CARD, MANIFEST, packaged
from edge_pose.config import Tier

SETS = {
    "other site, seed 1, somebody new": "rendered other-1",
    "the dock, seed 1": "rendered dock",
    "clips never trained on": "real, never trained on",
    "real groups held out": "real, held out",
}
"""How rows of a card begin, and what the manifest calls that set."""
DETECTOR_SETS = {
    "other site, seed 1 |": "detector, rendered other-1, score from 0.4",
    "heads drawn": "detector, drawn heads of the workers set, score from 0.4",
}
MEAN_AND_INTERVAL = re.compile(r"([\d.]+) ?%? \[([\d.]+), ([\d.]+)\]")
COST = re.compile(r"([\d.]+) hours of two cores[^.]*? and (\d+) minutes of a GPU")
TIERS = pytest.mark.parametrize("tier", ["fast", "accurate"])


def card_of(tier: Tier) -> str:
    return (packaged(tier) / CARD).read_text("utf-8")


def manifest_of(tier: Tier) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads((packaged(tier) / MANIFEST).read_text("utf-8"))
    return manifest


def row(card: str, begin: str) -> list[str]:
    """Find the row of a table that begins so; give its cells."""
    (line,) = (line for line in card.splitlines() if line.startswith(f"| {begin}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def is_rounded(told: str, stated: float) -> bool:
    """Tell whether a number in words is a number as exact as its decimals."""
    decimals = len(told.partition(".")[2])
    return abs(float(told) - stated) <= 0.5 * 10**-decimals + 1e-9


def check_interval(cell: str, stated: Mapping[str, float], *, unit: float = 1.0) -> None:
    found = MEAN_AND_INTERVAL.match(cell)
    assert found is not None, cell
    for told, name in zip(found.groups(), ("mean", "low", "high"), strict=True):
        assert is_rounded(told, stated[name] * unit), (cell, name, stated[name])


@TIERS
@pytest.mark.parametrize("begin", SETS)
def test_the_card_tells_the_errors_that_the_manifest_states(tier: Tier, begin: str) -> None:
    _, people, error_2d, mpjpe, aligned, calibration = row(card_of(tier), begin)
    stated = manifest_of(tier)["metrics"][SETS[begin]]
    assert int(people) == stated["people"]
    check_interval(error_2d, stated["2D error, % of crop"])
    assert is_rounded(calibration, stated["expected calibration error"]), calibration
    for cell, name in ((mpjpe, "MPJPE mm"), (aligned, "PA-MPJPE mm")):
        assert bool(cell) == (name in stated)
        if cell:
            check_interval(cell, stated[name])


@pytest.mark.parametrize("begin", DETECTOR_SETS)
def test_the_card_tells_whom_the_detector_finds_as_the_manifest_does(begin: str) -> None:
    _, people, found, invented = row(card_of("fast"), begin)
    stated = manifest_of("fast")["metrics"][DETECTOR_SETS[begin]]
    assert int(people.replace(",", "")) == stated["people"]
    check_interval(found, stated["found"], unit=100)
    assert bool(invented) == ("invented a picture" in stated)
    if invented:
        check_interval(invented, stated["invented a picture"])


@TIERS
def test_card_and_manifest_agree_on_what_training_cost(tier: Tier) -> None:
    found = COST.search(card_of(tier))
    assert found is not None
    details = manifest_of(tier)["provenance"]["details"]
    assert found.groups() == (str(details["hours"]), str(details["gpu_minutes"]))
