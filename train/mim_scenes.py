"""What masked image modelling looks at: folders of any kind in, persons and places of them out.

In: folders made by `train synth` (exact masks of people), by `train label` (the teacher's), or of
pictures about which nobody said anything.  Out: `Scenes`, from which crops can be drawn with a
seed.  Labels give the place of a crop and its mask, and are not used otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose import skeleton
from edge_pose.errors import SourceError
from edge_pose.region import REACH
from train.label_cache import is_labelled
from train.own_footage import own_pictures
from train.pose_augment import Person
from train.pose_data import RealPeople, RenderedPeople
from train.sources import Still
from train.synth.dataset import is_rendered

_SIDE: Final = (0.3, 1.0)
"""Of a square drawn blindly, over the shorter side of its picture."""


@runtime_checkable
class Scenes(Protocol):
    """Anything that crops can be drawn from."""

    def __len__(self) -> int:
        """Count what can be drawn, so that larger folders are drawn from more often."""
        ...

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw one place in successive pictures; a still is a clip in which nothing moves."""
        ...

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw a place without people, as far as anybody knows; None where there is none."""
        ...


class RenderedScenes:
    """Rendered people; every picture stands alone, and no place is known to be empty."""

    def __init__(self, folder: Path) -> None:
        """Read a folder made by `train synth`."""
        self._people = RenderedPeople(folder, with_foreground=True)

    def __len__(self) -> int:
        """Count the people."""
        return len(self._people)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw one person."""
        return [self._people.person(int(rng.integers(len(self))))] * frames

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw nothing."""
        del rng
        return None


class RealScenes:
    """People whom the teachers found in real pictures, of groups that may be trained on."""

    def __init__(self, folder: Path) -> None:
        """Read a folder made by `train label`."""
        self._people = RealPeople([folder], held_out=False, with_foreground=True)

    def __len__(self) -> int:
        """Count the people."""
        return len(self._people)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw one person and what comes after in the same place."""
        return self._people.clip(int(rng.integers(len(self))), frames)

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw a square that touches nobody whom the teachers found."""
        return self._people.nobody(rng)


class PictureScenes:
    """Pictures without any label: squares drawn blindly, people's masks unknown."""

    def __init__(self, folder: Path) -> None:
        """List a folder of pictures; those of a subfolder in order of their names are a clip."""
        self._files = own_pictures(folder, name=folder.name, licence="the user's own").files

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._files)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw a square of one picture and of those after it."""
        number = int(rng.integers(len(self)))
        files = self._following(number, frames)
        first = _read(files[0].path)
        box_px = _square(first.shape[:2], rng)
        return [
            _nobody(first if index == 0 else _read(still.path), box_px)
            for index, still in enumerate(files)
        ]

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw a square; people in it whom nobody labelled count as background."""
        return self.clip(rng, 1)[0]

    def _following(self, number: int, frames: int) -> list[Still]:
        group = self._files[number].group
        files = [still for still in self._files[number : number + frames] if still.group == group]
        return files + files[-1:] * (frames - len(files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Several folders as one."""

    parts: tuple[Scenes, ...]

    def __len__(self) -> int:
        """Count what can be drawn from all of them."""
        return sum(map(len, self.parts))

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw from one of them, by its share."""
        return self._one(rng).clip(rng, frames)

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw from one of them, by its share."""
        return self._one(rng).background(rng)

    def _one(self, rng: np.random.Generator) -> Scenes:
        lot = int(rng.integers(len(self)))
        for part in self.parts:
            if lot < len(part):
                return part
            lot -= len(part)
        raise AssertionError(lot)


def open_scenes(folders: Sequence[Path]) -> Domain:
    """Open folders by what is in them.

    Raises:
        SourceError: a folder holds nothing to learn from.

    """
    parts = tuple(_open(folder) for folder in folders)
    for folder, part in zip(folders, parts, strict=True):
        if not len(part):
            raise SourceError(
                f"{folder} holds nobody of whom enough is visible; render or label more pictures."
            )
    return Domain(parts=parts)


def _open(folder: Path) -> Scenes:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; name one with pictures to learn from.")
    if is_rendered(folder):
        return RenderedScenes(folder)
    if is_labelled(folder):
        return RealScenes(folder)
    return PictureScenes(folder)


@lru_cache(maxsize=64)
def _read(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(
            f"{path} cannot be read as a picture; remove it or save it again as JPEG."
        )
    return np.asarray(image, np.uint8)


def _square(size: tuple[int, ...], rng: np.random.Generator) -> Float32[np.ndarray, "4"]:
    height, width = size
    side = rng.uniform(*_SIDE) * min(height, width)
    low = rng.uniform(0, 1, 2) * (np.array([width, height]) - side)
    return np.array([*low, *(low + side)], np.float32)


def _nobody(image: UInt8[np.ndarray, "height width 3"], box_px: Float32[np.ndarray, "4"]) -> Person:
    """Make the square a crop's place, for a person of whom nothing is known."""
    middle = (box_px[:2] + box_px[2:]) / 2
    top = middle - [0, (box_px[3] - box_px[1]) / REACH]
    return Person(
        image=image,
        box_px=box_px,
        reach_px=np.stack([middle, top]).astype(np.float32),
        joints_px=np.zeros((skeleton.NUM_JOINTS, 2), np.float32),
        weight_2d=np.zeros(skeleton.NUM_JOINTS, np.float32),
        presence=False,
    )
