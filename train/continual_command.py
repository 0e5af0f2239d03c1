"""`python -m train continual`: one target after another; a table says what each stage forgot.

In: a run that `python -m train adapt` left in its folder `second`, the source, and targets in
their order.  Out: a folder with a run for each target and `forgetting.jsonl`; started again, it
goes on, and a target may be added at the end.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import torch

from edge_pose.errors import ConfigError
from train.continual import READINGS, Course, follow, forgetting_table
from train.forgetting import ForgettingMeter, ForgotTooMuch
from train.presets import PRESETS, positive, share

_METHOD: Final = "attention+masked_consistency"
_LEGEND: Final = (
    "F: the error minus the least of all earlier stages; above 0 something was forgotten."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--begin",
        type=Path,
        required=True,
        metavar="RUN",
        help="finished run of the second stage: OUT/second/NAME-seedS of train adapt",
    )
    parser.add_argument(
        "--source", type=Path, nargs="+", required=True, help="folders made by train synth"
    )
    parser.add_argument(
        "--targets",
        type=Path,
        nargs="+",
        required=True,
        help="pictures, videos, or folders made by train label or train synth, in their order",
    )
    parser.add_argument(
        "--test",
        type=Path,
        nargs="*",
        default=[],
        help="folders to measure in, of source and targets; besides, the groups held out of "
        "labelled targets",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; continued if it exists")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="what machine")
    parser.add_argument(
        "--share-of-steps", type=share, default=1.0, help="of the preset's, for a first look"
    )
    parser.add_argument(
        "--method", default=_METHOD, help="of train/adaptation_methods.py, or several joined by +"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--most", type=positive, default=500, help="people measured in each domain")
    parser.add_argument(
        "--forget-at-most", type=float, metavar="MM", help="stop when a domain lost more than this"
    )
    parser.add_argument(
        "--threads", type=positive, default=1, help="torch threads beside the workers"
    )


def main(arguments: argparse.Namespace) -> None:
    """Run, or go on, and print the table, also where a stage forgot too much."""
    if arguments.seed < 0:
        raise ConfigError(f"--seed is {arguments.seed}; it must be 0 or more")
    torch.set_num_threads(arguments.threads)
    course = Course(
        begin=arguments.begin,
        source_folders=tuple(arguments.source),
        targets=tuple(arguments.targets),
        test_folders=tuple(arguments.test),
        method=arguments.method,
        preset_name=arguments.preset,
        share_of_steps=arguments.share_of_steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        most=arguments.most,
        bound_mm=arguments.forget_at_most,
        out=arguments.out,
    )
    try:
        follow(course)
    except ForgotTooMuch:
        _show(course)
        raise
    _show(course)


def _show(course: Course) -> None:
    path = course.out / READINGS
    table = forgetting_table(ForgettingMeter(path).readings)
    sys.stdout.write(f"{table}\n\n{_LEGEND}\n\nWritten: {path}\n")


def _share(text: str) -> float:
    """Read a share; the name stands in what argparse says of another text."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not a share, above 0 and up to 1")
    return value
