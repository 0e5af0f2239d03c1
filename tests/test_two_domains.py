"""Two domains stay apart in one batch, and a stream goes on as if it had never stopped."""

from itertools import islice
from typing import Final

import numpy as np
import pytest
import torch

from edge_pose import skeleton
from edge_pose.errors import ConfigError
from tiny_poses import both, transformer
from train.agreement import mirrored_answer
from train.masking import read_recipe
from train.pose_augment import Augmentation, Person
from train.restyle import Restyle
from train.stream import load
from train.two_domains import (
    TARGET,
    FewLabelledBatches,
    PersonBatches,
    RestyledBatches,
    Stream,
    TwoDomainBatches,
    target_part,
    with_labelled,
    with_masked,
    with_opinions,
)

MASKED: Final = TARGET + "masked"


def grey(level: int) -> Person:
    """Return somebody in a picture of one brightness, by which they are known again."""
    joints_px = np.linspace([20, 30], [90, 100], skeleton.NUM_JOINTS).astype(np.float32)
    return Person(
        image=np.full((120, 110, 3), level, np.uint8),
        box_px=np.array([15, 20, 95, 110], np.float32),
        reach_px=np.array([[55, 65], [55, 20]], np.float32),
        joints_px=joints_px,
        weight_2d=np.ones(skeleton.NUM_JOINTS, np.float32),
    )


def low(rng: np.random.Generator) -> Person:
    return grey(int(rng.integers(0, 80)))


def middle(rng: np.random.Generator) -> Person:
    return grey(int(rng.integers(100, 140)))


def high(rng: np.random.Generator) -> Person:
    return grey(int(rng.integers(180, 255)))


def streams(rows: int) -> TwoDomainBatches:
    few, many = Augmentation(), Augmentation(shift=0.1, mirror=True)
    source: Stream = PersonBatches(low, augmentation=many, batch_size=4, seed=1)
    if rows:
        labelled = PersonBatches(middle, augmentation=few, batch_size=rows, seed=3)
        source = FewLabelledBatches(source, labelled, rows=rows)
    return TwoDomainBatches(source, PersonBatches(high, augmentation=many, batch_size=3, seed=2))


def levels(picture: torch.Tensor) -> list[float]:
    assert picture.dtype == torch.uint8
    return [float(value) for value in picture.float().mean((1, 2, 3))]


def test_source_target_and_labelled_people_come_in_their_places() -> None:
    (batch,) = islice(streams(1), 1)
    source, target = levels(batch["input"]), levels(target_part(batch)["input"])
    assert len(source) == 4
    assert len(target) == 3
    assert all(level < 80 for level in source[:3])
    assert 99 < source[3] < 141
    assert all(level > 179 for level in target)
    (without,) = islice(streams(0), 1)
    assert all(level < 80 for level in levels(without["input"]))
    assert torch.equal(without["input"][:3], batch["input"][:3])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_as_if_it_had_never_stopped(workers: int) -> None:
    whole = list(islice(load(streams(1), workers=0), 5))
    again = list(islice(load(streams(1).after(2), workers=workers), 3))
    for one, other in zip(whole[2:], again, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_labelled_rows_take_the_place_of_the_last_rows() -> None:
    batch, few = {"x": torch.zeros(4, 2)}, {"x": torch.ones(3, 2)}
    assert with_labelled(batch, few, rows=1)["x"][:, 0].tolist() == [0, 0, 0, 1]


def test_opinions_replace_whatever_was_known_about_the_target() -> None:
    teacher = transformer(3)
    (found,) = with_opinions([both(0, target_3d=True)], teacher)
    told = target_part(found)
    assert not told["has_3d"].any()
    assert not told["joints_m"].any()
    with torch.no_grad():
        picture = both(0)["target_input"]
        answer = mirrored_answer(teacher, picture, picture.flip(-1))
    assert torch.equal(told["joints_px"], answer["joints_px"])
    assert torch.equal(found["joints_px"], both(0)["joints_px"])


def test_the_same_part_is_hidden_when_a_run_goes_on() -> None:
    recipe = read_recipe("patches(0.5)")
    pictures = [both(seed) for seed in range(4)]
    whole = list(with_masked(pictures, recipe, seed=1, first=0))
    again = list(with_masked(pictures[2:], recipe, seed=1, first=2))
    assert torch.equal(whole[2][MASKED], again[0][MASKED])
    changed = (whole[0][MASKED] != whole[0][TARGET + "input"]).any(1).float().mean()
    assert float(changed) == pytest.approx(0.5, abs=0.02)
    other = list(with_masked(pictures, recipe, seed=2, first=0))
    assert not torch.equal(whole[0][MASKED], other[0][MASKED])


def test_masks_may_not_look_where_joints_of_the_target_are() -> None:
    with pytest.raises(ConfigError, match="needs joints"):
        next(with_masked([both(0)], read_recipe("periphery(0.8, at=joint)"), seed=1, first=0))


def test_a_restyled_source_looks_like_the_target_and_keeps_its_labels() -> None:
    plain = Augmentation()

    def stream() -> RestyledBatches:
        source = PersonBatches(low, augmentation=plain, batch_size=4, seed=1)
        target = PersonBatches(high, augmentation=plain, batch_size=4, seed=2)
        return RestyledBatches(source, target, Restyle(probability=1.0, largest_share=1.0), seed=3)

    whole = list(islice(stream(), 4))
    source = list(islice(PersonBatches(low, augmentation=plain, batch_size=4, seed=1), 4))
    for batch, before in zip(whole, source, strict=True):
        assert torch.equal(batch["joints_px"], before["joints_px"])
    brighter = [
        new - old
        for batch, before in zip(whole, source, strict=True)
        for new, old in zip(levels(batch["input"]), levels(before["input"]), strict=True)
    ]
    assert min(brighter) > -1
    assert max(brighter) > 40
    again = list(islice(stream().after(2), 2))
    assert all(torch.equal(a["input"], b["input"]) for a, b in zip(whole[2:], again, strict=True))
