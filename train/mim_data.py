"""Batches for masked image modelling: half of the source, half of the target, each with its masks.

In: scenes of both domains and a recipe of masks.  Out: an endless stream of batches (dicts of
tensors): `input` [b, 3, 256, 256] in 0..1; `foreground` [b, 256, 256] in 0..1, soft, and
`has_foreground` [b], bool; at the network's input size `hidden` [b, S, S], what is to be filled,
and `counted` [b, S, S], which pixels are asked for; `is_target` [b], bool.

Every sample follows from the seed and its number alone, masks included, so that a stream can start
at any batch, with any number of workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.data import IterableDataset

from edge_pose.errors import ConfigError
from train.masking import Crop, MaskContext, MaskRecipe, Views
from train.masking.patches import Tubes
from train.mim_scenes import Scenes
from train.pose_augment import Augmentation, TrainingCrop, make_crop
from train.stream import batch_numbers, packed, sample_rngs
from train.vit import fit_size

Batch = dict[str, Tensor]

VARIED: Final = Augmentation(
    first_look=0.1, scale=0.25, shift=0.08, turn_rad=0.2, mirror=True, light=0.4
)
"""Crops of very different place and size: with others, masks about the centre always hide alike."""
PLAIN: Final = Augmentation(mirror=True, light=0.4)
"""Every body in the same place and size, to see what varied crops are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MimMixture:
    """How samples are made."""

    recipe: MaskRecipe
    size_px: int
    """Of the network's input, at which masks are drawn."""
    augmentation: Augmentation = VARIED
    paste: float = 0.0
    """Share of samples in which the person stands before another background."""
    frames: int = 1
    """Of the clips that samples are; masks over time need more than one."""


class MimBatches(IterableDataset[Batch]):
    """An endless stream of batches that depends on the seed alone."""

    def __init__(
        self,
        source: Scenes,
        target: Scenes,
        *,
        mixture: MimMixture,
        batch_size: int,
        seed: int,
        first: int = 0,
    ) -> None:
        """Keep the recipe; `first` is how many batches this process has had already."""
        if batch_size % (2 * mixture.frames):
            raise ConfigError(
                f"the batch size is {batch_size}; halves of source and target in clips of "
                f"{mixture.frames} need a multiple of {2 * mixture.frames}."
            )
        self._domains = (source, target)
        self._mixture = mixture
        self._batch_size = batch_size
        self._seed = seed
        self._first = first

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        cv2.setNumThreads(1)
        for number in batch_numbers(self._first):
            yield packed(self.batch(number))

    def batch(self, number: int) -> Batch:
        """Make one batch: source and target in turn."""
        rngs = sample_rngs(self._seed, number, self._batch_size // self._mixture.frames)
        samples = [self._sample(rng, is_target=bool(place % 2)) for place, rng in enumerate(rngs)]
        return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}

    def _sample(self, rng: np.random.Generator, *, is_target: bool) -> Batch:
        mixture = self._mixture
        persons = self._domains[is_target].clip(rng, mixture.frames)
        seed = int(rng.integers(2**31))
        crops = [
            make_crop(person, mixture.augmentation, np.random.default_rng(seed))
            for person in persons
        ]
        if rng.random() < mixture.paste:
            crops = self._pasted(crops, rng)
        views, known = _views(crops)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        if mixture.recipe.crop is not None:
            views = _cropped(views, mixture.recipe.crop, generator)
        hidden, counted = draw_masks(mixture, views, generator)
        assert views.foreground is not None
        return {
            "input": views.image,
            "foreground": views.foreground,
            "has_foreground": known,
            "hidden": hidden,
            "counted": counted,
            "is_target": torch.full((len(crops),), is_target),
        }

    def _pasted(self, crops: list[TrainingCrop], rng: np.random.Generator) -> list[TrainingCrop]:
        """Put people before a background of the target, else of the source, if there is any."""
        source, target = self._domains
        place = target.background(rng) or source.background(rng)
        if place is None:
            return crops
        background = make_crop(place, self._mixture.augmentation, rng)
        return [paste(crop, background) for crop in crops]


def paste(crop: TrainingCrop, background: TrainingCrop) -> TrainingCrop:
    """Put the people of a crop before another; a crop whose people nobody marked stays as it is."""
    if crop.foreground is None:
        return crop
    share = crop.foreground.astype(np.float32) / 255
    behind = background.foreground
    beside = np.zeros_like(share) if behind is None else behind.astype(np.float32)
    foreground = 255 * share + (1 - share) * beside
    image = share * crop.image + (1 - share) * background.image
    return replace(
        crop,
        image=np.round(image).astype(np.uint8),
        foreground=np.round(foreground).astype(np.uint8),
    )


def draw_masks(
    mixture: MimMixture, views: Views, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw what is hidden from the network, and what it is asked for, [frames, S, S] each.

    Of a sequence of fixations one look is drawn; what the next one shows is asked for.
    """
    recipe, frames = mixture.recipe, mixture.frames
    assert views.foreground is not None
    assert views.joints_px is not None
    scale = mixture.size_px / views.image.shape[-1]
    people = views.foreground[:1, None] if recipe.needs_foreground else None
    context = MaskContext(
        size_px=mixture.size_px,
        foreground=None if people is None else fit_size(people, mixture.size_px)[:, 0],
        joints_px=(views.joints_px[:1] + 0.5) * scale - 0.5,
        frames=frames,
    )
    (hidden,) = recipe.draw(context, 1, generator).hidden
    if any(isinstance(term, Tubes) for term in recipe.terms):
        return hidden, hidden
    if len(hidden) == 1:
        hidden = hidden.expand(frames, -1, -1)
        return hidden, hidden
    look = int(torch.randint(len(hidden) - 1, (), generator=generator))
    now, then = hidden[look].expand(frames, -1, -1), hidden[look + 1].expand(frames, -1, -1)
    return now, (now - then).clamp_min(0)


def _views(crops: list[TrainingCrop]) -> tuple[Views, Tensor]:
    """Return a clip's pictures, and of each whether people in it are marked."""
    images: UInt8[np.ndarray, "frames 3 side side"] = np.stack([crop.image for crop in crops])
    nobody = np.zeros(images.shape[2:], np.uint8)
    masks: UInt8[np.ndarray, "frames side side"] = np.stack(
        [nobody if crop.foreground is None else crop.foreground for crop in crops]
    )
    joints_px: Float32[np.ndarray, "frames joints 2"] = np.stack(
        [np.where(crop.weight_2d[:, None] > 0, crop.joints_px, np.nan) for crop in crops]
    )
    views = Views(
        image=torch.from_numpy(images.astype(np.float32) / 255),
        foreground=torch.from_numpy(masks.astype(np.float32) / 255),
        joints_px=torch.from_numpy(joints_px),
    )
    return views, torch.tensor([crop.foreground is not None for crop in crops])


def _cropped(views: Views, crop: Crop, generator: torch.Generator) -> Views:
    """Cut the same part of every frame."""
    assert views.foreground is not None
    assert views.joints_px is not None
    seed = int(torch.randint(2**31, (), generator=generator))
    frames = [
        crop.apply(
            Views(image=image[None], foreground=foreground[None], joints_px=joints_px[None]),
            torch.Generator().manual_seed(seed),
        )
        for image, foreground, joints_px in zip(
            views.image, views.foreground, views.joints_px, strict=True
        )
    ]
    return Views(
        image=torch.cat([frame.image for frame in frames]),
        foreground=torch.cat(
            [frame.foreground for frame in frames if frame.foreground is not None]
        ),
        joints_px=torch.cat([frame.joints_px for frame in frames if frame.joints_px is not None]),
    )
