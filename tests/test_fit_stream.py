"""Whoever makes the batches, in whatever portions: a step sees the same samples."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from edge_pose import skeleton
from train.detector_data import DetectorBatches, Scene
from train.pose_augment import TRAINING, Person
from train.pose_data import Mixture, PoseBatches, RealPeople
from train.stream import batch_numbers, load, packed, shown

# Order must not depend on how many cores there are for the workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Numbers(IterableDataset[dict[str, Tensor]]):
    """Batches that hold nothing but their number."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number in batch_numbers(self._first):
            yield {"number": torch.tensor(number)}


class Crowd:
    """Three people in noise, and the frames that they stand in."""

    def __len__(self) -> int:
        return 3

    def person(self, index: int) -> Person:
        """Draw one in noise of its own."""
        rng = np.random.default_rng(index)
        return Person(
            image=rng.integers(0, 255, (120, 100, 3), np.uint8),
            box_px=np.array([30, 20, 70, 100], np.float32),
            reach_px=np.array([[50, 60], [50, 20]], np.float32),
            joints_px=rng.uniform(30, 90, (skeleton.NUM_JOINTS, 2)).astype(np.float32),
            weight_2d=np.ones(skeleton.NUM_JOINTS, np.float32),
        )

    def scene(self, index: int) -> Scene:
        """Show the same person as something to find."""
        person = self.person(index)
        nobody = np.zeros((0, 4), np.float32)
        return Scene(image=person.image, people_px=person.box_px[None], unsure_px=nobody)


def pose_batches(size: int) -> PoseBatches:
    return PoseBatches(
        Crowd(),
        RealPeople([], held_out=None),
        mixture=Mixture(rendered=1.0, nobody=0.0),
        augmentation=TRAINING,
        batch_size=size,
        seed=4,
    )


def detector_batches(size: int) -> DetectorBatches:
    return DetectorBatches([Crowd(), Crowd()], batch_size=size, seed=4)


def taken(batches: Iterable[Mapping[str, Tensor]], count: int) -> dict[str, Tensor]:
    """Join the first so many batches."""
    parts = list(islice(batches, count))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("first", [0, 7])
def test_batches_come_in_order_from_any_number_of_workers(workers: int, first: int) -> None:
    numbers = [int(batch["number"]) for batch in islice(load(Numbers(first), workers=workers), 10)]
    assert numbers == list(range(first, first + 10))


def test_processes_share_the_batches_of_a_step_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert list(islice(batch_numbers(0), 3)) == [3, 7, 11]
    assert list(islice(batch_numbers(2), 2)) == [11, 15]


@pytest.mark.parametrize("make", [pose_batches, detector_batches])
def test_a_stream_is_the_same_in_other_portions_and_from_the_middle(
    make: Callable[[int], PoseBatches | DetectorBatches],
) -> None:
    whole = taken(make(8), 2)
    assert len({value.numpy().tobytes() for value in whole["input"]}) == 16
    assert_same(taken(make(4), 4), whole)
    later = load(make(8).after(1), workers=0)
    assert_same(taken(load(make(2).after(4), workers=3), 4), taken(later, 1))
    assert_same(taken(make(8).after(1), 1), {name: value[8:] for name, value in whole.items()})


def test_pictures_travel_in_bytes_and_nothing_else_is_rounded() -> None:
    grey = torch.arange(256) / 255
    batch = {"input": grey, "joints_m": torch.tensor([0.12345]), "known": torch.tensor([True])}
    sent = packed({"input": grey, "known": batch["known"]}) | {"joints_m": batch["joints_m"]}
    assert sent["input"].dtype == torch.uint8
    arrived = shown(sent, torch.device("cpu"))
    torch.testing.assert_close(arrived["input"], grey, rtol=0, atol=1e-7)
    assert torch.equal(arrived["joints_m"], batch["joints_m"])
    assert torch.equal(arrived["known"], batch["known"])
