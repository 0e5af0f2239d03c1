"""`python -m train backgrounds`: parts of real pictures without anybody, to render people before.

In: folders of `python -m train label`.  Out: a folder of JPEGs, each the largest square of a
picture that keeps clear of every person whom a teacher, or the box that came with the picture,
knows of.  Groups held out for evaluation are left out, as in training.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from edge_pose.errors import SourceError
from train.drawn_heads import boxes_of_anybody
from train.label_cache import read_labels
from train.labelled_image import LabelledImage
from train.pose_data import is_held_out

_CELL_PX: Final = 8
_CLEARANCE_PX: Final = 12
_LEAST_SIDE_PX: Final = 160
_PLAIN: Final = 12.0
"""Standard deviation of grey below which a square is a wall or a blown-out sky, no backdrop."""
_JPEG_QUALITY: Final = 85


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--labels", type=Path, nargs="+", required=True, help="folders made by train label"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")


def main(arguments: argparse.Namespace) -> None:
    """Cut, write and count."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    count = 0
    for folder in arguments.labels:
        for image in tqdm(read_labels(folder), desc=folder.name, unit="picture"):
            found = backdrop(image)
            if found is not None:
                path = arguments.out / f"{folder.name}-{count:05d}.jpg"
                cv2.imwrite(str(path), found, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
                count += 1
    if not count:
        raise SourceError(
            f"no picture in {', '.join(map(str, arguments.labels))} has a square of "
            f"{_LEAST_SIDE_PX} pixels without people; label others, or render before made-up walls"
        )
    sys.stdout.write(f"{count} backgrounds in {arguments.out}\n")


def backdrop(image: LabelledImage) -> UInt8[np.ndarray, "side side 3"] | None:
    """Cut the largest square without anybody; None where it is small or bare, or held out."""
    square = None if is_held_out(image.group) else largest_square(_taken(image))
    if square is None:
        return None
    row, column, side = (value * _CELL_PX for value in square)
    if side < _LEAST_SIDE_PX:
        return None
    cut = np.ascontiguousarray(image.image()[row : row + side, column : column + side])
    is_bare = cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY).std() < _PLAIN
    return None if is_bare else cut


def _taken(image: LabelledImage) -> Bool[np.ndarray, "rows columns"]:
    """Mark the cells of a picture that may show somebody."""
    taken = np.zeros((image.height_px // _CELL_PX, image.width_px // _CELL_PX), bool)
    for box in boxes_of_anybody(image):
        low = np.floor((box[:2] - _CLEARANCE_PX) / _CELL_PX).astype(int).clip(0)
        high = np.ceil((box[2:] + _CLEARANCE_PX) / _CELL_PX).astype(int).clip(0)
        taken[low[1] : high[1], low[0] : high[0]] = True
    return taken


def largest_square(taken: Bool[np.ndarray, "rows columns"]) -> tuple[int, int, int] | None:
    """Find the largest square of free cells: its first row and column, and its side, in cells.

    The square that ends at a cell is one larger than the smallest of those that end above, to the
    left and between them.
    """
    sides = (~taken).astype(int)
    for row in range(1, sides.shape[0]):
        for column in range(1, sides.shape[1]):
            if sides[row, column]:
                before = sides[row - 1 : row + 1, column - 1 : column + 1].ravel()[:3]
                sides[row, column] += before.min()
    side = int(sides.max(initial=0))
    if not side:
        return None
    row, column = divmod(int(sides.argmax()), sides.shape[1])
    return row - side + 1, column - side + 1, side
