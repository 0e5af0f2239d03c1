"""Masks made wrong on purpose, and masks made better from errors of reconstruction."""

import numpy as np
import pytest
import torch

from edge_pose.errors import ConfigError
from train.foreground import overlap
from train.foreground_audit import FAULTS, SHARES, SPOILS, Audit
from train.foreground_refine import refine
from train.foreground_scenes import AuditedScenes, SiftedScenes, mark_of
from train.mim_scenes import Scenes
from train.pose_augment import Person

SIZE = 100


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return np.where(inside, 255, 0).astype(np.uint8)


def area(mask: np.ndarray) -> float:
    return float(mask.sum(dtype=np.int64)) / 255


@pytest.mark.parametrize("seed", range(5))
def test_each_fault_does_what_its_name_says(seed: int) -> None:
    """A disc of radius 15 has √area = 26.6: shifts of 9 to 21 pixels, rims of 2 to 4."""
    mask = disc(50, 50, 15)
    spoiled = {name: SPOILS[name](mask, np.random.default_rng(seed)) for name in SPOILS}
    assert area(spoiled["shifted"]) == pytest.approx(area(mask), rel=0.03)
    rows, columns = np.nonzero(spoiled["shifted"] > 127)
    assert 8.5 < np.hypot(rows.mean() - 50, columns.mean() - 50) < 22
    assert 15**-2 * 10.5**2 < area(spoiled["eroded"]) / area(mask) < 15**-2 * 13.5**2
    assert 15**-2 * 16.5**2 < area(spoiled["dilated"]) / area(mask) < 15**-2 * 19.8**2
    assert 0.33 < area(spoiled["cut"]) / area(mask) < 0.67
    assert ((spoiled["cut"] == mask) | (spoiled["cut"] == 0)).all()
    assert not spoiled["empty"].any()


def test_a_mask_is_always_spoiled_alike_and_what_is_wrong_at_10_percent_is_so_at_30() -> None:
    audits = {share: Audit(share=share, seed=3) for share in SHARES}
    wrong = {
        share: {number for number in range(3000) if audit.fault(number)}
        for share, audit in audits.items()
    }
    assert not wrong[0.0]
    assert wrong[0.1] < wrong[0.2] < wrong[0.3]
    for share in SHARES:
        assert len(wrong[share]) / 3000 == pytest.approx(share, abs=0.02)
    for number in wrong[0.1]:
        assert audits[0.1].fault(number) == audits[0.3].fault(number)
    kinds = [audits[0.3].fault(number) for number in wrong[0.3]]
    assert all(kinds.count(fault) > 100 for fault in FAULTS)
    other = Audit(share=0.3, seed=4)
    assert wrong[0.3] != {number for number in range(3000) if other.fault(number)}


def test_a_share_beyond_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="give 0 to 1"):
        Audit(share=1.2, seed=0)


class Places:
    """Scenes with a person each, whose mask is a disc of their own."""

    def __init__(self, count: int) -> None:
        self.people = [
            Person(
                image=np.zeros((SIZE, SIZE, 3), np.uint8),
                box_px=np.array([number, 0, 50, 90], np.float32),
                reach_px=np.zeros((2, 2), np.float32),
                joints_px=np.full((25, 2), number, np.float32),
                weight_2d=np.ones(25, np.float32),
                foreground=disc(30 + number % 40, 50, 12 + number % 7),
            )
            for number in range(count)
        ]

    def __len__(self) -> int:
        return len(self.people)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw a person who does not move."""
        return [self.people[int(rng.integers(len(self)))]] * frames

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw the same place every time."""
        del rng
        return self.people[0]


def drawn(scenes: Scenes, draws: int) -> dict[int, list[np.ndarray | None]]:
    """Return the masks of each person in many draws."""
    rng = np.random.default_rng(0)
    masks: dict[int, list[np.ndarray | None]] = {}
    for _ in range(draws):
        first, second = scenes.clip(rng, 2)
        assert (first.foreground is None) == (second.foreground is None)
        if first.foreground is not None and second.foreground is not None:
            assert np.array_equal(first.foreground, second.foreground)
        masks.setdefault(int(first.joints_px[0, 0]), []).append(first.foreground)
    return masks


def test_scenes_keep_their_wrong_masks_however_often_they_are_drawn() -> None:
    places = Places(30)
    masks = drawn(AuditedScenes(places, Audit(share=0.3, seed=1)), 150)
    wrong = 0
    for number, seen in masks.items():
        assert seen[0] is not None
        assert all(one is not None and np.array_equal(one, seen[0]) for one in seen)
        wrong += not np.array_equal(seen[0], np.asarray(places.people[number].foreground))
    assert wrong / len(masks) == pytest.approx(0.3, abs=0.2)
    right = drawn(AuditedScenes(places, Audit(share=0.0, seed=1)), 50)
    for number, seen in right.items():
        assert np.array_equal(np.asarray(seen[0]), np.asarray(places.people[number].foreground))


def test_an_audit_changes_masks_and_nothing_else() -> None:
    places = Places(20)
    audited = AuditedScenes(places, Audit(share=1.0, seed=0))
    assert len(audited) == 20
    for seed in range(20):
        (ours,) = audited.clip(np.random.default_rng(seed), 1)
        (theirs,) = places.clip(np.random.default_rng(seed), 1)
        assert np.array_equal(ours.joints_px, theirs.joints_px)
        assert np.array_equal(ours.image, theirs.image)
        assert overlap(np.asarray(ours.foreground), np.asarray(theirs.foreground)) < 0.9
    assert audited.background(np.random.default_rng(0)) is places.people[0]


def test_bad_masks_are_taken_away_and_only_they() -> None:
    places = Places(10)
    bad = {mark_of(places.people[n].box_px, places.people[n].joints_px) for n in (2, 5)}
    masks = drawn(SiftedScenes(places, bad), 100)
    assert {number for number, seen in masks.items() if seen[0] is None} == {2, 5}


def toy(wrong: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return true masks, masks of which the first `wrong` are shifted, and honest errors.

    People are filled in ten times worse than the rest, with log-normal noise.
    """
    rng = np.random.default_rng(0)
    truth = np.stack([disc(40 + 2 * n, 50, 14) for n in range(10)]).astype(np.float32) / 255
    shifted = np.stack([disc(52 + 2 * n, 50, 14) for n in range(10)]).astype(np.float32) / 255
    masks = truth.copy()
    masks[:wrong] = shifted[:wrong]
    error = np.exp(-5 + np.log(10) * truth + 0.5 * rng.standard_normal(truth.shape))
    return (
        torch.from_numpy(truth),
        torch.from_numpy(masks),
        torch.from_numpy(error.astype(np.float32)),
    )


def shared(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the overlap of masks where they are more likely than not."""
    one, other = (one > 0.5).float(), (other > 0.5).float()
    return torch.minimum(one, other).sum((1, 2)) / torch.maximum(one, other).sum((1, 2))


def test_errors_that_tell_people_apart_mend_wrong_masks_and_leave_right_ones() -> None:
    truth, masks, error = toy(wrong=2)
    before, after = shared(masks, truth), shared(refine(masks, error), truth)
    again = shared(refine(masks, error, rounds=4), truth)
    assert (before[:2] < 0.4).all()
    assert (after[:2] > 0.6).all()
    assert (after[2:] > 0.9).all()
    assert (again[:2] > 0.7).all()


def test_full_trust_and_silent_errors_leave_masks_as_they_are() -> None:
    _, masks, error = toy(wrong=2)
    assert torch.allclose(refine(masks, error, trust=1.0), masks, atol=1e-4)
    even = torch.full_like(error, 0.01)
    assert torch.equal(refine(masks, even), masks)
    _, masks, error = toy(wrong=0)
    assert torch.equal(refine(masks, 1 / error), masks)  # people filled in better than the rest


def test_one_wrong_pixel_follows_bayes() -> None:
    """Two known normals and a prior of 0.1 give the posterior that one works out by hand."""
    truth, masks, error = toy(wrong=0)
    logs = torch.log(error)
    logs = logs - logs.flatten(1).median(1).values[:, None, None]
    people, rest = logs[truth > 0], logs[truth == 0]
    at = (logs - 1.2).abs().flatten().argmin()
    value = logs.flatten()[at]
    densities = []
    for group in (people, rest):
        away = (value - group.mean()) / group.std(correction=0)
        densities.append(torch.exp(-(away**2) / 2) / group.std(correction=0))
    odds = densities[0] / densities[1]
    prior = 0.9 if float(masks.flatten()[at]) else 0.1
    odds = odds * prior / (1 - prior)
    assert float(refine(masks, error).flatten()[at]) == pytest.approx(
        float(odds / (1 + odds)), rel=1e-3
    )
