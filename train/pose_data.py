"""Batches for the pose network: rendered people with 3D truth, real ones with 2D, and nobody.

In: folders written by `python -m train synth` and `python -m train label`.  Out: an endless, seeded
stream of batches (dicts of tensors).  Real groups (a clip, a scene, a run of pictures) are held
out whole, by their name alone.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch.utils.data import IterableDataset

from edge_pose import skeleton
from train.drawn_heads import boxes_of_anybody
from train.label_cache import read_labels
from train.labelled_image import LabelledImage, LabelledPerson
from train.picture_runs import goes_on, run_number
from train.pose_augment import OUTSIDE_WEIGHT, Augmentation, Person, TrainingCrop, make_crop
from train.reach import reach_of
from train.stream import batch_numbers, sample_rngs
from train.synth.dataset import Chunk, read_chunk

Batch = dict[str, torch.Tensor]

_LEAST_VISIBLE: Final = 0.25
"""Rendered people of whom less is to be seen teach nothing."""
_LEAST_SIDE_PX: Final = 40
"""Smaller ones are a blur in which nobody could point at a joint."""
_HELD_OUT_SHARE: Final = 10
"""One real group in so many is never trained on."""
_LOST_PATIENCE: Final = 20
_FOLLOW_EVERY: Final = 32
"""Batches of a data worker between two looks at folders that still grow."""
_SAME_HIPS: Final = 0.3
"""Of the reach: hips farther apart than this belong to two people."""


@runtime_checkable
class People(Protocol):
    """Labelled people that can be drawn by number."""

    def __len__(self) -> int:
        """Count the people."""
        ...

    def person(self, index: int) -> Person:
        """Decode one."""
        ...


class PeopleOrNobody(People, Protocol):
    """People in pictures that also show places without anybody."""

    def nobody(self, rng: np.random.Generator) -> Person | None:
        """Cut a square that touches no known person; None where there was none to find."""
        ...


class RenderedPeople:
    """People of rendered folders; JPEGs stay compressed in memory."""

    def __init__(self, *folders: Path, with_foreground: bool = False) -> None:
        """Read every chunk of the folders; decode the masks of people only `with_foreground`."""
        self._folders = folders
        self._with_foreground = with_foreground
        self._read: set[Path] = set()
        self._chunks: list[Chunk] = []
        self._people: list[tuple[int, int]] = []
        self.look_again()

    def look_again(self) -> None:
        """Read the chunks that were not there yet; a folder may still be growing."""
        paths = (path for folder in self._folders for path in sorted(folder.glob("chunk-*.npz")))
        for path in [path for path in paths if path not in self._read]:
            chunk = read_chunk(path)
            sound = (
                (chunk.visible_fraction > _LEAST_VISIBLE)
                & (chunk.visible.sum(1) >= 5)
                & ((chunk.box_px[:, 2:] - chunk.box_px[:, :2]).max(1) >= _LEAST_SIDE_PX)
            )
            self._people += [(len(self._chunks), int(who)) for who in np.flatnonzero(sound)]
            self._chunks.append(chunk)
            self._read.add(path)

    def __len__(self) -> int:
        """Count the people of whom enough is visible."""
        return len(self._people)

    def person(self, index: int) -> Person:
        """Decode the picture of one person and attach the truth."""
        number, who = self._people[index]
        chunk = self._chunks[number]
        frame = int(chunk.frame[who])
        inside = chunk.inside[who]
        joints_px, joints_m = chunk.joints_px[who], chunk.joints_m[who]
        return Person(
            image=np.ascontiguousarray(chunk.image(frame)[:, :, ::-1]),
            box_px=chunk.box_px[who],
            reach_px=reach_of(joints_px, joints_m),
            joints_px=joints_px,
            weight_2d=np.where(inside, 1.0, OUTSIDE_WEIGHT).astype(np.float32),
            joints_m=joints_m,
            visible=chunk.visible[who],
            camera_matrix=chunk.camera_matrix[frame],
            foreground=chunk.soft(frame) if self._with_foreground else None,
        )


class RealPeople:
    """People of teacher-labelled folders: the groups to train on, the held-out ones, or all."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        held_out: bool | None,
        invented: People | None = None,
        with_foreground: bool = False,
    ) -> None:
        """Read the labels of every folder.

        Args:
            folders: folders of labels, which may still be growing.
            held_out: which groups to take; None for all, in folders never trained on.
            invented: people who are not there, for half of the squares that show nobody.
            with_foreground: whether to decode the teacher's masks of people too.

        """
        self._invented = invented
        self._with_foreground = with_foreground
        self._images: list[LabelledImage] = [
            image
            for folder in folders
            for image in read_labels(folder)
            if held_out is None or is_held_out(image.group) == held_out
        ]
        self._people = [
            (number, person)
            for number, image in enumerate(self._images)
            for person, label in enumerate(image.people)
            if _is_sound(label)
        ]

    def __len__(self) -> int:
        """Count the labelled people."""
        return len(self._people)

    def person(self, index: int) -> Person:
        """Decode the picture of one person; the teacher's 2D weighs as much as it is sure."""
        number, who = self._people[index]
        image = self._images[number]
        person = image.people[who]
        return Person(
            image=image.image(),
            box_px=person.box_px,
            reach_px=person.reach_px,
            joints_px=person.joints_px,
            weight_2d=person.confidence,
            foreground=_people_of(image) if self._with_foreground else None,
        )

    def clip(self, index: int, frames: int) -> list[Person]:
        """Look at one person's place in this and the next pictures of the same group.

        Runs of one clip go on into each other.  A group that ends too soon stays at its last
        picture.  Only the first has joints.
        """
        number, _ = self._people[index]
        first = self.person(index)
        clip = [first]
        for before, image in pairwise(self._images[number : number + frames]):
            if not goes_on(before.group, image.group):
                break
            clip.append(
                replace(
                    first,
                    image=image.image(),
                    weight_2d=np.zeros_like(first.weight_2d),
                    foreground=_people_of(image) if self._with_foreground else None,
                )
            )
        return clip + clip[-1:] * (frames - len(clip))

    def nobody(self, rng: np.random.Generator) -> Person | None:
        """Cut a square that touches nobody known or guessed; None where there was none to find."""
        if self._invented is not None and rng.random() < 0.5:
            return self._invented.person(int(rng.integers(len(self._invented))))
        for _ in range(_LOST_PATIENCE):
            image = self._images[int(rng.integers(len(self._images)))]
            size = np.array([image.width_px, image.height_px], np.float32)
            side = float(rng.uniform(0.12, 0.5)) * float(size.min())
            low = rng.uniform(0, 1, 2) * (size - side)
            box = np.array([*low, *(low + side)], np.float32)
            known = boxes_of_anybody(image)
            apart = (
                (known[:, 2] < box[0])
                | (known[:, 0] > box[2])
                | (known[:, 3] < box[1])
                | (known[:, 1] > box[3])
            )
            if apart.all():
                person = nobody_in(image.image(), box)
                foreground = _people_of(image) if self._with_foreground else None
                return replace(person, foreground=foreground)
        return None


def nobody_in(
    image: UInt8[np.ndarray, "height width 3"], box_px: Float32[np.ndarray, "4"]
) -> Person:
    """Return a person who is not there, as large as somebody who would fill the box."""
    x, (top, bottom) = (box_px[0] + box_px[2]) / 2, (box_px[1], box_px[3])
    hips, head = (top + share * (bottom - top) for share in (0.5, 0.1))
    return Person(
        image=image,
        box_px=box_px,
        reach_px=np.array([(x, hips), (x, head)], np.float32),
        joints_px=np.zeros((skeleton.NUM_JOINTS, 2), np.float32),
        weight_2d=np.zeros(skeleton.NUM_JOINTS, np.float32),
        presence=False,
    )


def _people_of(image: LabelledImage) -> UInt8[np.ndarray, "height width"]:
    """Join the masks of all labelled people of a picture."""
    foreground = np.zeros((image.height_px, image.width_px), np.uint8)
    for person in image.people:
        np.maximum(foreground, person.mask(), out=foreground)
    return foreground


def _is_sound(label: LabelledPerson) -> bool:
    """Tell whether the teacher's first look, for the reach, and last, for the joints, agree."""
    hips_px, top_px = label.reach_px
    away_px = np.linalg.norm(label.joints_px[skeleton.ROOT] - hips_px)
    return bool(away_px < _SAME_HIPS * np.linalg.norm(top_px - hips_px))


def is_held_out(group: str) -> bool:
    """Tell whether a real group is kept for evaluation; of the first two runs the second is."""
    run = run_number(group)
    lot = zlib.crc32(group.encode()) if run is None else run - 1
    return lot % _HELD_OUT_SHARE == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Shares of a batch; what is left is real people."""

    rendered: float = 0.5
    nobody: float = 0.04


Stem = Callable[[Float32[np.ndarray, "batch 3 height width"]], Float32[np.ndarray, "..."]]
"""A frozen first part of the network, run where the data is made."""


Cut = Callable[[Person, Augmentation, np.random.Generator], TrainingCrop]
"""Makes a crop of a person."""


class PoseBatches(IterableDataset[Batch]):
    """An endless stream of batches; each sample depends on the seed and its number alone."""

    def __init__(
        self,
        rendered: People,
        real: PeopleOrNobody,
        *,
        mixture: Mixture,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        make_stem: Callable[[], Stem] | None = None,
        with_foreground: bool = False,
    ) -> None:
        """Keep the recipe; `make_stem` is called once in each worker."""
        self._rendered = rendered
        self._real = real
        self._mixture = mixture
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._seed = seed
        self._make_stem = make_stem
        self._with_foreground = with_foreground
        self.cut: Cut = make_crop
        self.follows = False
        self.first_batch = 0

    def after(self, batches: int) -> "PoseBatches":
        """Return the same stream as it goes on after so many batches."""
        going_on = copy(self)
        going_on.first_batch = batches
        return going_on

    def cut_by(self, cut: Cut, *, follows: bool) -> "PoseBatches":
        """Return a stream whose crops are made in another way.

        Args:
            cut: makes each of them.
            follows: whether to take in what is rendered meanwhile; what is drawn then depends on
                the speed of the machine, too.

        """
        other = copy(self)
        other.cut, other.follows = cut, follows
        return other

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        cv2.setNumThreads(1)
        rendered = self._rendered
        stem = self._make_stem() if self._make_stem is not None else None
        for turn, number in enumerate(batch_numbers(self.first_batch)):
            if self.follows and turn % _FOLLOW_EVERY == 0 and isinstance(rendered, RenderedPeople):
                rendered.look_again()
            crops = [
                self.cut(self._draw(rng), self._augmentation, rng)
                for rng in sample_rngs(self._seed, number, self._batch_size)
            ]
            yield collate(crops, stem, with_foreground=self._with_foreground)

    def _draw(self, rng: np.random.Generator) -> Person:
        lot = rng.random()
        if lot < self._mixture.nobody:
            nobody = self._real.nobody(rng)
            if nobody is not None:
                return nobody
        people: People = self._rendered if lot < self._mixture.rendered else self._real
        return people.person(int(rng.integers(len(people))))


def collate(
    crops: Sequence[TrainingCrop], stem: Stem | None, *, with_foreground: bool = False
) -> Batch:
    """Stack crops, pictures and masks in bytes; a stem's answer takes the pictures' place."""
    images: UInt8[np.ndarray, "batch 3 side side"] = np.stack([crop.image for crop in crops])
    seen = images if stem is None else stem(images.astype(np.float32) / 255)
    batch = {
        "input": torch.from_numpy(seen),
        "joints_px": torch.from_numpy(np.stack([crop.joints_px for crop in crops])),
        "weight_2d": torch.from_numpy(np.stack([crop.weight_2d for crop in crops])),
        "joints_m": torch.from_numpy(np.stack([crop.joints_m for crop in crops])),
        "reach_px": torch.from_numpy(np.stack([crop.reach_px for crop in crops])),
        "has_3d": torch.tensor([crop.has_3d for crop in crops]),
        "visible": torch.from_numpy(np.stack([crop.visible for crop in crops])),
        "presence": torch.tensor([float(crop.presence) for crop in crops]),
        "focal_px": torch.tensor([crop.focal_px for crop in crops]),
    }
    if with_foreground:
        nobody = np.zeros(images.shape[2:], np.uint8)
        masks = [nobody if crop.foreground is None else crop.foreground for crop in crops]
        batch["foreground"] = torch.from_numpy(np.stack(masks))
        batch["has_foreground"] = torch.tensor([crop.foreground is not None for crop in crops])
    return batch
