"""What the second and third stage are fed: people of two domains, and only what a method may see.

In: two domains, how much effort and which seed.  Out: for each variant a function that gives its
batches from any step on.  A variant that was not promised the target's labels never gets them.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from train.ablation import Variant
from train.adaptation_methods import Method, read_method
from train.coco import read_coco
from train.domains import Domain
from train.few_labels import FewPeople, first_frames
from train.masking import read_recipe
from train.pose_augment import SETTLING, TRAINING, Augmentation, Person
from train.pose_data import People
from train.prepared import PreparedBatches
from train.presets import Effort
from train.restyle import Restyle
from train.stream import Batch, load
from train.two_domains import (
    FLIPPED,
    TARGET,
    FewLabelledBatches,
    PersonBatches,
    RestyledBatches,
    Stream,
    TwoDomainBatches,
    two_domains,
    with_masked,
    with_opinions,
)

_RESTYLE: Final = Restyle(probability=0.7, largest_share=1.0)
_CONSISTENCY_MASK: Final = "patches(0.5)"
_PICTURES_ALONE: Final = frozenset(
    {*(TARGET + name for name in ("input", "foreground", "has_foreground", "masked")), FLIPPED}
)
"""What of a target batch a method may see that is not told labels."""


@dataclass(kw_only=True)
class Supply:
    """Batches for all runs of one seed."""

    source: Domain
    target: Domain
    effort: Effort
    coco: tuple[Path, Path] | None = None
    """Key points that a person marked in pictures of the target, and the pictures' folder."""
    stem: nn.Module | None = None
    """Frozen; with it, batches hold what it made of the pictures, and runs share them."""
    _sources: dict[tuple[bool, int], PreparedBatches] = field(default_factory=dict)
    """Prepared, by what makes them differ."""
    _target: PreparedBatches | None = None

    def batches(
        self, variant: Variant, opinion: nn.Module | None = None
    ) -> Callable[[int], Iterable[Batch]]:
        """Return what gives a variant its batches after so many.

        Args:
            variant: whose method says what is seen.
            opinion: labels target pictures for a method that believes labels nobody gave; it sees
                what the run sees, so with a stem it is a network on prepared pictures.

        """
        method = read_method(variant.method)
        return partial(self._after, variant, method, opinion)

    def _after(
        self, variant: Variant, method: Method, opinion: nn.Module | None, first: int
    ) -> Iterable[Batch]:
        told = method.target_truth or (method.pseudo_labels and not self.target.has_3d)
        found: Iterable[Batch] = self._drawn(variant, first)
        if not told:
            found = map(_without_labels, found)
        if method.pseudo_labels and not told:
            assert opinion is not None
            found = with_opinions(found, opinion)
        if method.consistent and self.stem is None:
            found = self._masked(found, first)
        return found

    def _drawn(self, variant: Variant, first: int) -> Iterable[Batch]:
        if self.stem is None:
            both = TwoDomainBatches(self._source(variant), self._people_of_target())
            return self._load(both, first)
        like = (variant.restyled, variant.labelled_frames)
        if like not in self._sources:
            draw = partial(self._load, self._source(variant))
            self._sources[like] = PreparedBatches(draw, self.stem)
        if self._target is None:
            self._target = PreparedBatches(self._all_of_target, self.stem)
        return map(operator.or_, self._sources[like](first), self._target(first))

    def _all_of_target(self, first: int) -> Iterable[Batch]:
        """Draw the target with all that any method looks at."""
        named = map(partial(two_domains, {}), self._load(self._people_of_target(), first))
        for batch in self._masked(named, first):
            yield {**batch, FLIPPED: batch[TARGET + "input"].flip(-1)}

    def _masked(self, batches: Iterable[Batch], first: int) -> Iterable[Batch]:
        recipe = read_recipe(_CONSISTENCY_MASK)
        return with_masked(batches, recipe, seed=self.effort.seed, first=first)

    def _load(self, stream: Stream, first: int) -> Iterable[Batch]:
        return load(stream.after(first), workers=self.effort.workers)

    def _source(self, variant: Variant) -> Stream:
        seed = self.effort.seed
        source = self._people(self.source.people, TRAINING, seed)
        if variant.labelled_frames and self.coco is not None:
            frames = first_frames(read_coco(*self.coco), variant.labelled_frames, seed=seed)
            labelled = self._people(FewPeople(frames), TRAINING, seed + 2)
            source = FewLabelledBatches(source, labelled, rows=self.effort.batch_size // 4)
        if variant.restyled:
            source = RestyledBatches(source, self._people_of_target(), _RESTYLE, seed=seed + 3)
        return source

    def _people_of_target(self) -> Stream:
        people, seed = self.target.people, self.effort.seed + 1
        return self._people(people, SETTLING, seed, with_foreground=True)

    def _people(
        self,
        people: People,
        augmentation: Augmentation,
        seed: int,
        *,
        with_foreground: bool = False,
    ) -> Stream:
        return PersonBatches(
            _drawing(people),
            augmentation=augmentation,
            batch_size=self.effort.batch_size,
            seed=seed,
            with_foreground=with_foreground,
        )


def _without_labels(batch: Batch) -> Batch:
    """Take from a batch what the target's labels say; a rendered target would tell the truth."""
    return {
        name: value
        for name, value in batch.items()
        if not name.startswith(TARGET) or name in _PICTURES_ALONE
    }


def _drawing(people: People) -> Callable[[np.random.Generator], Person]:
    """Draw people at random."""

    def draw(rng: np.random.Generator) -> Person:
        return people.person(int(rng.integers(len(people))))

    return draw
