"""`python -m train locator`: train what finds out, about a box, how far the whole body reaches.

In: folders from `train synth` and `train label`, squares that show nobody, and perhaps a run or a
bundle to begin from.  Out: a run folder with checkpoints that `export graph` reads.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.crop import LOCATOR_MARGIN
from edge_pose.errors import ConfigError, SourceError
from train import presets
from train.distributed import device, joined
from train.fit import Schedule, averaged, fit
from train.inventions import Inventions
from train.locator import INPUT_PX, LocatorNet
from train.locator_loss import WEIGHTS, locator_terms
from train.pose_augment import Augmentation, Cut
from train.pose_data import Mixture, PoseBatches, RealPeople, RenderedPeople
from train.pose_loss import total
from train.shipped import shipped_weights
from train.stream import load

LOCATOR_CUT: Final = Cut(side_px=INPUT_PX, margin=LOCATOR_MARGIN, black_outside=True)
FIRST_LOOKS: Final = Augmentation(
    first_look=1.0,
    scale=0.12,
    shift=0.05,
    turn_rad=0.12,
    mirror=True,
    light=0.6,
    cover=0.2,
    truncate=0.3,
)
"""Boxes as a detector draws them, of people whom tables and pictures' edges cut."""
_GRAPH: Final = "locator.onnx"


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
        "--begin", type=Path, help="run folder or bundle to start from; published weights without"
    )
    parser.add_argument(
        "--inventions", type=Path, help="file made by train inventions: what is nobody"
    )
    presets.add_options(parser, "locator")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads beside the data workers"
    )


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training; alone, or among the processes that torchrun started."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    with joined():
        _train(arguments)


def _train(arguments: argparse.Namespace) -> None:
    effort = presets.effort(arguments, "locator")
    rendered = RenderedPeople(*arguments.rendered)
    invented = None if arguments.inventions is None else Inventions(arguments.inventions)
    real = RealPeople(arguments.real, held_out=False, invented=invented)
    if not len(rendered) or not len(real):
        raise SourceError(
            f"there are {len(rendered)} rendered people in "
            f"{', '.join(map(str, arguments.rendered))} and {len(real)} real ones in "
            f"{', '.join(map(str, arguments.real))}, and training wants both; make them with "
            "`train synth` and `train label`"
        )
    begin = arguments.begin
    network = (LocatorNet() if begin is None else load_locator(begin)).to(device())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stream = PoseBatches(
        rendered,
        real,
        mixture=Mixture(),
        augmentation=FIRST_LOOKS,
        batch_size=effort.batch_size,
        seed=effort.seed,
        cut=LOCATOR_CUT,
    )
    people = {"rendered_people": len(rendered), "real_people": len(real)}
    fit(
        network,
        lambda first: load(stream.after(first), workers=effort.workers),
        _losses,
        lambda terms: total(terms, WEIGHTS),
        Schedule(steps=effort.steps, learning_rate=arguments.learning_rate),
        arguments.out,
        options=effort.options({**vars(arguments), **people}),
    )


def _losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    assert isinstance(module, LocatorNet)
    image = (batch["input"] * 2 - 1).contiguous(memory_format=torch.channels_last)
    return locator_terms(module(image), batch, module.anchors_px)


def load_locator(path: Path) -> LocatorNet:
    """Return the averaged locator of a run folder, or the one that a bundle ships.

    Raises:
        ConfigError: there is neither.
        BundleError: `locator.onnx` that nobody trains on from.

    """
    if not path.is_dir():
        raise ConfigError(
            f"there is no folder {path} with a locator; name a run of `train locator`, or a bundle"
        )
    graph = path / _GRAPH
    weights = shipped_weights(graph) if graph.is_file() else averaged(path)
    network = LocatorNet()
    # Biases that are all the same, as published ones that are zero, may be joined in a graph.
    filters = {name: value for name, value in network.named_parameters() if value.ndim > 1}
    if any(name not in weights or weights[name].shape != filters[name].shape for name in filters):
        raise ConfigError(
            f"{path} holds a network, but not the locator, whose {len(filters)} filters are all "
            "wanted; name a run of `train locator`, or a bundle"
        )
    network.load_state_dict(dict(weights), strict=False)
    return network.eval()
