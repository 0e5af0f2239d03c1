"""The stages of an adaptation, each a folder that goes on where it stopped: paths in, networks out.

In: an `Assignment` (which folders, which networks, how much effort) and one way through the stages
(`train.ablation`).  Out: run folders below the assignment's own, and the networks that they hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import nn

from train.ablation import FirstStage, Variant
from train.adapt_stage import Plan, adapt, method_of
from train.adaptation_methods import read_method, require_selectable
from train.begin import start_of, student_from
from train.distil import distil
from train.distributed import device
from train.domains import Domain
from train.fit import Schedule
from train.frozen_stem import StandIn
from train.look import encoder_of
from train.mim_run import STUDENT, load_pretrained
from train.prepared import on_prepared
from train.presets import PRESETS, Effort, Extent, Preset
from train.pretrain import PretrainSettings, pretrain
from train.student import Regressor, on_frozen_stem
from train.supply import Supply
from train.vit import SIZES
from train.vit_pose import VitPose

_UNLABELLED: Final = Variant(first=None, method="unregularised")
_PUBLISHED_SHARE: Final = 0.3
"""Of the learning rate, for what was published or shipped: it knows more than we can show it."""


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
    """One of `train.mim_run.NETWORKS`."""
    begin: Path | None
    """A run or bundle that the student begins from; None: from published weights."""
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
        kind = f"{words}-w{first.background_weight:g}"
        if first.crops == "plain":
            kind += "-same-crops"
        if first.wrong_masks:
            kind += f"-wrong{first.wrong_masks:g}"
        return self.out / "first" / f"{kind}-seed{seed}"

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
        crops=first.crops,
        wrong_masks=first.wrong_masks,
        begin=task.begin if task.network == STUDENT else None,
        effort=task.effort(task.preset.pretrain, seed),
    )
    pretrain(settings, folder)
    return folder


def starting_network(task: Assignment, variant: Variant, seed: int) -> nn.Module:
    """Make the network that the second stage begins with, its encoder from the first stage."""
    torch.manual_seed(seed)
    network = new_network(task.network, task.begin)
    first = encoder_from(variant)
    if first is not None:
        weights = load_pretrained(task.first_folder(first, seed))
        encoder_of(network).load_state_dict(weights, strict=task.network != STUDENT)
    return network


def encoder_from(variant: Variant) -> FirstStage | None:
    """Return the first stage whose encoder the second begins with, if it begins with one."""
    return variant.first if read_method(variant.method).after_pretraining else None


def new_network(name: str, begin: Path | None) -> nn.Module:
    """Make a network that no stage has trained yet."""
    if name == STUDENT:
        return on_frozen_stem(student_from(begin))
    return VitPose(SIZES[name]).to(device())


def words_of(name: str, begin: Path | None) -> dict[str, object]:
    """Say what a run of `new_network` is known by; the student alone begins somewhere."""
    begun = {"begin": begin, "start": start_of(begin)} if name == STUDENT else {}
    return {"network": name, **begun}


def supply_for(task: Assignment, seed: int) -> Supply:
    """Return what feeds the second stage of every variant of one seed."""
    stem = None
    if task.network == STUDENT:
        network = new_network(STUDENT, task.begin)
        assert isinstance(network, Regressor)
        stem = network.stem
    return Supply(
        source=task.source,
        target=task.target,
        effort=task.effort(task.preset.adapt, seed),
        coco=task.coco,
        stem=stem,
    )


def for_supply(network: nn.Module, supply: Supply) -> nn.Module:
    """Return the network as it reads what it is fed; weights are shared, the stem's are kept."""
    if supply.stem is None:
        return network
    assert isinstance(network, Regressor)
    learner = on_prepared(network)
    learner.stem = StandIn(network.stem, learner.stem)
    return learner


def share_of_rate(network: str) -> Callable[[str], float]:
    """Return how fast each parameter learns; what was published knows more than we can show it."""

    def share(parameter: str) -> float:
        is_new = network != STUDENT or parameter.startswith("head.")
        return 1.0 if is_new else _PUBLISHED_SHARE

    return share


def second_stage(
    task: Assignment,
    name: str,
    variant: Variant,
    supply: Supply,
    *,
    opinion: nn.Module | None,
) -> nn.Module:
    """Adapt; `opinion` labels target pictures for a method that believes labels nobody gave."""
    effort = supply.effort
    seed = effort.seed
    network = starting_network(task, variant, seed)
    plan = Plan(
        method=variant.method,
        schedule=Schedule(steps=effort.steps, learning_rate=task.learning_rate),
        options=effort.options(
            {"variant": name, **words_of(task.network, task.begin), "seed": seed}
        ),
        share_of_rate=share_of_rate(task.network),
    )
    learner = for_supply(network, supply)
    if opinion is not None:
        opinion = for_supply(opinion, supply)
    batches = supply.batches(variant, opinion)
    average = adapt(learner, batches, plan, task.second_folder(name, seed))
    network.load_state_dict(average, strict=False)
    return network.eval()


def third_stage(
    task: Assignment, name: str, seed: int, teacher: nn.Module, begin: Path
) -> nn.Module:
    """Let the student that ships, found in the bundle `begin`, learn from an adapted teacher."""
    require_selectable(method_of(task.second_folder(name, seed)))
    student = new_network(STUDENT, begin)
    effort = task.effort(task.preset.distil, seed)
    average = distil(
        student,
        teacher,
        Supply(source=task.source, target=task.target, effort=effort).batches(_UNLABELLED),
        Schedule(steps=effort.steps, learning_rate=task.learning_rate),
        task.out / "student",
        share_of_rate=share_of_rate(STUDENT),
        options=effort.options({"start": start_of(begin), "teacher": name, "seed": seed}),
    )
    student.load_state_dict(average, strict=False)
    return student.eval()
