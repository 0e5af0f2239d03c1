"""Which crops calibrate a network, and which judge it: drawn from folders, named and hashed.

In: folders of `python -m train synth` and `python -m train label`.  Out: crops as the appliance
would cut them, with their labels, and the list that names each by folder, number and sha256, so
that a report can say what it stands on and anyone can draw the same again.  People to calibrate on
are those that training may see; real groups held out from it are drawn only on request.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edge_pose.errors import ConfigError
from edge_pose.region import region_of_body
from train.label_cache import is_labelled
from train.pose_augment import TrainingCrop, cut_crop
from train.pose_data import People, RealPeople, RenderedPeople
from train.spread import spread
from train.synth.dataset import is_rendered

Picture = UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropName:
    """One crop: the person `number` of a folder, and what its pixels hash to."""

    folder: str
    number: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CropList:
    """Crops by name, in the order in which they were drawn."""

    name: str
    crops: tuple[CropName, ...]

    @property
    def sha256(self) -> str:
        """Hash of all crops' hashes; equal for equal pixels in equal order, wherever they lie."""
        return sha256("".join(crop.sha256 for crop in self.crops).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the list as JSON."""
        table = {"sha256": self.sha256, **asdict(self)}
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Crops with their labels, and the list that names them."""

    names: CropList
    crops: tuple[TrainingCrop, ...]

    @property
    def pictures(self) -> list[Picture]:
        """The crops as an engine is fed: BGR, channels last."""
        return [np.ascontiguousarray(crop.image[::-1].transpose(1, 2, 0)) for crop in self.crops]


def draw(name: str, folders: Sequence[Path], *, most: int, held_out: bool = False) -> Drawn:
    """Draw crops evenly from the folders and evenly spread in each.

    Args:
        name: what the list is called.
        folders: rendered or labelled people; of the latter, groups to train on.
        most: how many crops in all; what a small folder cannot give the others give.
        held_out: take the real groups that training never sees instead.

    """
    everybody = [people_of(folder, held_out=held_out) for folder in folders]
    names: list[CropName] = []
    crops: list[TrainingCrop] = []
    shares = _shares([len(people) for people in everybody], most)
    for folder, people, share in zip(folders, everybody, shares, strict=True):
        for number in spread(len(people), share):
            person = people.person(number)
            crop = cut_crop(person, region_of_body(person.reach_px))
            crops.append(crop)
            pixels = sha256(np.ascontiguousarray(crop.image).tobytes()).hexdigest()
            names.append(CropName(folder=folder.name, number=number, sha256=pixels))
    if not crops:
        raise ConfigError(
            f"there is nobody {'held out ' if held_out else ''}in "
            f"{', '.join(map(str, folders)) or 'no folder'}; name folders of `train synth` or "
            "`train label` that show people"
        )
    return Drawn(names=CropList(name=name, crops=tuple(names)), crops=tuple(crops))


def people_of(folder: Path, *, held_out: bool) -> People:
    """Read a folder of either kind, told apart by the names of its files."""
    if is_rendered(folder):
        return RenderedPeople(folder)
    if is_labelled(folder):
        return RealPeople([folder], held_out=held_out)
    raise ConfigError(
        f"{folder} holds neither rendered chunks nor labels; name a folder written by "
        "`python -m train synth` or `python -m train label`"
    )


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """Share `most` evenly, what small ones cannot give among the larger."""
    shares = [0] * len(counts)
    left = most
    smallest_first = sorted(range(len(counts)), key=counts.__getitem__)
    for rank, number in enumerate(smallest_first):
        shares[number] = min(counts[number], left // (len(counts) - rank))
        left -= shares[number]
    return shares
