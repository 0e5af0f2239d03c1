"""Scenes whose masks are not taken as they come: some spoiled for an audit, some left out as bad.

In: `Scenes` to learn from, and an `Audit` or the marks of masks that were found wanting.  Out: the
same scenes with other masks; pictures, boxes and joints stay as they are.
"""

import zlib
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float32

from train.foreground_audit import Audit
from train.mim_scenes import Scenes
from train.pose_augment import Person

_PATIENCE: Final = 20
"""Draws until somebody else is found whose mask can be taken."""


def mark_of(box_px: Float32[np.ndarray, "4"], joints_px: Float32[np.ndarray, "joints 2"]) -> int:
    """Return a number for who stands where: the same whenever the same label is read."""
    return zlib.crc32(box_px.tobytes() + joints_px.tobytes())


class AuditedScenes:
    """Scenes some of whose masks are wrong on purpose."""

    def __init__(self, scenes: Scenes, audit: Audit) -> None:
        """Wrap scenes; people without a mask stay without."""
        self._scenes = scenes
        self._audit = audit

    def __len__(self) -> int:
        """Count what can be drawn."""
        return len(self._scenes)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw a place, with a spoiled mask if that is this person's lot."""
        return [self._spoiled(person) for person in self._scenes.clip(rng, frames)]

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw a place without people, which has no mask to spoil."""
        return self._scenes.background(rng)

    def _spoiled(self, person: Person) -> Person:
        if person.foreground is None:
            return person
        number = mark_of(person.box_px, person.joints_px)

        def stranger(rng: np.random.Generator) -> np.ndarray | None:
            for _ in range(_PATIENCE):
                (other,) = self._scenes.clip(rng, 1)
                if mark_of(other.box_px, other.joints_px) != number:
                    return other.foreground
            return None

        return replace(person, foreground=self._audit.spoil(person.foreground, number, stranger))


class SiftedScenes:
    """Scenes without the masks that were found wanting: there, nobody knows where people are."""

    def __init__(self, scenes: Scenes, left_out: AbstractSet[int]) -> None:
        """Wrap scenes; `left_out` holds the marks (`mark_of`) of people whose masks are bad."""
        self._scenes = scenes
        self._left_out = left_out

    def __len__(self) -> int:
        """Count what can be drawn."""
        return len(self._scenes)

    def clip(self, rng: np.random.Generator, frames: int) -> list[Person]:
        """Draw a place, without its mask if that is bad."""
        return [
            replace(person, foreground=None)
            if mark_of(person.box_px, person.joints_px) in self._left_out
            else person
            for person in self._scenes.clip(rng, frames)
        ]

    def background(self, rng: np.random.Generator) -> Person | None:
        """Draw a place without people."""
        return self._scenes.background(rng)
