"""`python -m train student`: train the pose network on rendered truth and teacher labels.

In: folders from `train synth` and `train label`.  Out: a run folder with checkpoints; `train
evaluate` and `export` read it.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from train.fit import Schedule, averaged, fit
from train.frozen_stem import FrozenStem, export_stem
from train.pose_augment import SETTLING, TRAINING
from train.pose_data import Batch, Mixture, PoseBatches, RealPeople, RenderedPeople
from train.pose_loss import pose_terms, total
from train.student import INPUT_SIZE_PX, STARTS, PoseNet

RECIPE: Final = "recipe.json"


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
    parser.add_argument("--start", choices=sorted(STARTS), default="full")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--rendered-share", type=float, default=0.5, help="share of a batch that is rendered"
    )
    parser.add_argument(
        "--tower-share",
        type=float,
        default=0.1,
        help="share of the learning rate for what was published: it knows more than we can show it",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads beside the data worker"
    )
    parser.add_argument(
        "--begin", type=Path, help="run folder whose averaged weights to start from"
    )
    parser.add_argument(
        "--settle", action="store_true", help="disturb pictures mildly, for a last stretch"
    )
    parser.add_argument(
        "--part",
        choices=("head", "tower", "whole"),
        default="tower",
        help="what is trained: the head alone, all from stride 32 on, everything (an accelerator)",
    )


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = PoseNet(arguments.start).to(device)
    if arguments.begin is not None:
        network.load_state_dict(averaged(arguments.begin), strict=False)
    forward = {"head": network.answer, "tower": network.predict, "whole": network.forward}
    make_stem = None
    if arguments.part != "whole":
        network.stem.requires_grad_(requires_grad=False)
        network.tower.requires_grad_(requires_grad=arguments.part == "tower")
        network.tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        make_stem = FrozenStem(arguments.out / "stem.onnx")
        frozen = [network.stem] if arguments.part == "tower" else [network.stem, network.tower]
        export_stem(frozen, INPUT_SIZE_PX, arguments.out / "stem.onnx")
    rendered = RenderedPeople(*arguments.rendered)
    real = RealPeople(arguments.real, held_out=False)
    recipe = {key: str(value) for key, value in vars(arguments).items() if key != "command"}
    recipe |= {"rendered_people": str(len(rendered)), "real_people": str(len(real))}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / RECIPE).write_text(json.dumps(recipe, indent=1))

    def batches(first_step: int) -> Iterable[Batch]:
        stream = PoseBatches(
            rendered,
            real,
            mixture=Mixture(rendered=arguments.rendered_share),
            augmentation=SETTLING if arguments.settle else TRAINING,
            batch_size=arguments.batch_size,
            seed=arguments.seed + first_step,
            make_stem=make_stem,
        )
        return DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)

    def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert isinstance(module, PoseNet)
        there = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        return pose_terms(forward[arguments.part](there["input"]), there)

    schedule = Schedule(steps=arguments.steps, learning_rate=arguments.learning_rate)

    def share_of_rate(name: str) -> float:
        return 1.0 if name.startswith("head.") else float(arguments.tower_share)

    fit(network, batches, losses, total, schedule, arguments.out, share_of_rate=share_of_rate)


def load_student(run: Path) -> PoseNet:
    """Return the averaged network of a run folder, ready to predict."""
    recipe = json.loads((run / RECIPE).read_text())
    network = PoseNet(recipe["start"])
    network.load_state_dict(averaged(run), strict=False)
    return network.eval()
