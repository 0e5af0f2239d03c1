"""The second stage: a network and batches of two domains in, an adapted network out.

In: a pose network that begins where the first stage, or the adaptation to an earlier target, ended;
a stream of batches of two domains.  Out: a run folder as `train.fit` leaves it, with
`adaptation.json`: the method, the layers, the weights of its penalties and whether it was told the
truth about the target.

The schedule is fixed and nothing is selected on the target.  A penalty's weight λ is set so that
its gradient on the encoder is a given share of that of the pose loss.  At the very start a penalty
has no gradient, because the network still is what it is compared with; so a copy is trained without
penalties for a few steps and asked then.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import geometric_mean
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train import checkpoint, run_recipe
from train.adaptation import Adaptation
from train.adaptation_methods import Method, read_method
from train.attention import weight_for_share
from train.distributed import from_first, joined, place
from train.fit import Options, Schedule, fit
from train.look import chosen_layers, encoder_parameters
from train.pose_loss import pose_terms, total
from train.slow_teacher import SlowTeacher

Batch = Mapping[str, Tensor]
Batches = Callable[[int], Iterable[Batch]]
"""Gives the stream that follows after so many batches."""

RECORD: Final = "adaptation.json"
_PROBE: Final = "probe"
_GRADIENT_LIMIT: Final = 5.0
"""As in the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one network is adapted."""

    method: str
    """Of `train.adaptation_methods.METHODS`, or several joined by `+`."""
    schedule: Schedule
    share: float = 0.2
    """Gradient of each penalty over that of the pose loss; 0.1 to 0.3 is where to look."""
    layers: tuple[int, ...] | None = None
    """Whose attention is compared, negative numbers count from the end; None: the last three."""
    head_share: float = 0.25
    """Of the steps that train the head alone, for a method that probes first."""
    options: Options = field(default_factory=Options)
    """How it is carried out."""
    share_of_rate: Callable[[str], float] = lambda _name: 1.0
    """From a parameter's name to the share of the learning rate it gets."""

    @property
    def head_steps(self) -> int:
        """Count the steps that train the head alone, where that is asked for."""
        return max(round(self.head_share * self.schedule.steps), 1)

    @property
    def unpenalised_steps(self) -> int:
        """Count the steps of the copy that λ is measured on: the warm-up, if the run is long."""
        return max(min(self.schedule.warmup_steps, self.schedule.steps // 4), 1)


def adapt(network: nn.Module, batches: Batches, plan: Plan, folder: Path) -> dict[str, Tensor]:
    """Adapt what of the network requires gradients, in place; return its averaged weights.

    A run found in the folder goes on, if the network was made as it was then.
    """
    method = read_method(plan.method)
    folder.mkdir(parents=True, exist_ok=True)
    schedule = plan.schedule
    if method.probe_first:
        schedule = replace(schedule, steps=schedule.steps - plan.head_steps)
        probe_head(network, batches, plan, folder / _PROBE)
    objective = Adaptation(
        network,
        method,
        layers=chosen_layers(network, plan.layers),
        penalty_weights=_penalty_weights(network, batches, plan, folder),
        teacher=_teacher(network, schedule, folder) if method.consistent else None,
    )

    def losses(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return objective.terms(module, batch)

    return fit(
        network,
        batches,
        losses,
        objective.total,
        schedule,
        folder,
        share_of_rate=plan.share_of_rate,
        options=plan.options,
    )


def adapt_in_turn(
    network: nn.Module,
    targets: Mapping[str, Batches],
    plan: Plan,
    folder: Path,
    *,
    measure: Callable[[str, nn.Module], object],
) -> None:
    """Adapt to one target after the other, each from where the last one ended.

    Args:
        network: ends with the averaged weights of the last target.
        targets: batches by the target's name, which also names a folder below `folder`.
        plan: the same for all.
        folder: of all runs.
        measure: called before the first target and after each, with a stage's name and the network;
            what it raises, for example `train.forgetting.ForgotTooMuch`, ends the sequence.

    """
    measure("start", network)
    for name, batches in targets.items():
        network.load_state_dict(adapt(network, batches, plan, folder / name), strict=False)
        measure(name, network)


def probe_head(network: nn.Module, batches: Batches, plan: Plan, folder: Path) -> dict[str, Tensor]:
    """Train what reads joints off a frozen encoder, on the source; keep the averaged weights."""
    encoder = [value for value in encoder_parameters(network).values() if value.requires_grad]
    for value in encoder:
        value.requires_grad = False

    def losses(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return pose_terms(module(batch["input"]), batch)

    schedule = replace(plan.schedule, steps=plan.head_steps)
    average = fit(network, batches, losses, total, schedule, folder, options=plan.options)
    network.load_state_dict(average, strict=False)
    for value in encoder:
        value.requires_grad = True
    return average


def measured_weights(
    network: nn.Module, stream: Iterator[Batch], method: Method, plan: Plan
) -> dict[str, float]:
    """Return λ of every penalty, from a copy trained for some steps without penalties."""
    if not method.penalties:
        return {}
    unweighted = Adaptation(
        network,
        replace(method, consistent=False, pseudo_labels=False, target_truth=False),
        layers=chosen_layers(network, plan.layers),
        penalty_weights=dict.fromkeys(method.penalties, 1.0),
    )
    copied = copy.deepcopy(network).train()
    trained = {name: value for name, value in copied.named_parameters() if value.requires_grad}
    optimiser = torch.optim.AdamW(
        [
            {"params": [value], "lr": plan.share_of_rate(name) * plan.schedule.learning_rate}
            for name, value in trained.items()
        ]
    )
    for batch in islice(stream, plan.unpenalised_steps):
        optimiser.zero_grad(set_to_none=True)
        total(pose_terms(copied(batch["input"]), batch)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.values(), _GRADIENT_LIMIT)
        optimiser.step()
    shared = [value for value in encoder_parameters(copied).values() if value.requires_grad]
    found: dict[str, list[float]] = {name: [] for name in method.penalties}
    for batch in islice(stream, max(plan.unpenalised_steps // 4, 1)):
        terms = unweighted.terms(copied, batch)
        penalties = {name: terms.pop(name) for name in method.penalties}
        for name, penalty in penalties.items():
            found[name].append(weight_for_share(total(terms), penalty, shared, plan.share))
    return {name: geometric_mean(values) for name, values in found.items()}


def method_of(folder: Path) -> str:
    """Return the method of a run of this stage.

    Raises:
        ConfigError: the folder holds none.

    """
    path = folder / RECORD
    if not path.exists():
        raise ConfigError(
            f"{folder} holds no adapted network: there is no {RECORD}; name the folder of a run of "
            "the second stage"
        )
    return str(json.loads(path.read_text())["method"])


def _penalty_weights(
    network: nn.Module, batches: Batches, plan: Plan, folder: Path
) -> dict[str, float]:
    """Measure λ once; a run that goes on keeps it, and refuses to become another method's."""
    asked = {
        "method": plan.method,
        "share": plan.share,
        "layers": list(chosen_layers(network, plan.layers)),
        "told_target_truth": read_method(plan.method).target_truth,
    }
    path = folder / RECORD
    if path.exists():
        found = json.loads(path.read_text())
        run_recipe.refuse_another(folder, found, asked)
        return {name: float(value) for name, value in found["penalty_weights"].items()}
    method = read_method(plan.method)
    with joined():
        weights = from_first(lambda: measured_weights(network, iter(batches(0)), method, plan))
    if place().leads:
        part = path.with_suffix(".part")
        part.write_text(json.dumps({**asked, "penalty_weights": weights}, indent=1))
        part.replace(path)
    return weights


def _teacher(network: nn.Module, schedule: Schedule, folder: Path) -> SlowTeacher:
    """Start the slow teacher where the checkpoint in the folder has it, if there is one."""
    saved = checkpoint.read(folder)
    if saved is None:
        return SlowTeacher(network, schedule)
    average = checkpoint.averaged(folder)
    return SlowTeacher(network, schedule, steps=saved.step, average=average)
