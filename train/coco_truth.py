"""`python -m train coco`: rendered people as a labelling tool would have marked them.

In: a folder of `python -m train synth`.  Out: pictures, and `people.json` with COCO's 17 key
points, for `train adapt --labels`, so that what a few labelled frames are worth can be measured
where the truth is known.  Hidden joints are marked as hidden, joints outside the picture are not.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int64

from edge_pose.errors import SourceError
from train.coco import HIDDEN, NAMES, NOT_MARKED, VISIBLE
from train.synth.dataset import Chunk, read_chunk

LABELS: Final = "people.json"
_LEAST_VISIBLE: Final = 0.25
"""Of a person; nobody would mark the joints of less."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rendered", type=Path, required=True, help="folder of train synth")
    parser.add_argument("--frames", type=int, default=200, help="pictures to write")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and labels")


def main(arguments: argparse.Namespace) -> None:
    """Write pictures and labels until there are enough frames with somebody in them."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for key, (chunk, frame, people, name) in enumerate(
        islice(_frames(arguments.rendered), arguments.frames)
    ):
        first, last = chunk.jpeg_offsets[frame : frame + 2]
        (arguments.out / name).write_bytes(chunk.jpeg_bytes[first:last].tobytes())
        width, height = (int(side) for side in chunk.size[frame])
        images.append({"id": key, "file_name": name, "width": width, "height": height})
        marks += [{"image_id": key, **_mark(chunk, int(person))} for person in people]
    if not images:
        raise SourceError(
            f"{arguments.rendered} shows nobody; name a folder made by `python -m train synth`"
        )
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES)}],
        "annotations": [{"id": number, **mark} for number, mark in enumerate(marks)],
    }
    (arguments.out / LABELS).write_text(json.dumps(content))
    sys.stdout.write(f"{len(images)} frames, {len(marks)} people in {arguments.out / LABELS}\n")


def _frames(folder: Path) -> Iterator[tuple[Chunk, int, Int64[np.ndarray, "people"], str]]:
    """Give the frames with somebody in them: where, who, and a name for the picture."""
    for path in sorted(folder.glob("chunk-*.npz")):
        chunk = read_chunk(path)
        for frame in range(len(chunk)):
            seen = (chunk.frame == frame) & (chunk.visible_fraction > _LEAST_VISIBLE)
            if seen.any():
                yield chunk, frame, np.flatnonzero(seen), f"{path.stem}-{frame:03d}.jpg"


def _mark(chunk: Chunk, person: int) -> dict[str, Any]:
    """Return one person's annotation; COCO counts boxes from the picture's corner."""
    joints = range(len(NAMES))
    flags = np.where(chunk.visible[person], VISIBLE, HIDDEN)
    flags = np.where(chunk.inside[person], flags, NOT_MARKED)
    x0, y0, x1, y1 = (float(value) for value in chunk.box_px[person] + 0.5)
    points = [
        value
        for joint in joints
        for value in (
            *(chunk.joints_px[person, joint].astype(float) if flags[joint] else (0.0, 0.0)),
            int(flags[joint]),
        )
    ]
    return {"category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "keypoints": points}
