"""`python -m train mounting`: how a line's fixed cameras hang, from the people in their pictures.

In: for each camera a folder of pictures or a video; nobody labels anything.  Out: height, pitch,
roll and field of view with 95 % intervals, and the options that make `train synth` render people as
these cameras see them, printed and as JSON.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError, SourceError
from train.mounting.estimate import NAMES, Estimate, estimate_mounting
from train.mounting.geometry import STATURE_M
from train.mounting.sightings import Looks, Networks, look_at_camera
from train.synth.site import POSSIBLE

_OPTIONS: Final = {
    "height_m": ("--camera-height", 0.1),
    "pitch_deg": ("--camera-pitch", 1.0),
    "roll_deg": ("--camera-roll", 1.0),
    "field_of_view_deg": ("--field-of-view", 1.0),
}
"""Of `train synth`, and to what its ranges are rounded, outwards."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "targets",
        type=Path,
        nargs="+",
        help="one a camera that does not move: a folder of pictures, or a video",
    )
    parser.add_argument("--out", type=Path, help="file to write, .json")
    parser.add_argument("--every", type=int, default=1, help="of a video, every n-th frame")
    parser.add_argument("--most", type=int, default=400, help="pictures looked at, of each camera")
    parser.add_argument(
        "--stature", type=float, default=STATURE_M, metavar="M", help="of the people, in the mean"
    )
    parser.add_argument("--replicates", type=int, default=100, help="fits behind an interval")
    parser.add_argument("--threads", type=int, help="of the networks; the cores at hand by default")
    parser.add_argument("--seed", type=int, default=0)


def main(arguments: argparse.Namespace) -> None:
    """Look at every camera, and print what it takes to render its view."""
    _check(arguments)
    networks = Networks(open_bundle(), threads=arguments.threads)
    answers = [_answer(path, networks, arguments) for path in arguments.targets]
    found = [answer for answer in answers if isinstance(answer, Estimate)]
    refused = [str(answer) for answer in answers if isinstance(answer, SourceError)]
    if not found:
        raise SourceError(
            f"none of the {len(refused)} cameras shows enough to tell how it hangs; what each of "
            "them lacks stands above"
        )
    options = synth_options(found)
    print("python -m train synth " + " ".join(options))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "cameras": [as_record(estimate) for estimate in found],
            "left_out": refused,
            "synth_options": options,
        }
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


def _answer(path: Path, networks: Looks, arguments: argparse.Namespace) -> Estimate | SourceError:
    """Estimate and print; one refused camera among several does not keep the others back."""
    try:
        seen = look_at_camera(path, networks, every=arguments.every, most=arguments.most)
        estimate = estimate_mounting(
            seen,
            str(path),
            stature_m=arguments.stature,
            replicates=arguments.replicates,
            seed=arguments.seed,
        )
    except SourceError as error:
        if len(arguments.targets) == 1:
            raise
        print(f"left out: {error}", flush=True)
        return error
    print(describe(estimate), flush=True)
    return estimate


def _check(arguments: argparse.Namespace) -> None:
    least = {"every": 1, "most": 1, "replicates": 10}
    for name, limit in least.items():
        if getattr(arguments, name) < limit:
            raise ConfigError(
                f"--{name} is {getattr(arguments, name)}; give a whole number from {limit}"
            )
    if not 1.0 <= arguments.stature <= 2.2:
        raise ConfigError(f"--stature is {arguments.stature:g}; give metres, such as 1.70")


def describe(estimate: Estimate) -> str:
    """Say on one line how a camera hangs, with intervals."""
    units = ("m above the floor", "° down", "° roll", "° across")
    rows = zip(estimate.value, estimate.low, estimate.high, units, strict=True)
    numbers = ", ".join(
        f"{value:.1f} [{low:.1f}, {high:.1f}] {unit}" for value, low, high, unit in rows
    )
    return (
        f"{estimate.source}: {numbers} ({estimate.standing} of {estimate.seen} people in "
        f"{estimate.pictures} pictures stand)"
    )


def as_record(estimate: Estimate) -> dict[str, object]:
    """Return an estimate as JSON has it."""
    rows = zip(NAMES, estimate.value, estimate.low, estimate.high, strict=True)
    return {
        "source": estimate.source,
        "pictures": estimate.pictures,
        "seen": estimate.seen,
        "standing": estimate.standing,
        **{
            name: {"estimate": round(float(v), 3), "interval": [round(float(x), 3) for x in (a, b)]}
            for name, v, a, b in rows
        },
    }


def synth_options(estimates: Sequence[Estimate]) -> list[str]:
    """Return ranges that hold every camera's intervals, as words for `train synth`."""
    words: list[str] = []
    for index, name in enumerate(NAMES):
        option, step = _OPTIONS[name]
        limits = POSSIBLE[name]
        low = math.floor(min(estimate.low[index] for estimate in estimates) / step) * step
        high = math.ceil(max(estimate.high[index] for estimate in estimates) / step) * step
        words += [option, *(f"{min(max(end, limits[0]), limits[1]):g}" for end in (low, high))]
    return words
