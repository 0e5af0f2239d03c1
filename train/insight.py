"""Which postures a network's units tell apart, and pictures of where it looks and what moves them.

In: features with joints in metres, or a pose network with crops of people.  Out: selectivity for
postures that a factory cares about, for `train.report_rows.network`, and two PNGs for a report.

Joints lie in the axes of the crop's ray, in which nobody knows which way is down: cameras look from
above, and of somebody lying the crop stands upright.  So postures are told from the body alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from edge_pose.skeleton import INDEX
from train.attention import rollout
from train.look import all_layers, look, tokens_and_answer
from train.pose_augment import TrainingCrop
from train.probes import as_map
from train.report_pictures import attention_over, rollout_heat, save, unit_responses
from train.report_results import Picture
from train.representation import Selectivity, selectivity
from train.vit_pose import VitPose

RAISED: Final = "a hand above its shoulder"
BENT: Final = "hips bent"
BEHIND: Final = "seen from behind"
LEAST: Final = 10
"""Fewer people with a posture, or without it, say nothing about units."""
_BENT_DEG: Final = 30.0
"""Between trunk and legs.  Standing and walking stay below 10 on average, rendered people who sit,
squat or lift are above 50.
"""
_SHUFFLES: Final = 99
"""A unit that beats the best unit of each of so many shuffles does so by chance once in 100."""
_UNITS: Final = 5
_TOP: Final = 6
_AT_ONCE: Final = 32

Joints = Float[np.ndarray, "people joints 3"]


def postures_of(joints_m: Joints) -> dict[str, Bool[np.ndarray, "people"]]:
    """Tell who has which posture; without postures that hardly anybody has or lacks.

    A hand is above its shoulder that is farther along the trunk, from pelvis to neck; hips are bent
    where that leaves the line from ankles to pelvis by more than 30 degrees, in sitting too; from
    behind is seen whose chest points away from the camera.
    """
    trunk = _at(joints_m, "neck") - _at(joints_m, "pelvis")
    sides = ("left", "right")
    arms = (_at(joints_m, f"{side}_wrist") - _at(joints_m, f"{side}_shoulder") for side in sides)
    above = [_along(arm, trunk) > 0 for arm in arms]
    ankles = (_at(joints_m, "left_ankle") + _at(joints_m, "right_ankle")) / 2
    legs = _at(joints_m, "pelvis") - ankles
    lengths = np.linalg.norm(trunk, axis=1) * np.linalg.norm(legs, axis=1)
    across = _at(joints_m, "left_shoulder") - _at(joints_m, "right_shoulder")
    found = {
        RAISED: above[0] | above[1],
        BENT: _along(legs, trunk) < np.cos(np.radians(_BENT_DEG)) * lengths,
        BEHIND: np.cross(across, trunk)[:, 2] > 0,
    }
    return {name: has for name, has in found.items() if LEAST <= has.sum() <= len(has) - LEAST}


def selective_of(
    features: Float[np.ndarray, "people units"], joints_m: Joints
) -> dict[str, Selectivity]:
    """Measure for each posture how well units tell who has it; silent ones would dilute shares."""
    answers = features[:, np.ptp(features, axis=0) > 0]
    postures = postures_of(joints_m) if answers.size else {}
    return {name: selectivity(answers, has) for name, has in postures.items()}


def telling_units(
    peaks: Float[np.ndarray, "people units"], postures: Mapping[str, Bool[np.ndarray, "people"]]
) -> dict[str, int]:
    """Return the unit that best tells each posture by answering more to it, if any beats chance.

    The best of many units looks selective by luck; so chance is the best of all units, too.
    """
    random = np.random.default_rng(0)
    found = {}
    for name, has in postures.items():
        shuffled = (random.permutation(has) for _ in range(_SHUFFLES))
        chance = max(selectivity(peaks, lot, shuffles=1).shares.max() for lot in shuffled)
        eager = peaks[has].mean(axis=0) > peaks[~has].mean(axis=0)
        shares = np.where(eager, selectivity(peaks, has, shuffles=1).shares, 0.0)
        if shares.max() > chance:
            found[name] = int(shares.argmax())
    return found


def choosy_units(peaks: Float[np.ndarray, "people units"]) -> list[int]:
    """Order units by how far their few strongest answers stand above those to nine in ten people.

    Units that saturate for many, as those of the student do at 6, come last with the silent ones.
    """
    strongest = np.sort(peaks, axis=0)[-_TOP:].mean(axis=0)
    gap = strongest - np.quantile(peaks, 0.9, axis=0)
    return [int(unit) for unit in np.argsort(-gap, kind="stable")]


@torch.no_grad()
def attention_heat(network: nn.Module, image: Tensor) -> Float[np.ndarray, "n rows columns"]:
    """Return how much of each place arrives, by rollout, of pictures [n, 3, 256, 256] in 0..1.

    Where layers have maps of different sizes, the rollout follows those as large as the first.
    """
    every = all_layers(network)
    logits = look(network, image.to(_device(network)), every)[1]
    alike = [logits[layer] for layer in every if logits[layer].shape == logits[every[0]].shape]
    return rollout_heat(rollout(alike))


def attention_picture(
    network: nn.Module, crops: Sequence[TrainingCrop], path: Path, *, who: str, folder: Path
) -> Picture:
    """Draw where a network looks in a handful of crops; arguments as of `unit_picture`."""
    images = _images(crops)
    save(attention_over(images, attention_heat(network, torch.from_numpy(images))), path)
    if isinstance(network, VitPose):
        said = "Attention through all layers: bright is what most of the answer is made of."
    else:
        said = (
            "A convolutional network has no attention; bright is what looks to it like much of "
            "the rest of the picture, dark what stands out."
        )
    return Picture(title=f"Where it looks, {who}", caption=said, path=_below(path, folder))


def unit_picture(
    network: nn.Module, crops: Sequence[TrainingCrop], path: Path, *, who: str, folder: Path
) -> Picture:
    """Draw what units answer to most: those that best tell a posture, then choosy ones.

    Args:
        network: a transformer or a convolutional student.
        crops: of people, here with 3D truth.
        path: of the PNG, below `folder`.
        who: name of the network in the title.
        folder: where the file lies that will name the picture.

    """
    assert all(crop.has_3d for crop in crops), "postures are told from 3D truth"
    images = _images(crops)
    responses = _responses(network, images)
    peaks = responses.max(axis=(2, 3))
    postures = postures_of(np.stack([crop.joints_m for crop in crops]))
    told = telling_units(peaks, postures)
    units = list(dict.fromkeys([*told.values(), *choosy_units(peaks)]))[:_UNITS]
    save(unit_responses(images, responses, units, top=_TOP), path)
    said = [f"Unit {unit} answers to: {name}." for name, unit in told.items()]
    said += [f"No unit tells better than chance: {name}." for name in postures.keys() - told.keys()]
    others = "Other units are those that answer to few people, and strongly."
    return Picture(
        title=f"What units answer to most, {who}",
        caption=" ".join([*sorted(said), others]),
        path=_below(path, folder),
    )


@torch.no_grad()
def _responses(
    network: nn.Module, images: Float32[np.ndarray, "n 3 height width"]
) -> Float32[np.ndarray, "n units rows columns"]:
    """Lay out what a network makes of each place."""
    found = []
    for first in range(0, len(images), _AT_ONCE):
        portion = torch.from_numpy(images[first : first + _AT_ONCE]).to(_device(network))
        tokens, _ = tokens_and_answer(network, portion)
        found.append(as_map(tokens).float().cpu().numpy())
    return np.concatenate(found)


def _images(crops: Sequence[TrainingCrop]) -> Float32[np.ndarray, "n 3 height width"]:
    return np.stack([crop.image for crop in crops]).astype(np.float32) / 255


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _at(joints_m: Joints, name: str) -> Float[np.ndarray, "people 3"]:
    return joints_m[:, INDEX[name]]


def _along(
    one: Float[np.ndarray, "people 3"], other: Float[np.ndarray, "people 3"]
) -> Float[np.ndarray, "people"]:
    return (one * other).sum(axis=1)
