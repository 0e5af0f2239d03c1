"""What a network thinks of real people in 3D, told the places that a teacher's labels give.

In: a network that knows something, and real people, in blocks of wide crops (`opinions`) or in
folders (`HeldPeople`).  Out: the same people, who have joints in metres too: what the trunk says of
the square about the body and of its mirror image, and what its lifter, if it has one, makes of the
teacher's places.  A network that learns from renderings holds to that, and does not unlearn
photographs.

Told the places of the teacher, the opinion at the desk is 84 mm (PA 52) from the truth instead of
89 (57): docs/log.md, 26 November 2026.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from edge_pose import skeleton
from edge_pose.region import region_of_body
from train.agreement import both_ways
from train.disturb import WIDE_PX
from train.lifter import Lifter, moved
from train.pool import Told, arrived, cut_wide
from train.pose_augment import Augmentation, Person
from train.pose_data import PeopleOrNobody, collate
from train.student import INPUT_SIZE_PX, PoseNet, both_opinions

_EDGE_PX: Final = (WIDE_PX - INPUT_SIZE_PX) // 2
_AT_ONCE: Final = 32
_FAR_PX: Final = 1e6
"""Focal length of a camera so far away that all rays are parallel: opinions are about squares."""


def opinions(network: PoseNet) -> Told:
    """Return what asks a network about each block; it stays as it is."""
    lifter = network.lifter

    @torch.no_grad()
    def told(block: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        middle = slice(_EDGE_PX, _EDGE_PX + INPUT_SIZE_PX)
        seen = block["image"][:, :, middle, middle].float() / 255
        plain = network.seen(seen)
        joints_m = both_ways(plain, network.seen(seen.flip(3)))["joints_m"]
        if lifter is not None:
            joints_m = both_opinions(joints_m, _lifted(lifter, block, plain, joints_m))
        rendered = block["has_3d"][:, None, None]
        return {**block, "joints_m": torch.where(rendered, block["joints_m"], joints_m)}

    return told


def _lifted(
    lifter: Lifter, block: Mapping[str, Tensor], answer: Mapping[str, Tensor], joints_m: Tensor
) -> Tensor:
    """Lift the teacher's places, as far as it is sure of them, and else the network's own."""
    own_px, own_logits = answer["joints_px"], answer["score_logits"]
    places_px, logits = moved(own_px, own_logits, block["joints_px"], block["weight_2d"])
    lifted_m: Tensor = lifter(places_px, logits, joints_m)
    return lifted_m


class HeldPeople:
    """Real people with joints in metres too, an opinion, for where crops are made one by one."""

    def __init__(
        self, people: PeopleOrNobody, joints_m: Float32[np.ndarray, "people joints 3"]
    ) -> None:
        """Join people and what a network thinks of them, by their numbers; picture axes."""
        self._people = people
        self._joints_m = joints_m

    def __len__(self) -> int:
        """Count the people."""
        return len(self._people)

    def person(self, index: int) -> Person:
        """Decode one, with what is thought of them."""
        person = self._people.person(index)
        height, width = person.image.shape[:2]
        matrix = np.array([[_FAR_PX, 0, width / 2], [0, _FAR_PX, height / 2], [0, 0, 1.0]])
        joints_m = self._joints_m[index]
        return replace(person, joints_m=joints_m, camera_matrix=matrix, is_opinion=True)

    def nobody(self, rng: np.random.Generator) -> Person | None:
        """Cut a square without anybody, as `RealPeople` does."""
        return self._people.nobody(rng)


def ask_once(
    make_network: Callable[[], PoseNet], people: PeopleOrNobody, path: Path
) -> Float32[np.ndarray, "people joints 3"]:
    """Return what a network thinks of everybody, in picture axes; kept in a file for next time.

    Where the file is there, no network is made.
    """
    if path.exists():
        kept: Float32[np.ndarray, "people joints 3"] = np.load(path)
        return kept
    network = make_network().eval()
    told = opinions(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    found = np.zeros((len(people), skeleton.NUM_JOINTS, 3), np.float32)
    rng = np.random.default_rng(0)
    for first in tqdm(range(0, len(people), _AT_ONCE), desc="asking what to hold to", unit="block"):
        numbers = range(first, min(first + _AT_ONCE, len(people)))
        asked = [people.person(number) for number in numbers]
        crops = [cut_wide(person, Augmentation(), rng) for person in asked]
        joints_m = told(arrived(collate(crops, None)))["joints_m"].cpu().numpy()
        for number, person, in_crop_m in zip(numbers, asked, joints_m, strict=True):
            region = region_of_body(person.reach_px)
            picture_from_crop = np.eye(3)
            picture_from_crop[:2, :2] = region.image_from_region(INPUT_SIZE_PX)[:, :2]
            picture_from_crop[:2, :2] *= INPUT_SIZE_PX / region.side_px
            found[number] = in_crop_m @ picture_from_crop.T
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, found)
    part.replace(path)
    return found
