"""Moving people from head to foot, known to the millimetre: the appliance beside MediaPipe.

    python -m benchmarks.films --films FOLDER … [--models full heavy] [--tiers fast accurate]

In: films that `python -m train film` made, with their truth.  Out: Markdown tables.  Ours runs as a
user starts it, `edge-pose run FILM --output jsonl`, and knows the focal length; MediaPipe runs in
its video mode.  Twelve joints of the limbs count, in pictures that show at least five joints of the
body; MPJPE from the middle of the hips, PA after the best similarity.  Errors are compared on the
pictures in which everybody found somebody, the mean of each; a find is one whose joints lie within
half the body of where they are.  *Sides*: pictures in which the joints fit better with left and
right exchanged.  Intervals: 95 % bootstrap over whole films.
"""

import argparse
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int

from benchmarks import ours, rivals
from benchmarks.clip_poses import ClipPoses
from edge_pose.config import Tier
from edge_pose.errors import EdgePoseError, SourceError
from edge_pose.skeleton import LIMBS_12, MIRROR
from train.confidence import bootstrap_difference, bootstrap_mean, markdown_table
from train.metrics import aligned_errors_mm, position_errors_mm
from train.synth.film import FilmTruth, finished_films, read_film_truth

FEWEST_SHOWN: Final = 5
ASTRAY: Final = 0.5
"""Mean distance of the limbs from where they are, in bodies, of whoever else was found."""
EXCHANGED: Final = 0.7
"""Of the distance as named, that is left when sides are exchanged, where they were wrong."""
YARDSTICK: Final = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Errors of one estimator; a row a picture that shows somebody, NaN where it found nobody."""

    found: Bool[np.ndarray, "pictures"]
    rooted_mm: Float64[np.ndarray, "pictures 1"]
    aligned_mm: Float64[np.ndarray, "pictures 1"]
    picture: Float64[np.ndarray, "pictures 1"]
    """In bodies: the longer side of the box around the truth."""
    exchanged: Float64[np.ndarray, "pictures 1"]


def films_in(folders: list[Path], most: int) -> list[Path]:
    """List the finished films of each folder.

    Raises:
        SourceError: a folder holds none.

    """
    films = []
    for folder in folders:
        found = finished_films(folder)
        if not found:
            raise SourceError(f"{folder} holds no film; make some with `python -m train film`.")
        films += found[:most]
    return films


def judge(poses: ClipPoses, truth: FilmTruth) -> Seen:
    """Compare what was said about a film with what it shows."""
    shown = truth.visible.sum(axis=1) >= FEWEST_SHOWN
    limbs = list(LIMBS_12)
    said_px, known_px = poses.joints_px[shown], truth.joints_px[shown].astype(np.float64)
    body_px = np.ptp(known_px, axis=1).max(axis=1)
    apart = np.linalg.norm(said_px[:, limbs] - known_px[:, limbs], axis=2).mean(axis=1) / body_px
    other = [MIRROR[joint] for joint in limbs]
    crossed = np.linalg.norm(said_px[:, other] - known_px[:, limbs], axis=2).mean(axis=1) / body_px
    found = poses.found[shown] & (np.fmin(apart, crossed) <= ASTRAY)
    counted = np.zeros(truth.visible[shown].shape, bool)
    counted[:, limbs] = found[:, None]
    said_m, known_m = poses.joints_m[shown], truth.joints_m[shown].astype(np.float64)
    said_m = np.where(np.isfinite(said_m), said_m, 0.0)
    rooted, aligned = (
        measure(said_m, known_m, counted)[:, limbs].mean(axis=1, keepdims=True)
        for measure in (position_errors_mm, aligned_errors_mm)
    )
    return Seen(
        found=found,
        rooted_mm=rooted,
        aligned_mm=aligned,
        picture=np.where(found, apart, np.nan)[:, None],
        exchanged=np.where(found, crossed < EXCHANGED * apart, np.nan)[:, None],
    )


def joined(parts: list[Seen]) -> Seen:
    """Put the pictures of all films behind each other."""
    return Seen(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Seen)
        }
    )


def our_poses(film: Path, truth: FilmTruth, tier: str) -> ClipPoses:
    """Run the appliance as its user does."""
    options = ("--fx", f"{truth.matrix[0, 0]:.2f}", "--tier", tier)
    poses, _ = ours.watch(film, *options, frames=len(truth.joints_m))
    return poses


def table(seen: dict[str, Seen], films: Int[np.ndarray, "pictures"]) -> str:
    """Write a row an estimator."""
    everybody = np.all([one.found for one in seen.values()], axis=0)[:, None]
    yardstick = seen.get(YARDSTICK)
    rows = []
    for name, one in seen.items():
        rooted, aligned, picture = (
            np.where(everybody, errors, np.nan)
            for errors in (one.rooted_mm, one.aligned_mm, one.picture)
        )
        rows.append(
            (
                name,
                f"{100 * one.found.mean():.1f}",
                bootstrap_mean(rooted, films).text(),
                bootstrap_mean(aligned, films).text(),
                bootstrap_mean(100 * picture, films).text(2),
                f"{100 * np.nanmean(one.exchanged):.1f}",
                "-"
                if yardstick is None or one is yardstick
                else bootstrap_difference(rooted, yardstick.rooted_mm, films).text(),
            )
        )
    head = (
        "estimator",
        "found %",
        "MPJPE mm",
        "PA mm",
        "2D % of the body",
        "sides exchanged %",
        f"MPJPE less that of {YARDSTICK}",
    )
    return markdown_table(head, rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.films", description=__doc__)
    parser.add_argument("--films", type=Path, nargs="+", required=True, help="by train film")
    parser.add_argument("--models", nargs="*", choices=rivals.MODELS, default=[])
    parser.add_argument("--tiers", nargs="+", default=["fast"], choices=get_args(Tier))
    parser.add_argument("--most", type=int, default=1000, help="films of each folder")
    arguments = parser.parse_args()
    try:
        films = films_in(arguments.films, arguments.most)
        interpreter = rivals.prepare() if arguments.models else Path()
        parts: dict[str, list[Seen]] = {name: [] for name in (*arguments.tiers, *arguments.models)}
        numbers = []
        for number, film in enumerate(films):
            truth = read_film_truth(film)
            for tier in arguments.tiers:
                parts[tier].append(judge(our_poses(film, truth, tier), truth))
            for model in arguments.models:
                poses = rivals.watch_cached(interpreter, film, model, anew=False)
                parts[model].append(judge(poses, truth))
            numbers.append(np.full(len(parts[arguments.tiers[0]][-1].found), number))
            print(f"{number + 1} of {len(films)} films", end="\r", file=sys.stderr, flush=True)
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    seen = {name: joined(films_seen) for name, films_seen in parts.items()}
    print(f"{len(films)} films, {len(np.concatenate(numbers))} pictures that show somebody")
    print(table(seen, np.concatenate(numbers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
