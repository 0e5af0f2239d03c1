"""`python -m train pretrain`: let a network learn a line's pictures before it learns any pose.

In: folders of the source and of the target, and a recipe of masks.  Out: a run folder that the
second stage starts from; see `train/pretrain.py`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, get_args

import torch

from train import presets
from train.distributed import joined, place
from train.mim import Sight, Target
from train.pretrain import NETWORKS, PICTURE, Crops, PretrainSettings, pretrain

_USUAL: Final[Mapping[str, Any]] = {
    field.name: field.default for field in fields(PretrainSettings) if field.default is not MISSING
}
_DECODER_DEPTH: Final[Mapping[Sight, int]] = {"filled": 0, "visible": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    folders = "folders made by train synth or train label, or of plain pictures"
    parser.add_argument("--source", type=Path, nargs="+", required=True, help=folders)
    parser.add_argument("--target", type=Path, nargs="+", required=True, help=folders)
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder; continued if it exists"
    )
    parser.add_argument("--network", choices=NETWORKS, help="usually the preset's")
    parser.add_argument(
        "--recipe", default=_USUAL["recipe"], help="what is hidden, see `python -m train masks`"
    )
    parser.add_argument(
        "--sight",
        choices=get_args(Sight),
        default=_USUAL["sight"],
        help="what the encoder is given: all patches, the hidden ones filled, or the visible ones "
        "alone, which is cheaper and needs opaque patches",
    )
    parser.add_argument(
        "--decoder-depth", type=int, help="blocks of the decoder; usually 0 filled, 2 visible"
    )
    parser.add_argument(
        "--pixels",
        choices=get_args(Target),
        default=_USUAL["pixels"],
        help="what is guessed: pixels normalised by patch, or as they are",
    )
    parser.add_argument(
        "--w-bg",
        type=float,
        default=_USUAL["background_weight"],
        help="weight of patches without people in the loss; 1 is the loss of masked autoencoders",
    )
    parser.add_argument(
        "--crops",
        choices=get_args(Crops),
        default=_USUAL["crops"],
        help="of varying place and size, or all alike",
    )
    parser.add_argument(
        "--paste",
        type=float,
        default=_USUAL["paste"],
        help="share of people before another background",
    )
    parser.add_argument(
        "--frames", type=int, default=_USUAL["frames"], help="of a clip, for masks over time"
    )
    parser.add_argument(
        "--begin", type=Path, help="run or bundle that the student begins from, if not published"
    )
    parser.add_argument(
        "--train-stem", action="store_true", help="let the student's high resolution learn too"
    )
    parser.add_argument(
        "--wrong-masks",
        type=float,
        default=_USUAL["wrong_masks"],
        help="share of masks spoiled on purpose, to see what wrong ones cost",
    )
    parser.add_argument(
        "--foreground", type=Path, help="file made by train foreground: masks to leave out"
    )
    presets.add_options(parser, "pretrain")
    parser.add_argument("--learning-rate", type=float, default=_USUAL["learning_rate"])
    parser.add_argument("--threads", type=int, default=1, help="torch threads beside the workers")


def main(arguments: argparse.Namespace) -> None:
    """Train, or go on training, and say what came of it."""
    torch.set_num_threads(arguments.threads)
    with joined():
        found = pretrain(_settings(arguments), arguments.out)
    if not place().leads:
        return
    print(
        f"{found['images_per_s']:.1f} images/s, {found['tflop_per_s']:.3f} TFLOP/s; "
        f"mean square error of hidden pixels: source {found['source_error']:.3f}, "
        f"target {found['target_error']:.3f}; see {arguments.out / PICTURE}"
    )


def _settings(arguments: argparse.Namespace) -> PretrainSettings:
    effort = presets.effort(arguments, "pretrain")
    depth = arguments.decoder_depth
    return PretrainSettings(
        source=tuple(arguments.source),
        target=tuple(arguments.target),
        network=arguments.network or effort.preset.network,
        recipe=arguments.recipe,
        sight=arguments.sight,
        decoder_depth=_DECODER_DEPTH[arguments.sight] if depth is None else depth,
        pixels=arguments.pixels,
        background_weight=arguments.w_bg,
        crops=arguments.crops,
        paste=arguments.paste,
        frames=arguments.frames,
        begin=arguments.begin,
        train_stem=arguments.train_stem,
        wrong_masks=arguments.wrong_masks,
        foreground=arguments.foreground,
        learning_rate=arguments.learning_rate,
        effort=effort,
    )
