"""`python -m train lift`: train what lifts joints from the picture into metres, for one network.

In: a run of `train student` or a bundle, and rendered people.  Out: a run folder with the whole
network, which `train evaluate` and `export` read.

The network, alone or in the ensemble that is the `accurate` tier, is asked once about many
disturbed crops; what it said, and the truth, is all that the lifter learns from.  Half of the time
places are moved some way towards the truth, with scores that say so: photographs show joints more
clearly than renderings do, and a lifter that has only met badly placed joints would not trust well
placed ones.
"""

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from edge_pose.engines.onnx import default_threads
from edge_pose.errors import ConfigError, SourceError
from train import ensemble, presets
from train.asked import VIEWS, Answers, Asked, answers_to, asked_about
from train.asked_anew import moved_rows
from train.begin import student_from
from train.distributed import device
from train.ensemble import Ensemble
from train.fit import Schedule, fit
from train.frozen_stem import FrozenStem, export_stem
from train.lifter import Lifter, moved
from train.pool import cut_wide
from train.pose_augment import SETTLING, Augmentation
from train.pose_data import Mixture, PoseBatches, RealPeople, RenderedPeople
from train.stream import Batch, batch_numbers, load, load_bytes
from train.student import INPUT_SIZE_PX, PoseNet, both_opinions

_DISTURBED: Final[Augmentation] = replace(SETTLING, truncate=0.35, cover=0.25)
"""Tables and machines hide more of people at work than of those rendered."""
_ASKED_AT_ONCE: Final = 32
_ASKED_AT_ONCE_THERE: Final = 256
"""On an accelerator."""
_MOVED_SHARE: Final = 0.5
PUBLISHED_SHARE: Final = 0.75
"""On rendered people all of the way is as good; the rest is left to the trunk, for photographs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--begin", type=Path, required=True, help="run folder or bundle")
    parser.add_argument(
        "--rendered", type=Path, nargs="+", required=True, help="folders made by train synth"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder; continued if it exists"
    )
    parser.add_argument(
        "--crops", type=presets.positive, default=60_000, help="how many the network is asked about"
    )
    presets.add_options(parser, "lift")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument(
        "--go-on",
        type=Path,
        metavar="PATH",
        help="run or bundle with whose lifter to begin: that of --begin, or of a network like it",
    )
    ensemble.add_options(parser)


def main(arguments: argparse.Namespace) -> None:
    """Ask, then train, or go on with either."""
    effort = presets.effort(arguments, "lift")
    torch.manual_seed(effort.seed)
    network = student_from(arguments.begin)
    begun = _lifter_of(arguments.go_on)
    network.lifter = None
    people = RenderedPeople(*arguments.rendered)
    if not len(people):
        raise SourceError(
            f"there is nobody in {', '.join(map(str, arguments.rendered))}; name folders made by "
            "`train synth`"
        )
    answers = ask(
        ensemble.from_options(network, arguments),
        people,
        crops=arguments.crops,
        seed=effort.seed,
        workers=asking(effort.workers, told=arguments.workers is not None),
        folder=arguments.out,
    )
    network.requires_grad_(requires_grad=False)
    network.lifter = begun or Lifter(INPUT_SIZE_PX).to(device())
    options = effort.options({**vars(arguments), "people": len(people), "start": network.start})
    fit(
        network,
        lambda first: _rows_of(answers, effort.batch_size, effort.seed, first),
        losses,
        lambda terms: terms["metres"],
        Schedule(steps=effort.steps, learning_rate=arguments.learning_rate),
        arguments.out,
        options=replace(options, precision="float32"),
    )


def asking(workers: int, *, told: bool) -> int:
    """Say how many processes ask: on a processor all cores may, since nothing trains meanwhile.

    Args:
        workers: that make batches for training.
        told: whether somebody chose that number.

    """
    if told or device().type != "cpu":
        return workers
    # No more than four: each keeps two gigabytes of pictures at hand.
    return max(workers, default_threads())


def _lifter_of(path: Path | None) -> Lifter | None:
    """Return the lifter to go on with, where somebody names one.

    Raises:
        ConfigError: there is none.

    """
    if path is None:
        return None
    lifter = student_from(path).lifter
    if lifter is None:
        raise ConfigError(
            f"{path} holds a network without a lifter, so there is nothing to go on with; name a "
            "run of `train lift` or a bundle, or leave --go-on out"
        )
    return lifter


def ask(
    network: PoseNet | Ensemble,
    people: RenderedPeople,
    *,
    crops: int,
    seed: int,
    workers: int,
    folder: Path,
) -> Answers:
    """Let the network answer so many disturbed crops of people, drawn at random."""
    folder /= f"answers-{_digest(network, people, seed)}"
    there = device().type != "cpu"
    graph = folder / "network.onnx"
    if not there and not graph.exists():
        export_stem([Asked(network.cpu())], INPUT_SIZE_PX, graph)
    at_once = _ASKED_AT_ONCE_THERE if there else _ASKED_AT_ONCE
    stream = PoseBatches(
        people,
        RealPeople([], held_out=None),
        mixture=Mixture(rendered=1.0, nobody=0.0),
        augmentation=_DISTURBED,
        batch_size=at_once,
        seed=seed,
        make_stem=None if there else FrozenStem(graph),
    )
    wide = stream.cut_by(cut_wide, follows=False)

    def after(first: int) -> Iterable[Batch]:
        if not there:
            return load(stream.after(first), workers=workers)
        block = first // VIEWS
        blocks = load_bytes(wide.after(block), workers=workers)
        return asked_about(blocks, network, _DISTURBED, seed=seed, first=block)

    return answers_to(after, -(-crops // at_once), folder)


def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return how far joints are from the truth in metres where the published ones lead to.

    What is published goes `PUBLISHED_SHARE` of the way there: the lifter has only seen renderings,
    the trunk began with photographs.
    """
    assert isinstance(module, PoseNet)
    assert module.lifter is not None
    batch = moved_rows(batch)
    places, logits = nearer(batch)
    trunk_m = batch["joints_m"]
    published_m = both_opinions(trunk_m, module.lifter(places, logits, trunk_m))
    lifted_m = trunk_m + (published_m - trunk_m) / PUBLISHED_SHARE
    return {"metres": (lifted_m - batch["true_m"]).norm(dim=-1).mean()}


def nearer(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Move the places of half of the crops, each by its own share, to the truth."""
    crops = len(batch["true_px"])
    share = torch.rand(crops, 1, device=batch["true_px"].device)
    share = torch.where(torch.rand_like(share) < _MOVED_SHARE, share, torch.zeros_like(share))
    return moved(batch["joints_px"], batch["score_logits"], batch["true_px"], share)


def _digest(network: PoseNet | Ensemble, people: RenderedPeople, seed: int) -> str:
    """Tell answers apart that others would give, or about others."""
    digest = hashlib.sha256(f"{len(people)} {seed}".encode())
    for value in network.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def _rows_of(answers: Answers, rows: int, seed: int, first: int) -> Iterator[dict[str, Tensor]]:
    """Draw rows without end; what a step sees depends on the seed and its number alone."""
    for number in batch_numbers(first):
        chosen = np.random.default_rng([seed, number]).integers(len(answers), size=rows)
        yield {name: value.to(device()) for name, value in answers.rows(chosen).items()}
