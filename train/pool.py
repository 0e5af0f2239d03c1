"""People kept on an accelerator: cut once with room about them, disturbed and seen many times.

In: a stream of blocks of wide crops, made by data workers.  Out: an endless, seeded stream of
batches.  Workers that decode, cut and light every crop that a step sees are what an accelerator
waits for; here each step takes in one small block, and draws its batch from the last thousands.
Which people lie in the pool at a step depends on the number of the step alone, so that a run that
goes on sees what it would have seen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Final

import numpy as np
import torch
from torch import Tensor

from train.distributed import device, place
from train.disturb import WIDE_PX, disturbed
from train.pose_augment import Augmentation, Person, TrainingCrop, cut_crop, person_and_region
from train.stream import Batch, seed_of
from train.student import INPUT_SIZE_PX

Told = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Adds to a block what else is known of its people."""

_ROOM: Final = WIDE_PX / INPUT_SIZE_PX


def cut_wide(person: Person, augmentation: Augmentation, rng: np.random.Generator) -> TrainingCrop:
    """Cut one person with room about, labels in pixels of the square in the middle."""
    person, region = person_and_region(person, augmentation, rng)
    region = replace(region, side_px=region.side_px * _ROOM)
    wide = cut_crop(person, region, size_px=WIDE_PX)
    edge_px = (WIDE_PX - INPUT_SIZE_PX) / 2
    return replace(wide, joints_px=wide.joints_px - edge_px, reach_px=wide.reach_px - edge_px)


def arrived(block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a block of wide crops, still in bytes, to the device, as `disturbed` wants it."""
    there = {name: value.to(device(), non_blocking=True) for name, value in block.items()}
    there["image"] = there.pop("input")
    return there


class Pool:
    """Wide crops on the device of this process, the oldest replaced block by block."""

    def __init__(
        self,
        blocks: Iterable[Batch],
        *,
        people: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        first: int = 0,
        told: Told = lambda block: block,
    ) -> None:
        """Keep the recipe.

        Args:
            blocks: wide crops in bytes, beginning with the block of the number `first`.
            people: how many to keep at least.
            batch_size: crops a step.
            augmentation: how far crops are disturbed.
            seed: of what is drawn and how it is disturbed.
            first: number of the first batch.
            told: asked once about every block that comes in.

        """
        self._blocks = blocks
        self._people = people
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self._first = first
        self._told = told

    def __iter__(self) -> Iterator[Batch]:
        """Fill the pool, then yield batches for ever."""
        blocks = iter(self._blocks)
        block = self._told(arrived(next(blocks)))
        size = len(block["image"])
        turns = -(-self._people // size)
        kept = {
            name: value.new_empty((turns * size, *value.shape[1:])) for name, value in block.items()
        }

        def keep(number: int, block: Mapping[str, Tensor]) -> None:
            turn = number % turns
            for name, value in block.items():
                kept[name][turn * size : (turn + 1) * size] = value

        keep(self._first, block)
        for number in range(self._first + 1, self._first + turns):
            keep(number, self._told(arrived(next(blocks))))
        for number in count(self._first):
            dice = torch.Generator(device()).manual_seed(seed_of(self._seed, number, place().rank))
            rows = torch.randint(turns * size, (self._batch_size,), generator=dice, device=device())
            chosen = {name: value[rows] for name, value in kept.items()}
            yield disturbed(chosen, self._augmentation, dice)
            keep(number + turns, self._told(arrived(next(blocks))))
