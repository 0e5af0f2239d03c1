"""`python -m train student`: train the pose network on rendered truth and teacher labels.

In: folders from `train synth` and `train label`.  Out: a run folder with checkpoints; `train
evaluate` and `export` read it.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError, SourceError
from train import presets
from train.begin import PUBLISHED, student_from
from train.distributed import device, from_first, joined
from train.fit import Schedule, fit
from train.frozen_stem import FrozenStem, export_stem
from train.hold import HeldPeople, ask_once, opinions
from train.inventions import Inventions
from train.pool import Pool, cut_wide
from train.pose_augment import SETTLING, TRAINING
from train.pose_data import Mixture, PeopleOrNobody, PoseBatches, RealPeople, RenderedPeople
from train.pose_loss import HELD_WEIGHT, WEIGHTS, held_m, pose_terms, total
from train.stream import Batch, load, load_bytes
from train.student import INPUT_SIZE_PX, STARTS, PoseNet

_STAYS: Final = 8
"""How often a step draws a person, on average, while it lies in the pool."""
_OPINIONS: Final = "held.npy"
"""In the run's folder: what real people are held to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--rendered", type=Path, nargs="+", required=True, help="folders made by train synth"
    )
    parser.add_argument(
        "--real", type=Path, nargs="+", required=True, help="folders made by train label"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder; continued if it exists"
    )
    parser.add_argument(
        "--inventions", type=Path, help="file made by train inventions: what is nobody"
    )
    parser.add_argument(
        "--start",
        choices=sorted(STARTS),
        help=f"published network to start from; without it that of --begin, or {PUBLISHED}",
    )
    presets.add_options(parser, "student")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--rendered-share", type=float, default=0.5, help="share of a batch that is rendered"
    )
    parser.add_argument(
        "--nobody-share", type=float, default=0.04, help="share of a batch that shows nobody"
    )
    parser.add_argument(
        "--tower-share",
        type=float,
        default=0.1,
        help="share of the learning rate for what was published: it knows more than we can show it",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads beside the data workers"
    )
    parser.add_argument(
        "--begin", type=Path, help="run folder or bundle whose weights to start from"
    )
    parser.add_argument(
        "--settle", action="store_true", help="disturb pictures mildly, for a last stretch"
    )
    parser.add_argument(
        "--pool",
        type=presets.positive,
        metavar="PEOPLE",
        help="keep so many on the accelerator and disturb them there; each step takes in some new",
    )
    parser.add_argument(
        "--follow", action="store_true", help="take in what is rendered meanwhile, with --pool"
    )
    parser.add_argument(
        "--hold",
        type=Path,
        metavar="PATH",
        help="run or bundle to whose opinion of real people in 3D to keep",
    )
    parser.add_argument(
        "--part",
        choices=("head", "tower", "whole"),
        default="tower",
        help="what is trained: the head alone, all from stride 32 on, everything (an accelerator)",
    )


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training; alone, or among the processes that torchrun started."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    with joined():
        _train(arguments)


def _train(arguments: argparse.Namespace) -> None:
    effort = presets.effort(arguments, "student")
    _refuse_what_does_not_go_together(arguments)
    network = _network(arguments.start, arguments.begin)
    forward = {"head": network.answer, "tower": network.predict, "whole": network.forward}
    make_stem = None
    if arguments.part != "whole":
        network.stem.requires_grad_(requires_grad=False)
        network.tower.requires_grad_(requires_grad=arguments.part == "tower")
        network.tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        make_stem = FrozenStem(arguments.out / "stem.onnx")
        frozen = [network.stem] if arguments.part == "tower" else [network.stem, network.tower]
        from_first(lambda: export_stem(frozen, INPUT_SIZE_PX, arguments.out / "stem.onnx"))
    rendered = RenderedPeople(*arguments.rendered)
    invented = None if arguments.inventions is None else Inventions(arguments.inventions)
    real = RealPeople(arguments.real, held_out=False, invented=invented)
    if not len(rendered) or not len(real):
        raise SourceError(
            f"there are {len(rendered)} rendered people in {_listed(arguments.rendered)} and "
            f"{len(real)} real ones in {_listed(arguments.real)}, and training wants both; make "
            "them with `train synth` and `train label`"
        )
    augmentation = SETTLING if arguments.settle else TRAINING
    pooled = arguments.pool is not None
    shown = real if pooled else _held(real, arguments)
    stream = PoseBatches(
        rendered,
        shown,
        mixture=Mixture(rendered=arguments.rendered_share, nobody=arguments.nobody_share),
        augmentation=augmentation,
        batch_size=max(effort.batch_size // _STAYS, 1) if pooled else effort.batch_size,
        seed=effort.seed,
        make_stem=make_stem,
    )
    if pooled:
        stream = stream.cut_by(cut_wide, follows=arguments.follow)

    def batches(first: int) -> Iterable[Batch]:
        if not pooled:
            return load(stream.after(first), workers=effort.workers)
        return Pool(
            load_bytes(stream.after(first), workers=effort.workers),
            people=arguments.pool,
            batch_size=effort.batch_size,
            augmentation=augmentation,
            seed=effort.seed,
            first=first,
            told=opinions(student_from(arguments.hold)) if arguments.hold else dict,
        )

    def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert isinstance(module, PoseNet)
        predicted = forward[arguments.part](batch["input"])
        held = {"held": held_m(predicted, batch)} if arguments.hold else {}
        return pose_terms(predicted, batch) | held

    weights = {**WEIGHTS, "held": HELD_WEIGHT} if arguments.hold else WEIGHTS
    schedule = Schedule(steps=effort.steps, learning_rate=arguments.learning_rate)
    people = {"real_people": len(real)}
    if not arguments.follow:
        people["rendered_people"] = len(rendered)

    def share_of_rate(name: str) -> float:
        return 1.0 if name.startswith("head.") else float(arguments.tower_share)

    fit(
        network,
        batches,
        losses,
        lambda terms: total(terms, weights),
        schedule,
        arguments.out,
        share_of_rate=share_of_rate,
        options=effort.options({**vars(arguments), **people, "start": network.start}),
    )


def _held(real: RealPeople, arguments: argparse.Namespace) -> PeopleOrNobody:
    """Add to real people what to hold to, where somebody said what."""
    if not arguments.hold:
        return real
    path = arguments.out / _OPINIONS
    torch.set_num_threads(os.cpu_count() or 1)  # no worker makes batches yet
    joints_m = from_first(lambda: ask_once(partial(student_from, arguments.hold), real, path))
    torch.set_num_threads(arguments.threads)
    return HeldPeople(real, joints_m)


def _refuse_what_does_not_go_together(arguments: argparse.Namespace) -> None:
    if arguments.pool is None and arguments.follow:
        raise ConfigError("--follow wants a --pool; name how many people it keeps")
    if arguments.pool is not None and arguments.part != "whole":
        raise ConfigError(
            f"--pool is for --part whole, not for {arguments.part}, whose first part answers where "
            "crops are made; leave one of them out"
        )


def _network(start: str | None, begin: Path | None) -> PoseNet:
    """Make what is trained: without a lifter, which is trained for what comes of it."""
    if begin is None:
        return PoseNet(start or PUBLISHED).to(device())
    network = student_from(begin)
    if start not in {None, network.start}:
        raise ConfigError(
            f"{begin} was trained from {network.start}, not from {start}; leave --start out"
        )
    network.lifter = None
    return network


def _listed(folders: list[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)
