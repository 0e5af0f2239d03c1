"""`python -m train detector`: train the person detector on rendered and teacher-labelled frames.

In: folders from `train synth` and `train label`.  Out: a run folder with checkpoints that `export`
reads.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from train.detector import DetectorNet
from train.detector_data import DetectorBatches, RealScenes, RenderedScenes
from train.detector_loss import WEIGHTS, detector_terms
from train.fit import Schedule, averaged, fit
from train.frozen_stem import FrozenStem, export_stem
from train.pose_data import Batch
from train.pose_loss import total
from train.teacher_people import INPUT_PX


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rendered", type=Path, required=True, help="folder made by train synth")
    parser.add_argument(
        "--real", type=Path, nargs="+", required=True, help="folders made by train label"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder; continued if it exists"
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training; the stem stays as published."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    network = DetectorNet()
    network.stem.requires_grad_(requires_grad=False)
    stem = FrozenStem(arguments.out / "stem.onnx")
    export_stem([DetectorNet().stem], INPUT_PX, arguments.out / "stem.onnx")
    rendered = RenderedScenes(arguments.rendered)
    real = RealScenes(arguments.real, held_out=False)
    recipe = {key: str(value) for key, value in vars(arguments).items() if key != "command"}
    recipe |= {"rendered_frames": str(len(rendered)), "real_frames": str(len(real))}
    (arguments.out / "recipe.json").write_text(json.dumps(recipe, indent=1))

    def batches(first_step: int) -> Iterable[Batch]:
        stream = DetectorBatches(
            [rendered, real],
            batch_size=arguments.batch_size,
            seed=arguments.seed + first_step,
            make_stem=stem,
        )
        return DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)

    def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert isinstance(module, DetectorNet)
        return detector_terms(module.predict(batch["input"]), batch, module.anchors)

    schedule = Schedule(steps=arguments.steps, learning_rate=arguments.learning_rate)
    fit(network, batches, losses, lambda terms: total(terms, WEIGHTS), schedule, arguments.out)


def load_detector(run: Path) -> DetectorNet:
    """Return the averaged detector of a run folder."""
    network = DetectorNet()
    network.load_state_dict(averaged(run), strict=False)
    return network.eval()
