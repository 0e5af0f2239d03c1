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
from train.restyle import Restyle
from train.stream import batch_numbers, sample_rngs

TARGET: Final = "target_"
FLIPPED: Final = TARGET + "flipped"
"""Mirror images of the target's pictures, for those who cannot flip what they are given."""


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

    def __init__(self, source: Stream, target: Stream) -> None:
        """Keep the streams."""
        self._source = source
        self._target = target

    def after(self, batches: int) -> Stream:
        """Return the same stream as it goes on after so many batches."""
        return TwoDomainBatches(self._source.after(batches), self._target.after(batches))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        for of_source, of_target in zip(self._source, self._target, strict=False):
            yield two_domains(of_source, of_target)


class FewLabelledBatches(IterableDataset[Batch]):
    """A source in which somebody labelled some people of the target."""

    def __init__(self, source: Stream, labelled: Stream, *, rows: int) -> None:
        """Keep the streams; `rows` of each batch of the source are taken from `labelled`."""
        self._source = source
        self._labelled = labelled
        self._rows = rows

    def after(self, batches: int) -> Stream:
        """Return the same stream as it goes on after so many batches."""
        return FewLabelledBatches(
            self._source.after(batches), self._labelled.after(batches), rows=self._rows
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        for batch, few in zip(self._source, self._labelled, strict=False):
            yield with_labelled(batch, few, rows=self._rows)


class RestyledBatches(IterableDataset[Batch]):
    """A source whose people are shown as the target's camera would show them."""

    def __init__(
        self, source: Stream, target: Stream, restyle: Restyle, *, seed: int, first: int = 0
    ) -> None:
        """Keep the streams; person i of the source gets the look of person i of the target."""
        self._source = source
        self._target = target
        self._restyle = restyle
        self._seed = seed
        self._first = first

    def after(self, batches: int) -> Stream:
        """Return the same stream as it goes on after so many batches."""
        streams = self._source.after(batches), self._target.after(batches)
        return RestyledBatches(*streams, self._restyle, seed=self._seed, first=batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        numbers = batch_numbers(self._first)
        for number, batch, other in zip(numbers, self._source, self._target, strict=False):
            pictures, styles = batch["input"], other["input"]
            rngs = sample_rngs(self._seed, number, len(pictures))
            restyled = [
                self._restyle.restyled(_pixels(picture), _pixels(style), rng)
                for picture, style, rng in zip(pictures, styles, rngs, strict=True)
            ]
            stacked = np.ascontiguousarray(np.stack(restyled).transpose(0, 3, 1, 2))
            yield {**batch, "input": torch.from_numpy(stacked)}


def _pixels(picture: Tensor) -> np.ndarray:
    """Return a picture of bytes, [3, S, S], as others store it, [S, S, 3]."""
    return picture.permute(1, 2, 0).numpy()


def two_domains(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Batch:
    """Put a batch of each domain into one."""
    return {**source, **{TARGET + name: value for name, value in target.items()}}


def target_part(batch: Mapping[str, Tensor]) -> Batch:
    """Take the target's batch out again."""
    return {
        name.removeprefix(TARGET): value for name, value in batch.items() if name.startswith(TARGET)
    }


def with_labelled(batch: Mapping[str, Tensor], few: Mapping[str, Tensor], *, rows: int) -> Batch:
    """Put so many labelled people in the place of the last rows of a batch of the source."""
    assert all(len(value) >= rows for value in (*batch.values(), *few.values()))
    return {
        name: torch.cat([value[: len(value) - rows], few[name][:rows]])
        for name, value in batch.items()
    }


def with_opinions(stream: Iterable[Mapping[str, Tensor]], teacher: nn.Module) -> Iterator[Batch]:
    """Replace what batches say about the target by a network's own opinion of its pictures."""
    for batch in stream:
        picture = batch[TARGET + "input"]
        flipped = batch.get(FLIPPED, picture.flip(-1))
        with torch.no_grad():
            answer = mirrored_answer(teacher, picture, flipped)
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
        # Masks are drawn where every machine draws alike, whatever holds the pictures.
        people = batch[TARGET + "foreground"].cpu() if recipe.needs_foreground else None
        context = MaskContext(size_px=picture.shape[-1], foreground=people)
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {number}".encode()))
        hidden = recipe.draw(context, len(picture), generator).hidden[:, 0].to(picture.device)
        yield {**batch, TARGET + "masked": fill(picture, hidden, recipe.opacity)}
