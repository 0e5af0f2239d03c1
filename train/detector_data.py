"""Batches for the detector: frames fitted into its input, boxes to find, boxes to leave out.

In: folders written by `python -m train synth` and `python -m train label`.  Out: an endless, seeded
stream of batches; boxes are padded to the same number, an empty box being all zeros.  Before some
people something stands (`train.detector_boards`), and their boxes hold what is left in sight.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch.utils.data import IterableDataset

from train.detector_boards import hide_people
from train.drawn_heads import (
    bodies_below,
    doubted_people,
    known_people,
    overlooked_heads,
    united,
)
from train.label_cache import read_labels
from train.lamps import with_lamps
from train.pose_augment import disturb_light
from train.pose_data import Batch, Stem, is_held_out
from train.ssd import INPUT_PX, MEAN, PAD_VALUE, STD
from train.stream import batch_numbers, sample_rngs
from train.synth.dataset import Chunk, read_chunk

MOST_BOXES: Final = 48
_LEAST_VISIBLE: Final = 0.2
_LEAST_SIDE_PX: Final = 10.0
"""In the network's input; smaller people cannot be found there and are left out of the loss."""

_LIT_SHARE: Final = 0.25
"""Of all frames, into which lamps shine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A frame, the people to find in it, and places where nobody knows."""

    image: UInt8[np.ndarray, "height width 3"]
    """BGR."""
    people_px: Float32[np.ndarray, "people 4"]
    unsure_px: Float32[np.ndarray, "unsure 4"]


@runtime_checkable
class Scenes(Protocol):
    """Frames that can be drawn by number."""

    def __len__(self) -> int:
        """Count the frames."""
        ...

    def scene(self, index: int) -> Scene:
        """Decode one."""
        ...


class RenderedScenes:
    """Frames of a rendered folder, with exact boxes."""

    def __init__(self, folder: Path) -> None:
        """Read every chunk of `folder`."""
        self._chunks: list[Chunk] = [
            read_chunk(path) for path in sorted(folder.glob("chunk-*.npz"))
        ]
        self._frames = [
            (number, frame)
            for number, chunk in enumerate(self._chunks)
            for frame in range(len(chunk))
        ]

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._frames)

    def scene(self, index: int) -> Scene:
        """Decode one frame; people nearly hidden are left to doubt."""
        number, frame = self._frames[index]
        chunk = self._chunks[number]
        here = chunk.frame == frame
        seen = here & (chunk.visible_fraction >= _LEAST_VISIBLE)
        return Scene(
            image=np.ascontiguousarray(chunk.image(frame)[:, :, ::-1]),
            people_px=chunk.box_px[seen],
            unsure_px=chunk.box_px[here & ~seen],
        )


class RealScenes:
    """Frames of teacher-labelled folders; weak opinions count as doubt.

    So does the surrounding of a head that somebody drew and of which neither a teacher nor
    `python -m train overlooked` has seen the body: without that the detector would learn to
    overlook whom its teachers overlooked.
    """

    def __init__(self, folders: Sequence[Path], *, held_out: bool) -> None:
        """Read the labels of every folder."""
        self._images = [
            image
            for folder in folders
            for image in read_labels(folder)
            if is_held_out(image.group) == held_out
        ]

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._images)

    def scene(self, index: int) -> Scene:
        """Decode one frame with the teachers' boxes."""
        image = self._images[index]
        people = united(known_people(image), image.overlooked_px)
        overlooked = [bodies_below(head) for head in overlooked_heads(image, people)]
        return Scene(
            image=image.image(),
            people_px=people,
            unsure_px=np.concatenate([doubted_people(image), *overlooked]),
        )


class DetectorBatches(IterableDataset[Batch]):
    """An endless stream of batches, alternating between rendered and real frames."""

    def __init__(
        self,
        sources: Sequence[Scenes],
        *,
        batch_size: int,
        seed: int,
        make_stem: Callable[[], Stem] | None = None,
    ) -> None:
        """Keep the recipe; every source is drawn from equally often."""
        self._sources = sources
        self._batch_size = batch_size
        self._seed = seed
        self._make_stem = make_stem
        self.first_batch = 0

    def after(self, batches: int) -> "DetectorBatches":
        """Return the same stream as it goes on after so many batches."""
        going_on = copy(self)
        going_on.first_batch = batches
        return going_on

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        cv2.setNumThreads(1)
        stem = self._make_stem() if self._make_stem is not None else None
        for number in batch_numbers(self.first_batch):
            drawn = []
            rngs = sample_rngs(self._seed, number, self._batch_size)
            for sample, rng in enumerate(rngs, number * self._batch_size):
                source = self._sources[sample % len(self._sources)]
                drawn.append(_fit(source.scene(int(rng.integers(len(source)))), rng))
            images, people, unsure = (np.stack(parts) for parts in zip(*drawn, strict=True))
            yield {
                "input": torch.from_numpy(images if stem is None else stem(images)),
                "people_px": torch.from_numpy(people),
                "unsure_px": torch.from_numpy(unsure),
            }


def _fit(
    scene: Scene, rng: np.random.Generator
) -> tuple[
    Float32[np.ndarray, "3 side side"],
    Float32[np.ndarray, "boxes 4"],
    Float32[np.ndarray, "boxes 4"],
]:
    """Place a frame in the input at a random size and place, some of its people behind something.

    It is mirrored at random, and in other light; at times lamps shine into it.
    """
    height, width = scene.image.shape[:2]
    scale = INPUT_PX / max(height, width) * float(rng.choice([1.0, rng.uniform(0.5, 1.6)]))
    room = INPUT_PX - scale * np.array([width, height])
    offset = room * np.where(room > 0, 0.5, rng.uniform(0.2, 0.8, 2))
    mirrored = rng.random() < 0.5
    input_from_frame = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    shrunk, shrink = scene.image, 1.0
    if scale < 0.5:
        shrink = scale * 1.5
        size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        shrunk = np.asarray(cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    shrunk, in_sight_px, share = hide_people(shrunk, scene.people_px * np.float32(shrink), rng)
    known = share >= _LEAST_VISIBLE
    people_px = in_sight_px[known] / np.float32(shrink)
    unsure_px = np.concatenate([scene.unsure_px, scene.people_px[~known]])
    warp = input_from_frame.copy()
    warp[:, :2] /= shrink
    image = np.asarray(
        cv2.warpAffine(
            shrunk, warp, (INPUT_PX, INPUT_PX), borderValue=(PAD_VALUE, PAD_VALUE, PAD_VALUE)
        ),
        np.uint8,
    )
    if rng.random() < _LIT_SHARE:
        image = with_lamps(image, rng)
    image = disturb_light(image, 0.7, rng)
    people = _place(people_px, scale, offset)
    unsure = _place(unsure_px, scale, offset)
    tiny = (people[:, 2:] - people[:, :2]).max(axis=1, initial=0) < _LEAST_SIDE_PX
    unsure, people = np.concatenate([unsure, people[tiny]]), people[~tiny]
    if mirrored:
        image = image[:, ::-1]
        people, unsure = _mirror(people), _mirror(unsure)
    pixels = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)).astype(np.float32)
    mean, std = (np.array(value, np.float32)[:, None, None] for value in (MEAN, STD))
    return (pixels / 255 - mean) / std, _padded(people), _padded(unsure)


def _place(
    boxes: Float32[np.ndarray, "boxes 4"], scale: float, offset: np.ndarray
) -> Float32[np.ndarray, "boxes 4"]:
    placed = np.clip(boxes * scale + np.tile(offset, 2), 0, INPUT_PX - 1)
    area = np.prod(placed[:, 2:] - placed[:, :2], axis=1)
    whole = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * scale**2, 1e-6)
    return np.asarray(placed[area > 0.3 * whole], np.float32)


def _mirror(boxes: Float32[np.ndarray, "boxes 4"]) -> Float32[np.ndarray, "boxes 4"]:
    return np.asarray(
        boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [INPUT_PX - 1, 0, INPUT_PX - 1, 0], np.float32
    )


def _padded(boxes: Float32[np.ndarray, "boxes 4"]) -> Float32[np.ndarray, "slots 4"]:
    padded = np.zeros((MOST_BOXES, 4), np.float32)
    kept = boxes[:MOST_BOXES]
    padded[: len(kept)] = kept
    return padded
