"""Batches of two domains in one: the labelled source, and the target, its keys with `target_`.

In: streams of batches as in `train.pose_data`, each with `after(batches)`.  Out: a stream of dicts
of tensors, in which some rows of the source may be people of the target whom somebody labelled;
and what is added to the target's part on the way to the network: masked pictures, a network's own
opinion in the place of labels.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from train.agreement import labels_from, mirrored_answer
from train.masking import MaskContext, MaskRecipe, fill
from train.pose_augment import Augmentation, Person, make_crop
from train.pose_data import Batch, collate
from train.stream import batch_numbers, sample_rngs

TARGET: Final = "target_"


@runtime_checkable
class Stream(Protocol):
    """An endless stream that can start anywhere."""

    def after(self, batches: int) -> "Stream":
        """Return the same stream as it goes on after so many batches."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        ...


class PersonBatches(IterableDataset[Batch]):
    """Crops of persons that somebody draws: of `People`, of scenes, of the user's own pictures."""

    def __init__(
        self,
        draw: Callable[[np.random.Generator], Person],
        *,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        with_foreground: bool = False,
    ) -> None:
        """Keep the recipe; every sample depends on the seed and its number alone."""
        self._draw = draw
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._seed = seed
        self._with_foreground = with_foreground
        self._first = 0

    def after(self, batches: int) -> Stream:
        """Return the same stream as it goes on after so many batches."""
        going_on = copy(self)
        going_on._first = batches  # noqa: SLF001 # of our own kind
        return going_on

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        cv2.setNumThreads(1)
        for number in batch_numbers(self._first):
            rngs = sample_rngs(self._seed, number, self._batch_size)
            crops = [make_crop(self._draw(rng), self._augmentation, rng) for rng in rngs]
            yield collate(crops, None, with_foreground=self._with_foreground)


class TwoDomainBatches(IterableDataset[Batch]):
    """Source and target side by side."""

    def __init__(
        self, source: Stream, target: Stream, *, labelled: Stream | None = None, rows: int = 0
    ) -> None:
        """Keep the streams; `rows` of each source batch are taken from `labelled` instead."""
        self._source = source
        self._target = target
        self._labelled = labelled
        self._rows = rows

    def after(self, batches: int) -> Stream:
        """Return the same stream as it goes on after so many batches."""
        return TwoDomainBatches(
            self._source.after(batches),
            self._target.after(batches),
            labelled=None if self._labelled is None else self._labelled.after(batches),
            rows=self._rows,
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        source: Iterable[Batch] = self._source
        if self._labelled is not None:
            source = with_labelled(source, self._labelled, rows=self._rows)
        for of_source, of_target in zip(source, self._target, strict=False):
            yield two_domains(of_source, of_target)


def two_domains(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Batch:
    """Put a batch of each domain into one."""
    return {**source, **{TARGET + name: value for name, value in target.items()}}


def target_part(batch: Mapping[str, Tensor]) -> Batch:
    """Take the target's batch out again."""
    return {
        name.removeprefix(TARGET): value for name, value in batch.items() if name.startswith(TARGET)
    }


def with_labelled(
    source: Iterable[Mapping[str, Tensor]], labelled: Iterable[Mapping[str, Tensor]], *, rows: int
) -> Iterator[Batch]:
    """Put so many labelled people in the place of the last rows of each batch of the source."""
    for batch, few in zip(source, labelled, strict=False):
        assert all(len(value) >= rows for value in (*batch.values(), *few.values()))
        yield {
            name: torch.cat([value[: len(value) - rows], few[name][:rows]])
            for name, value in batch.items()
        }


def with_opinions(stream: Iterable[Mapping[str, Tensor]], teacher: nn.Module) -> Iterator[Batch]:
    """Replace what batches say about the target by a network's own opinion of its pictures."""
    device = next(teacher.parameters()).device
    for batch in stream:
        with torch.no_grad():
            answer = mirrored_answer(teacher, batch[TARGET + "input"].to(device))
        labels = labels_from(answer)
        yield {**batch, **{TARGET + name: value for name, value in labels.items()}}


def with_masked(
    stream: Iterable[Mapping[str, Tensor]], recipe: MaskRecipe, *, seed: int, first: int
) -> Iterator[Batch]:
    """Add the target's pictures with a part hidden, in a run that goes on the same part again.

    A recipe that fixates joints is refused: where they are in target pictures nobody may know.
    """
    for number, batch in enumerate(stream, first):
        picture = batch[TARGET + "input"]
        people = batch.get(TARGET + "foreground")
        context = MaskContext(size_px=picture.shape[-1], foreground=people)
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {number}".encode()))
        hidden = recipe.draw(context, len(picture), generator).hidden[:, 0]
        yield {**batch, TARGET + "masked": fill(picture, hidden, recipe.opacity)}
