"""Frames to measure with where nobody named a recording: golden pictures on a plain background.

In: a bundle, and how many people.  Out: a video of them, all swaying a little.
"""

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from edge_pose.bundle import Bundle
from edge_pose.errors import BundleError, ConfigError

WIDTH_PX: Final = 1280
HEIGHT_PX: Final = 720
FPS: Final = 30.0
MOST: Final = 20
_IN_A_ROW: Final = 5
_FILLED: Final = 0.8
"""Of a person's cell: some background must be left between two pictures."""
_LARGEST_PX: Final = 400
"""Enlarged further, what lies about somebody in a picture is taken for people."""
_GREY: Final = 127
_SWAY_PX: Final = 8.0
_SWAY_FRAMES: Final = 32


def write_scene(bundle: Bundle, people: int, frames: int, path: Path) -> None:
    """Film so many people for so many frames."""
    if not 1 <= people <= MOST:
        raise ConfigError(f"--people has {people}; wanted 1 to {MOST}")
    with np.load(bundle.golden_path) as stored:
        tiles = list(stored["pose.images"])
    # Motion JPEG: every OpenCV can write it, and what a USB camera sends is decoded the same way.
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH_PX, HEIGHT_PX))
    if not writer.isOpened():
        raise BundleError("this OpenCV cannot write Motion JPEG; name a recording with --camera")
    try:
        for number in range(frames):
            writer.write(scene(tiles, people, number))
    finally:
        writer.release()


def scene(
    tiles: list[UInt8[np.ndarray, "side side 3"]], people: int, number: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Place the pictures in turn, one a person, in rows of up to five."""
    rows = math.ceil(people / _IN_A_ROW)
    columns = math.ceil(people / rows)
    side_px = min(int(_FILLED * min(WIDTH_PX / columns, HEIGHT_PX / rows)), _LARGEST_PX)
    sway_px = round(_SWAY_PX * math.sin(2 * math.pi * number / _SWAY_FRAMES))
    image = np.full((HEIGHT_PX, WIDTH_PX, 3), _GREY, np.uint8)
    for index in range(people):
        row, column = divmod(index, columns)
        middle = (column + 0.5) * WIDTH_PX / columns + sway_px
        left = min(max(round(middle - side_px / 2), 0), WIDTH_PX - side_px)
        top = round((row + 0.5) * HEIGHT_PX / rows - side_px / 2)
        image[top : top + side_px, left : left + side_px] = cv2.resize(
            tiles[index % len(tiles)], (side_px, side_px)
        )
    return image
