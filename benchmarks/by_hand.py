"""Networks against points that people set: `python -m benchmarks.by_hand`.

    python -m benchmarks.by_hand --labels LABELS --pictures FOLDER [--bundles …]

In: teacher labels of the desk-work set (`python -m train label sitting-posture`), for where people
are, the set itself, bundles.  Out: two Markdown tables, of the pictures held out and of all: how
far ear, shoulder and hip of our tiers and of MediaPipe's three networks are from the points, in %
of the longer side of the person's box, with 95 % bootstrap intervals over pictures.

Everybody sees the same squares.  Unlike the teacher's labels this is nobody's own homework.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from benchmarks.leaderboard import entries_of
from edge_pose.bundle import packaged
from edge_pose.config import Tier
from edge_pose.crop import apply_affine
from edge_pose.errors import EdgePoseError
from edge_pose.region import Region, region_of_body
from train.confidence import bootstrap_difference, bootstrap_mean, markdown_table
from train.known_sets import sitting_posture
from train.label_cache import read_labels
from train.labelled_image import LabelledImage
from train.pose_augment import Person, cut_crop
from train.pose_data import is_held_out
from train.sources import Stills
from train.student import INPUT_SIZE_PX
from train.teacher_check import COMPARED, point_errors

HEAD: Final = ("network", "pictures", *COMPARED.values(), "all three", "minus the last row")

Shares = Float64[np.ndarray, "pictures points"]
"""Of the box, in %; not a number where a network gives no place."""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.by_hand", description=__doc__)
    parser.add_argument("--labels", type=Path, required=True, help="folder of teacher labels")
    parser.add_argument("--pictures", type=Path, required=True, help="the unpacked set")
    tiers = [packaged(tier) for tier in get_args(Tier)]
    parser.add_argument("--bundles", type=Path, nargs="+", default=tiers)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        everything = list(read_labels(arguments.labels))
        source = sitting_posture(arguments.pictures)
        held_out = [image for image in everything if is_held_out(image.group)]
        with tempfile.TemporaryDirectory() as folder:
            entries = entries_of(arguments.bundles, Path(folder))
            for title, images in (("held out", held_out), ("all", everything)):
                found = {entry.name: shares_of(entry.network, images, source) for entry in entries}
                last = list(found.values())[-1]
                rows = [row_of(name, shares, last) for name, shares in found.items()]
                print(f"\n{title}\n\n{markdown_table(HEAD, rows)}")
    except EdgePoseError as error:
        print(f"benchmarks.by_hand: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def shares_of(network: nn.Module, images: Sequence[LabelledImage], source: Stills) -> Shares:
    """Measure a network, picture by picture."""
    shares = []
    for image in images:
        found = point_errors([relabelled(image, network)], source)
        by_name = {error.name: 100 * error.error_px / error.box_px for error in found}
        shares.append([by_name.get(point, np.nan) for point in COMPARED])
    return np.array(shares, np.float64).reshape(-1, len(COMPARED))


def row_of(name: str, shares: Shares, other: Shares) -> tuple[str, ...]:
    """Make a row of the table: means, and how much less than another network's."""
    measured = int(np.isfinite(shares).any(axis=1).sum())
    columns = [*np.split(shares, len(COMPARED), axis=1), shares]
    less = "-" if shares is other else bootstrap_difference(shares, other).text(2)
    return (name, str(measured), *(bootstrap_mean(column).text(2) for column in columns), less)


@torch.no_grad()
def relabelled(image: LabelledImage, network: nn.Module) -> LabelledImage:
    """Replace what the teacher says of each person's joints by what a network says."""
    if not image.people:
        return image
    picture = image.image()
    regions = [region_of_body(person.reach_px) for person in image.people]
    crops = [
        cut_crop(
            Person(
                image=picture,
                box_px=person.box_px,
                reach_px=person.reach_px,
                joints_px=person.joints_px,
                weight_2d=person.confidence,
            ),
            region,
        ).image
        for person, region in zip(image.people, regions, strict=True)
    ]
    answer = network(torch.from_numpy(np.stack(crops)).float() / 255)
    scores = answer["score_logits"].sigmoid().numpy()
    return replace(
        image,
        people=tuple(
            replace(person, joints_px=places_px, confidence=sure)
            for person, places_px, sure in zip(
                image.people,
                placed(regions, answer["joints_px"].numpy()),
                scores,
                strict=True,
            )
        ),
    )


def placed(regions: Iterable[Region], joints_px: np.ndarray) -> list[np.ndarray]:
    """Bring joints from their crops into the picture."""
    return [
        apply_affine(region.image_from_region(INPUT_SIZE_PX), places_px).astype(np.float32)
        for region, places_px in zip(regions, joints_px, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
