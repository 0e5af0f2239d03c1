"""The worst cases of a comparison, as one picture.

In: crops, what two engines said about them, and how far that is apart.  Out: a sheet of crops, the
reference's skeleton in green, the candidate's in red, with the distance of the farthest joint.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose import skeleton
from export.parity import Answers, Differences, Picture, worst

_COLUMNS: Final = 6
_CAPTION_PX: Final = 18
_GREEN: Final = (80, 220, 80)
_RED: Final = (60, 60, 255)
_WHITE: Final = (255, 255, 255)
_BLACK: Final = (0, 0, 0)


def sheet(
    pictures: Sequence[Picture],
    reference: Answers,
    candidate: Answers,
    found: Differences,
    *,
    most: int = 24,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the crops that differ most, the worst first."""
    tiles = []
    for crop in worst(found, most):
        tile = pictures[crop].copy()
        _draw(tile, reference["joints_px"][crop], _GREEN)
        _draw(tile, candidate["joints_px"][crop], _RED)
        text = (
            f"{crop}: {found.px[crop].max():.1f} px "
            f"{skeleton.JOINTS[int(found.px[crop].argmax())]}, {found.mm[crop].max():.0f} mm"
        )
        cv2.rectangle(tile, (0, 0), (tile.shape[1], _CAPTION_PX), _BLACK, cv2.FILLED)
        cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _WHITE, 1)
        tiles.append(tile)
    columns = min(_COLUMNS, len(tiles))
    empty = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    tiles += empty
    rows = [np.hstack(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _draw(
    tile: Picture, joints_px: Float32[np.ndarray, "joints 2"], colour: tuple[int, int, int]
) -> None:
    # An overflow has no place in a picture.
    places = np.nan_to_num(joints_px, nan=-1e4, posinf=1e4, neginf=-1e4).clip(-1e4, 1e4)
    points = np.rint(places).astype(int).tolist()
    for joint, parent in enumerate(skeleton.PARENTS):
        if parent >= 0:
            cv2.line(tile, points[parent], points[joint], colour, 1, cv2.LINE_AA)
