"""The stages of an adaptation, each a folder that goes on where it stopped: paths in, networks out.

In: an `Assignment` (which folders, which networks, how much effort) and one way through the stages
(`train.ablation`).  Out: run folders below the assignment's own, and the networks that they hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from train.ablation import FirstStage, Variant
from train.adapt_stage import Plan, adapt, method_of
from train.adaptation_methods import read_method, require_selectable
from train.coco import read_coco
from train.distil import distil
from train.distributed import device
from train.domains import Domain
from train.few_labels import FewPeople, first_frames
from train.fit import Batch, Schedule
from train.masking import read_recipe
from train.mim_run import load_pretrained
from train.pose_augment import SETTLING, TRAINING, Person
from train.pose_data import People
from train.presets import PRESETS, Effort, Extent, Preset
from train.pretrain import PretrainSettings, pretrain
from train.shipped import shipped_weights
from train.stream import load
from train.student import PoseNet
from train.two_domains import (
    TARGET,
    PersonBatches,
    Stream,
    TwoDomainBatches,
    with_masked,
    with_opinions,
)
from train.vit import SIZES
from train.vit_pose import VitPose

STUDENT_START: Final = "full"
_PUBLISHED_SHARE: Final = 0.1
"""Of the learning rate, for what was published or shipped: it knows more than we can show it."""
_CONSISTENCY_MASK: Final = "patches(0.5)"
_PICTURES_ALONE: Final = frozenset({"input", "foreground", "has_foreground"})
"""What of a target batch a method may see that is not told labels."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What is to be adapted to what."""

    source_folders: tuple[Path, ...]
    target_folder: Path
    """Rendered or labelled: what the first stage opens."""
    source: Domain
    target: Domain
    preset_name: str
    network: str
    """A key of `train.vit.SIZES`."""
    learning_rate: float
    out: Path
    share_of_steps: float = 1.0
    """Of the preset's, for a first look."""
    coco: tuple[Path, Path] | None = None
    """Key points that a person marked in pictures of the target, and the pictures' folder."""

    @cached_property
    def preset(self) -> Preset:
        """Return the extent of the stages."""
        return PRESETS[self.preset_name]

    def effort(self, extent: Extent, seed: int) -> Effort:
        """Return how a stage is carried out."""
        return Effort(
            preset=self.preset,
            steps=max(round(self.share_of_steps * extent.steps), 1),
            batch_size=extent.batch_size,
            accumulate=extent.accumulate,
            workers=self.preset.workers,
            precision=self.preset.precision,
            seed=seed,
            tensorboard=False,
        )

    def first_folder(self, first: FirstStage, seed: int) -> Path:
        """Name the run of a first stage; variants that share one share its folder."""
        words = "".join(c if c.isalnum() or c == "." else "-" for c in first.recipe)
        return self.out / "first" / f"{words}-w{first.background_weight:g}-seed{seed}"

    def second_folder(self, name: str, seed: int) -> Path:
        """Name the run of a variant."""
        return self.out / "second" / f"{name}-seed{seed}"


def first_stage(task: Assignment, first: FirstStage, seed: int) -> Path:
    """Let the encoder learn pictures of both domains; return the run's folder."""
    folder = task.first_folder(first, seed)
    settings = PretrainSettings(
        source=task.source_folders,
        target=(task.target_folder,),
        network=task.network,
        recipe=first.recipe,
        background_weight=first.background_weight,
        effort=task.effort(task.preset.pretrain, seed),
    )
    pretrain(settings, folder)
    return folder


def starting_network(task: Assignment, variant: Variant, seed: int) -> VitPose:
    """Make the network that the second stage begins with, its encoder from the first stage."""
    torch.manual_seed(seed)
    network = VitPose(SIZES[task.network])
    if variant.first is not None and read_method(variant.method).after_pretraining:
        weights = load_pretrained(task.first_folder(variant.first, seed))
        network.encoder.load_state_dict(weights)
    return network.to(device())


def second_stage(
    task: Assignment, name: str, variant: Variant, seed: int, *, opinion: nn.Module | None
) -> VitPose:
    """Adapt; `opinion` labels target pictures for a method that believes labels nobody gave."""
    network = starting_network(task, variant, seed)
    effort = task.effort(task.preset.adapt, seed)
    plan = Plan(
        method=variant.method,
        schedule=Schedule(steps=effort.steps, learning_rate=task.learning_rate),
        options=effort.options({"variant": name, "network": task.network, "seed": seed}),
    )
    batches = _batches(task, variant, effort, opinion)
    average = adapt(network, batches, plan, task.second_folder(name, seed))
    network.load_state_dict(average, strict=False)
    return network.eval()


def third_stage(task: Assignment, name: str, seed: int, teacher: VitPose, begin: Path) -> PoseNet:
    """Let the student that ships learn from an adapted teacher; `begin` is `pose.onnx`."""
    require_selectable(method_of(task.second_folder(name, seed)))
    student = shipped_student(begin)
    student.stem.requires_grad_(requires_grad=False)
    effort = task.effort(task.preset.distil, seed)
    average = distil(
        student,
        teacher,
        _batches(task, Variant(first=None, method="unregularised"), effort, None),
        Schedule(steps=effort.steps, learning_rate=task.learning_rate),
        task.out / "student",
        share_of_rate=lambda part: 1.0 if part.startswith("head.") else _PUBLISHED_SHARE,
        options=effort.options({"start": STUDENT_START, "teacher": name, "seed": seed}),
    )
    student.load_state_dict(average, strict=False)
    return student.eval()


def shipped_student(begin: Path) -> PoseNet:
    """Return the student that ships in a bundle, from its `pose.onnx`."""
    student = PoseNet(STUDENT_START).to(device())
    student.load_state_dict(shipped_weights(begin), strict=False)
    return student.eval()


def _batches(
    task: Assignment, variant: Variant, effort: Effort, opinion: nn.Module | None
) -> Callable[[int], Iterable[Batch]]:
    method = read_method(variant.method)
    labelled = _few_labels(task, variant, effort)
    stream = TwoDomainBatches(
        PersonBatches(
            _drawing(task.source.people),
            augmentation=TRAINING,
            batch_size=effort.batch_size,
            seed=effort.seed,
        ),
        PersonBatches(
            _drawing(task.target.people),
            augmentation=SETTLING,
            batch_size=effort.batch_size,
            seed=effort.seed + 1,
            with_foreground=True,
        ),
        labelled=labelled,
        rows=0 if labelled is None else effort.batch_size // 4,
    )
    told = method.target_truth or (method.pseudo_labels and not task.target.has_3d)

    def batches(first: int) -> Iterable[Batch]:
        found: Iterable[Batch] = load(stream.after(first), workers=effort.workers)
        if not told:
            found = map(_without_labels, found)
        if method.pseudo_labels and not told:
            assert opinion is not None
            found = with_opinions(found, opinion)
        if method.consistent:
            recipe = read_recipe(_CONSISTENCY_MASK)
            found = with_masked(found, recipe, seed=effort.seed, first=first)
        return found

    return batches


def _without_labels(batch: Batch) -> Batch:
    """Take from a batch what the target's labels say; a rendered target would tell the truth."""
    return {
        name: value
        for name, value in batch.items()
        if not name.startswith(TARGET) or name.removeprefix(TARGET) in _PICTURES_ALONE
    }


def _few_labels(task: Assignment, variant: Variant, effort: Effort) -> Stream | None:
    if not variant.labelled_frames or task.coco is None:
        return None
    frames = first_frames(read_coco(*task.coco), variant.labelled_frames, seed=effort.seed)
    return PersonBatches(
        _drawing(FewPeople(frames)),
        augmentation=TRAINING,
        batch_size=effort.batch_size,
        seed=effort.seed + 2,
    )


def _drawing(people: People) -> Callable[[np.random.Generator], Person]:
    """Draw people at random."""

    def draw(rng: np.random.Generator) -> Person:
        return people.person(int(rng.integers(len(people))))

    return draw
