"""`python -m train detector`: train the person detector on rendered and teacher-labelled frames.

In: folders from `train synth` and `train label`.  Out: a run folder with checkpoints that `export`
reads.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_pose.errors import SourceError
from train import presets
from train.detector import DetectorNet
from train.detector_data import DetectorBatches, RealScenes, RenderedScenes
from train.detector_loss import WEIGHTS, detector_terms
from train.distributed import device, from_first, joined
from train.fit import Schedule, averaged, fit
from train.frozen_stem import FrozenStem, export_stem
from train.pose_loss import total
from train.stream import load
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
    presets.add_options(parser, "detector")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads beside the data workers"
    )


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training; the stem stays as published."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    with joined():
        _train(arguments)


def _train(arguments: argparse.Namespace) -> None:
    effort = presets.effort(arguments, "detector")
    network = DetectorNet().to(device())
    network.stem.requires_grad_(requires_grad=False)
    stem_file = arguments.out / "stem.onnx"
    from_first(lambda: export_stem([DetectorNet().stem], INPUT_PX, stem_file))
    rendered = RenderedScenes(arguments.rendered)
    real = RealScenes(arguments.real, held_out=False)
    if not len(rendered) or not len(real):
        raise SourceError(
            f"there are {len(rendered)} rendered frames in {arguments.rendered} and {len(real)} "
            f"real ones in {', '.join(map(str, arguments.real))}, and training wants both; make "
            "them with `train synth` and `train label`"
        )
    stream = DetectorBatches(
        [rendered, real],
        batch_size=effort.batch_size,
        seed=effort.seed,
        make_stem=FrozenStem(stem_file),
    )

    def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert isinstance(module, DetectorNet)
        return detector_terms(module.predict(batch["input"]), batch, module.anchors)

    fit(
        network,
        lambda first: load(stream.after(first), workers=effort.workers),
        losses,
        lambda terms: total(terms, WEIGHTS),
        Schedule(steps=effort.steps, learning_rate=arguments.learning_rate),
        arguments.out,
        options=effort.options(
            {**vars(arguments), "rendered_frames": len(rendered), "real_frames": len(real)}
        ),
    )


def load_detector(run: Path) -> DetectorNet:
    """Return the averaged detector of a run folder."""
    network = DetectorNet()
    network.load_state_dict(averaged(run), strict=False)
    return network.eval()
