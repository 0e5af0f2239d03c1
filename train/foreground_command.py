"""`python -m train foreground`: tell which masks of labelled pictures may be believed.

In: folders made by `python -m train label`.  Out: `foreground.json`, with the quality of each mask
and the limit below which masks are left out; and a sentence about each that is.  Masks of people in
clips are also compared with the frames before and after and, where the camera stands still, with
what moves.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.errors import ConfigError, SourceError
from train.confidence import markdown_table
from train.foreground import (
    LEAST_SCORE,
    MaskQuality,
    box_agreement,
    joint_agreement,
    motion_agreement,
    segmented,
    sift,
    stability,
)
from train.foreground_camera import FEWEST_FRAMES, learn_background
from train.foreground_scenes import mark_of
from train.label_cache import read_labels
from train.labelled_image import LabelledImage, LabelledPerson
from train.picture_runs import whole_of
from train.teacher_people import iou

_FRAME_MARK: Final = "#"
"""Keys of frames of a clip end in it and a number."""
_SAME_PERSON: Final = 0.3
"""Overlap of boxes in successive frames."""
_MOST_MOVING: Final = 0.4
"""Of the picture: where more moves, it is the camera or the light that does."""
_SAID: Final = 20
"""So many masks that are left out are named on the screen; the file names all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("labels", type=Path, nargs="+", help="folders of labelled pictures")
    parser.add_argument("--out", type=Path, required=True, help="file for the qualities (JSON)")
    parser.add_argument(
        "--least",
        type=float,
        default=LEAST_SCORE,
        help="masks with a lower score are left out, 0 to 1 (default: %(default)s)",
    )


def main(arguments: argparse.Namespace) -> None:
    """Judge the masks and say which are left out."""
    if not 0 <= arguments.least <= 1:
        raise ConfigError(f"--least is {arguments.least:g}; give a score from 0 to 1.")
    qualities: dict[str, MaskQuality] = {}
    marks: dict[str, int] = {}
    for folder in arguments.labels:
        for name, label, quality in judge(read_labels(folder)):
            qualities[name] = quality
            marks[name] = mark_of(label.box_px, label.joints_px)
    used, left_out = sift(qualities, arguments.least)
    rows = {
        name: {"mark": marks[name], "score": quality.score, **asdict(quality)}
        for name, quality in qualities.items()
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    written = {"least": arguments.least, "left_out": left_out, "masks": rows}
    arguments.out.write_text(json.dumps(written, indent=1) + "\n")
    for name in left_out[:_SAID]:
        print(f"left out: {name}, {_weakest(qualities[name])}")
    if len(left_out) > _SAID:
        print(f"and {len(left_out) - _SAID} more, all named in {arguments.out}")
    print(_table(list(qualities.values())))
    print(f"{len(used)} masks are used, {len(left_out)} of {len(qualities)} left out")


def read_left_out(path: Path) -> frozenset[int]:
    """Return the marks of the masks that a file made by this command leaves out."""
    try:
        written = json.loads(path.read_text())
        return frozenset(int(written["masks"][name]["mark"]) for name in written["left_out"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path} cannot be read as qualities of masks ({error}); make it with "
            "`python -m train foreground`."
        ) from error


def judge(
    images: Iterator[LabelledImage],
) -> Iterator[tuple[str, LabelledPerson, MaskQuality]]:
    """Yield name, label and quality of each person's mask; a clip must come in one piece."""
    for _, members in groupby(images, key=lambda image: whole_of(image.group)):
        group = list(members)
        is_clip = all(_FRAME_MARK in image.key for image in group)
        moved = moving(group) if is_clip else [None] * len(group)
        for index, image in enumerate(group):
            around = [
                group[at] for at in (index - 1, index + 1) if 0 <= at < len(group) and is_clip
            ]
            people = segmented(image)
            for number, label in enumerate(image.people):
                mask, motion = label.mask(), moved[index]
                quality = MaskQuality(
                    agreement=None
                    if motion is None
                    else motion_agreement(people, label.box_px, motion),
                    stability=stability(mask, _same_person(label, around)),
                    joints=joint_agreement(mask, label.joints_px, label.confidence),
                    box=box_agreement(mask, image.detected_px),
                )
                yield f"{image.key}, person {number}", label, quality


def moving(
    group: Sequence[LabelledImage],
) -> list[UInt8[np.ndarray, "height width"] | None]:
    """Return what moves in each frame of a clip; None where all of the picture changes."""
    sizes = {(image.width_px, image.height_px) for image in group}
    if len(group) < FEWEST_FRAMES or len(sizes) > 1:
        return [None] * len(group)
    frames = [image.image() for image in group]
    background = learn_background(frames)
    masks = [background.foreground(frame) for frame in frames]
    return [mask if mask.mean() / 255 <= _MOST_MOVING else None for mask in masks]


def _same_person(
    label: LabelledPerson, around: Sequence[LabelledImage]
) -> list[UInt8[np.ndarray, "height width"]]:
    """Return the masks of the same person in neighbouring frames."""
    found = []
    for image in around:
        if image.people:
            boxes: Float32[np.ndarray, "people 4"] = np.stack([one.box_px for one in image.people])
            shared = iou(label.box_px, boxes)
            if shared.max() >= _SAME_PERSON:
                found.append(image.people[int(shared.argmax())].mask())
    return found


def _weakest(quality: MaskQuality) -> str:
    parts = {
        "agrees with what moves": quality.agreement,
        "agrees with the frames beside it": quality.stability,
        "holds the joints": quality.joints,
        "fits the detected box": quality.box,
    }
    known = {name: value for name, value in parts.items() if value is not None}
    name = min(known, key=lambda one: known[one])
    return f"which {name} by only {known[name]:.2f}"


def _table(qualities: Sequence[MaskQuality]) -> str:
    rows = []
    for part in ("score", "agreement", "stability", "joints", "box"):
        known = [value for one in qualities if (value := getattr(one, part)) is not None]
        if known:
            low, middle = np.quantile(known, [0.05, 0.5])
            rows.append((part, str(len(known)), f"{low:.2f}", f"{middle:.2f}"))
    counted = Counter(one.score is None for one in qualities)
    rows.append(("nothing known", str(counted[True]), "-", "-"))
    return markdown_table(("part", "masks", "5 % below", "median"), rows)
