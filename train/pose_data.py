"""Batches for the pose network: rendered people with 3D truth, real ones with 2D, and nobody.

In: folders written by `python -m train synth` and `python -m train label`.  Out: an endless, seeded
stream of batches (dicts of tensors).  Real groups (a clip, a scene) are held out whole, by a hash
of their name.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch.utils.data import IterableDataset

from edge_pose import skeleton
from train.label_cache import LabelledImage, LabelledPerson, read_labels
from train.pose_augment import OUTSIDE_WEIGHT, Augmentation, Person, TrainingCrop, make_crop
from train.reach import reach_of
from train.synth.dataset import Chunk, read_chunk

Batch = dict[str, torch.Tensor]

_LEAST_VISIBLE: Final = 0.25
"""Rendered people of whom less is to be seen teach nothing."""
_LEAST_SIDE_PX: Final = 40
"""Smaller ones are a blur in which nobody could point at a joint."""
_HELD_OUT_SHARE: Final = 10
"""One real group in so many is never trained on."""
_LOST_PATIENCE: Final = 20
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


class RenderedPeople:
    """People of rendered folders; JPEGs stay compressed in memory."""

    def __init__(self, *folders: Path) -> None:
        """Read every chunk of the folders."""
        self._chunks: list[Chunk] = [
            read_chunk(path) for folder in folders for path in sorted(folder.glob("chunk-*.npz"))
        ]
        self._people = [
            (number, person)
            for number, chunk in enumerate(self._chunks)
            for person in np.flatnonzero(
                (chunk.visible_fraction > _LEAST_VISIBLE)
                & (chunk.visible.sum(1) >= 5)
                & ((chunk.box_px[:, 2:] - chunk.box_px[:, :2]).max(1) >= _LEAST_SIDE_PX)
            )
        ]

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
        )


class RealPeople:
    """People of teacher-labelled folders: the groups to train on, the held-out ones, or all."""

    def __init__(self, folders: Sequence[Path], *, held_out: bool | None) -> None:
        """Read the labels of every folder; `held_out` is None for folders never trained on."""
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
        )

    def nobody(self, rng: np.random.Generator) -> Person | None:
        """Cut a square that touches no known person; None where there was none to find."""
        for _ in range(_LOST_PATIENCE):
            image = self._images[int(rng.integers(len(self._images)))]
            size = np.array([image.width_px, image.height_px], np.float32)
            side = float(rng.uniform(0.12, 0.5)) * float(size.min())
            low = rng.uniform(0, 1, 2) * (size - side)
            box = np.array([*low, *(low + side)], np.float32)
            known = np.concatenate(
                [image.detected_px, np.array([p.box_px for p in image.people]).reshape(-1, 4)]
            )
            apart = (
                (known[:, 2] < box[0])
                | (known[:, 0] > box[2])
                | (known[:, 3] < box[1])
                | (known[:, 1] > box[3])
            )
            if apart.all():
                return Person(
                    image=image.image(),
                    box_px=box,
                    reach_px=np.array(
                        [(low + side / 2), low + side * np.array([0.5, 0.1])], np.float32
                    ),
                    joints_px=np.zeros((skeleton.NUM_JOINTS, 2), np.float32),
                    weight_2d=np.zeros(skeleton.NUM_JOINTS, np.float32),
                    presence=False,
                )
        return None


def _is_sound(label: LabelledPerson) -> bool:
    """Tell whether the teacher's first look, for the reach, and last, for the joints, agree."""
    hips_px, top_px = label.reach_px
    away_px = np.linalg.norm(label.joints_px[skeleton.ROOT] - hips_px)
    return bool(away_px < _SAME_HIPS * np.linalg.norm(top_px - hips_px))


def is_held_out(group: str) -> bool:
    """Tell whether a real group is kept for evaluation."""
    return zlib.crc32(group.encode()) % _HELD_OUT_SHARE == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Shares of a batch; what is left is real people."""

    rendered: float = 0.5
    nobody: float = 0.04


Stem = Callable[[Float32[np.ndarray, "batch 3 height width"]], Float32[np.ndarray, "..."]]
"""A frozen first part of the network, run where the data is made."""


class PoseBatches(IterableDataset[Batch]):
    """An endless stream of batches; the same seed and worker count give the same stream."""

    def __init__(
        self,
        rendered: People,
        real: RealPeople,
        *,
        mixture: Mixture,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        make_stem: Callable[[], Stem] | None = None,
    ) -> None:
        """Keep the recipe; `make_stem` is called once in each worker."""
        self._rendered = rendered
        self._real = real
        self._mixture = mixture
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._seed = seed
        self._make_stem = make_stem

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self._seed, worker.id if worker is not None else 0])
        stem = self._make_stem() if self._make_stem is not None else None
        while True:
            crops = [
                make_crop(self._draw(rng), self._augmentation, rng) for _ in range(self._batch_size)
            ]
            yield collate(crops, stem)

    def _draw(self, rng: np.random.Generator) -> Person:
        lot = rng.random()
        if lot < self._mixture.nobody:
            nobody = self._real.nobody(rng)
            if nobody is not None:
                return nobody
        people: People = self._rendered if lot < self._mixture.rendered else self._real
        return people.person(int(rng.integers(len(people))))


def collate(crops: Sequence[TrainingCrop], stem: Stem | None) -> Batch:
    """Stack crops; with a stem, what it made of the pictures takes their place."""
    images: UInt8[np.ndarray, "batch 3 side side"] = np.stack([crop.image for crop in crops])
    pictures = images.astype(np.float32) / 255
    return {
        "input": torch.from_numpy(pictures if stem is None else stem(pictures)),
        "joints_px": torch.from_numpy(np.stack([crop.joints_px for crop in crops])),
        "weight_2d": torch.from_numpy(np.stack([crop.weight_2d for crop in crops])),
        "joints_m": torch.from_numpy(np.stack([crop.joints_m for crop in crops])),
        "reach_px": torch.from_numpy(np.stack([crop.reach_px for crop in crops])),
        "has_3d": torch.tensor([crop.has_3d for crop in crops]),
        "visible": torch.from_numpy(np.stack([crop.visible for crop in crops])),
        "presence": torch.tensor([float(crop.presence) for crop in crops]),
    }
