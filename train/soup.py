"""`python -m train soup`: one network out of several that began alike, the mean of their weights.

In: runs of the student or bundles, and `published` for the weights that all of them began with.
Out: a run folder that `train evaluate`, `--begin` and `export` read.  A network that was trained
far is better where it was trained and worse elsewhere; networks that began alike lie in one basin,
and their mean keeps most of the first and little of the second (Wortsman et al. 2022,
arXiv:2203.05482 and arXiv:2109.01903).  All weigh the same: nothing is chosen.

Lifters are left out: `train lift` makes one for the mean.  With `--inventions`, the mean's opinion
whether somebody is there is set right afterwards: the mean of opinions is none.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from edge_pose.errors import ConfigError
from train import checkpoint, run_recipe
from train.begin import PUBLISHED, start_of, student_from
from train.calibrate import fit_calibration
from train.distributed import device
from train.domain_errors import batches_for
from train.inventions import Inventions
from train.pose_data import People, RealPeople, RenderedPeople
from train.student import PoseNet

_PUBLISHED_WORD: Final = "published"
_ASKED: Final = 300
"""People of each kind, and as many as of all kinds who are not there, whose presence is asked."""
_ODDS: Final = 4.0
"""People to inventions among what the appliance looks at: nobody is to be missed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--of",
        nargs="+",
        required=True,
        metavar="RUN",
        help=f"runs of train student, bundles, or the word {_PUBLISHED_WORD}",
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument(
        "--inventions", type=Path, help="file made by train inventions: set presence right by it"
    )
    parser.add_argument(
        "--rendered", type=Path, nargs="*", default=[], help="people who are there, rendered"
    )
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="and real ones")


def main(arguments: argparse.Namespace) -> None:
    """Average, set presence right if that is asked for, and write."""
    if len(arguments.of) < 2:
        raise ConfigError("--of names one network; the mean of one is itself, so name two or more")
    if arguments.inventions is not None and not (arguments.rendered and arguments.real):
        raise ConfigError(
            "--inventions says who is not there; name people who are with --rendered and --real"
        )
    network = mean_of(_networks(arguments.of))
    if arguments.inventions is not None:
        set_presence(
            network,
            there=[RenderedPeople(*arguments.rendered), RealPeople(arguments.real, held_out=False)],
            not_there=Inventions(arguments.inventions),
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = {f"average.{name}": value for name, value in network.named_parameters()}
    recipe = {"command": "soup", "start": network.start, "of": arguments.of}
    run_recipe.write(arguments.out, recipe)
    words = {"format": checkpoint.FORMAT, "step": 0, "steps": 0}
    checkpoint.write(arguments.out, _on_cpu(weights), words)


def _networks(words: Sequence[str]) -> list[PoseNet]:
    """Read networks that began alike, without lifters: those did not, and are trained last."""
    found = {word: Path(word) for word in words if word != _PUBLISHED_WORD}
    starts = {str(path): start_of(path) for path in found.values()}
    start = next(iter(starts.values()), PUBLISHED)
    if other := next((path for path, theirs in starts.items() if theirs != start), None):
        raise ConfigError(
            f"{other} was trained from {starts[other]} and {next(iter(starts))} from {start}; "
            "only networks that began alike have a mean"
        )
    networks = [
        student_from(found[word]) if word in found else PoseNet(start).to(device()).eval()
        for word in words
    ]
    for network in networks:
        network.lifter = None
    return networks


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in weights.items()}


@torch.no_grad()
def mean_of(networks: Sequence[PoseNet]) -> PoseNet:
    """Return the first network with the mean of all weights."""
    first = networks[0]
    others = [dict(network.named_parameters()) for network in networks]
    for name, value in first.named_parameters():
        value.copy_(torch.stack([weights[name] for weights in others]).mean(0))
    return first


@torch.no_grad()
def set_presence(network: PoseNet, *, there: Sequence[People], not_there: People) -> None:
    """Scale and shift the logit of presence so that it is a probability on these people.

    Both are of training; they are asked in equal numbers and expected in those of `_ODDS`.
    """
    assert network.head.bias is not None
    said = [presence_logits(network, people, _ASKED) for people in there]
    invented = presence_logits(network, not_there, _ASKED * len(there))
    logits = np.concatenate([*said, invented])[:, None]
    is_there = np.arange(len(logits))[:, None] < sum(map(len, said))
    found = fit_calibration(logits, is_there, np.ones_like(is_there))
    network.head.weight[-1] *= found.slope[0]
    network.head.bias[-1] *= found.slope[0]
    network.head.bias[-1] += found.offset[0] + math.log(_ODDS)


@torch.no_grad()
def presence_logits(network: PoseNet, people: People, most: int) -> np.ndarray:
    """Return the logits [people] of at most so many, evenly spread."""
    logits = [
        network(batch["input"])["presence_logits"]
        for batch in batches_for(network, people, most=most)
    ]
    return torch.cat(logits).float().cpu().numpy()
