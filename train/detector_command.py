"""`python -m train detector`: train the person detector on rendered and teacher-labelled frames.

In: folders from `train synth` and `train label`, and perhaps a run or bundle to begin from.  Out: a
run folder with checkpoints that `export` reads.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError, SourceError
from train import presets
from train.detector import DetectorNet
from train.detector_data import DetectorBatches, RealScenes, RenderedScenes
from train.detector_loss import WEIGHTS, detector_terms
from train.distributed import device, from_first, joined
from train.fit import Schedule, averaged, fit
from train.frozen_stem import FrozenStem, export_stem
from train.pose_loss import total
from train.presets import Effort
from train.shipped import shipped_weights
from train.ssd import INPUT_PX
from train.stream import load

_GRAPH: Final = "detector.onnx"
_TRAINED: Final = "tower."


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
    presets.add_options(parser, "detector")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads beside the data workers"
    )


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    train_detector(
        DetectorNet() if arguments.begin is None else load_detector(arguments.begin),
        arguments.rendered,
        arguments.real,
        arguments.out,
        effort=presets.effort(arguments, "detector"),
        learning_rate=arguments.learning_rate,
        recipe=vars(arguments),
    )


def train_detector(
    network: DetectorNet,
    rendered: Sequence[Path],
    real: Sequence[Path],
    folder: Path,
    *,
    effort: Effort,
    learning_rate: float,
    recipe: Mapping[str, object],
    share_of_rate: Callable[[str], float] = lambda _name: 1.0,
) -> DetectorNet:
    """Train all but the stem, which stays as published, and return the averaged network.

    Half of every batch is rendered, as much from one folder as from another, and half is real.

    Args:
        network: trained in place; on return it holds the average, in evaluation mode.
        rendered: folders made by `train synth`.
        real: folders made by `train label`; groups held out are left out.
        folder: of the run; one found there is continued.
        effort: how it is carried out.
        learning_rate: the highest.
        recipe: what else the run is known by.
        share_of_rate: from a parameter's name to the share of the learning rate it gets.

    Raises:
        SourceError: a kind of frames is missing.

    """
    drawn = [RenderedScenes(one) for one in rendered]
    labelled = RealScenes(real, held_out=False)
    rendered_frames = sum(map(len, drawn))
    if not rendered_frames or not len(labelled):
        raise SourceError(
            f"there are {rendered_frames} rendered frames in {', '.join(map(str, rendered))} and "
            f"{len(labelled)} real ones to learn from in {', '.join(map(str, real))}, and training "
            "wants both; make them with `train synth` and `train label`"
        )
    with joined():
        stem_file = folder / "stem.onnx"
        from_first(lambda: export_stem([network.stem], INPUT_PX, stem_file))
        network.to(device()).stem.requires_grad_(requires_grad=False)
        stream = DetectorBatches(
            [scenes for one in drawn for scenes in (one, labelled)],
            batch_size=effort.batch_size,
            seed=effort.seed,
            make_stem=FrozenStem(stem_file),
        )
        average = fit(
            network,
            lambda first: load(stream.after(first), workers=effort.workers),
            _losses,
            lambda terms: total(terms, WEIGHTS),
            Schedule(steps=effort.steps, learning_rate=learning_rate),
            folder,
            share_of_rate=share_of_rate,
            options=effort.options(
                {**recipe, "rendered_frames": rendered_frames, "real_frames": len(labelled)}
            ),
        )
    network.load_state_dict(average, strict=False)
    return network.eval()


def _losses(module: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    assert isinstance(module, DetectorNet)
    return detector_terms(module.predict(batch["input"]), batch, module.anchors)


def load_detector(path: Path) -> DetectorNet:
    """Return the averaged detector of a run folder, or the one that a bundle ships.

    Its stem is the published one, exactly: no run trains it, and what a bundle holds of it are the
    same numbers, rounded.

    Raises:
        ConfigError: there is neither.
        BundleError: `detector.onnx` that nobody trains on from.

    """
    if not path.is_dir():
        raise ConfigError(
            f"there is no folder {path} with a detector; name a run of `train detector`, or a "
            "bundle"
        )
    graph = path / _GRAPH
    weights = shipped_weights(graph) if graph.is_file() else averaged(path)
    network = DetectorNet()
    wanted = {
        name: value.shape
        for name, value in network.state_dict().items()
        if name.startswith(_TRAINED)
    }
    fitting = {name: weights[name] for name in wanted if name in weights}
    if {name: value.shape for name, value in fitting.items()} != wanted:
        raise ConfigError(
            f"{path} holds a network, but not the detector, whose {len(wanted)} trained arrays are "
            "all wanted; name a run of `train detector`, or a bundle"
        )
    network.load_state_dict(fitting, strict=False)
    return network.eval()
