"""Networks against heads that people drew: `python -m benchmarks.heads`.

    python -m benchmarks.heads --workers LABELS [--bundles …]

In: teacher labels of the workers set (`python -m train label workers`), of which only where people
are and the boxes that the set's authors drew round heads and helmets are used; bundles.  Out: a
Markdown table, of the pictures held out: how far the middle between the ears, as our tiers and
MediaPipe's three networks place it, is from the middle of the drawn box, in % of the box's longer
side, with 95 % bootstrap intervals over pictures.

A box round a helmet has its middle above the ears.  So what counts is the *scatter*: the distance
that is left once each network's own mean distance, rightwards and downwards, is taken off.
Everybody sees the same squares, and a head belongs to whoever's upper half it is in, and nobody
else's: no network decides that.  Unlike the teacher's labels this is nobody's own homework.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int
from torch import nn

from benchmarks.by_hand import relabelled
from benchmarks.detector import LEAST_HEAD
from benchmarks.leaderboard import entries_of
from edge_pose.bundle import packaged
from edge_pose.config import Tier
from edge_pose.errors import EdgePoseError, SourceError
from edge_pose.skeleton import INDEX
from train.confidence import bootstrap_difference, bootstrap_mean, markdown_table
from train.drawn_heads import in_upper_half
from train.label_cache import read_labels
from train.labelled_image import LabelledImage
from train.pose_data import is_held_out

HEAD: Final = ("network", "heads", "pictures", "distance %", "scatter %", "minus the last row")
_EARS: Final = [INDEX["left_ear"], INDEX["right_ear"]]
_KINDS: Final = {"head", "helmet"}

Pair = tuple[int, Float32[np.ndarray, "4"]]
"""Somebody's place among the people of a picture, and their head."""
Away = Float64[np.ndarray, "heads 2"]
"""From the middle of the drawn box, in % of its longer side."""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.heads", description=__doc__)
    parser.add_argument("--workers", type=Path, required=True, help="folder of teacher labels")
    tiers = [packaged(tier) for tier in get_args(Tier)]
    parser.add_argument("--bundles", type=Path, nargs="+", default=tiers)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        images = [image for image in read_labels(arguments.workers) if is_held_out(image.group)]
        pairs = [pairs_of(image) for image in images]
        if not any(pairs):
            raise SourceError(
                f"{arguments.workers} holds nobody of the pictures held out with a drawn head; "
                "name labels of the workers set"
            )
        pictures = np.repeat(np.arange(len(images)), [len(found) for found in pairs])
        with tempfile.TemporaryDirectory() as folder:
            entries = entries_of(arguments.bundles, Path(folder))
            found = {entry.name: away_of(entry.network, images, pairs) for entry in entries}
    except EdgePoseError as error:
        print(f"benchmarks.heads: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(HEAD, list(rows_of(found, pictures))))
    return 0


def pairs_of(image: LabelledImage) -> list[Pair]:
    """Say whose head each drawn box is, where only one person and one box come into question."""
    least_px = LEAST_HEAD * max(image.width_px, image.height_px)
    boxes = [given.box_px for given in image.given if given.kind in _KINDS]
    heads = np.array(boxes, np.float32).reshape(-1, 4)
    heads = heads[(heads[:, 2:] - heads[:, :2]).max(1) >= least_px]
    people = np.array([person.box_px for person in image.people], np.float32).reshape(-1, 4)
    inside = in_upper_half(heads, people)
    alone = inside & (inside.sum(0, keepdims=True) == 1) & (inside.sum(1, keepdims=True) == 1)
    return [(int(who), heads[which]) for which, who in np.argwhere(alone)]


def away_of(
    network: nn.Module, images: Sequence[LabelledImage], pairs: Sequence[Sequence[Pair]]
) -> Away:
    """Measure a network, head by head."""
    away = []
    for image, heads in zip(images, pairs, strict=True):
        if not heads:
            continue
        people = relabelled(image, network).people
        for who, box in heads:
            middle, side_px = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
            away.append(100 * (people[who].joints_px[_EARS].mean(0) - middle) / side_px)
    return np.array(away, np.float64).reshape(-1, 2)


def rows_of(
    found: dict[str, Away], pictures: Int[np.ndarray, "heads"]
) -> Iterator[tuple[str, ...]]:
    """Make the rows: mean distances, what scatters, and how much less than the last network's."""
    scattered = {name: np.linalg.norm(away - away.mean(0), axis=1) for name, away in found.items()}
    last = list(scattered)[-1]
    for name, away in found.items():
        distance, scatter = np.linalg.norm(away, axis=1), scattered[name]
        less = "-"
        if name != last:
            less = bootstrap_difference(scatter[:, None], scattered[last][:, None], pictures).text(
                2
            )
        yield (
            name,
            str(len(away)),
            str(len(np.unique(pictures))),
            bootstrap_mean(distance[:, None], pictures).text(1),
            bootstrap_mean(scatter[:, None], pictures).text(2),
            less,
        )


if __name__ == "__main__":
    sys.exit(main())
