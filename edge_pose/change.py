"""Whether anything changed in a picture where nobody is known to be: a newcomer, or a lamp.

In: frames, and the boxes of the people who are followed.  Out: yes or no, for some tenths of a
millisecond ten times a second, so that the detector, which takes fifty times as long, can wait for
a yes.

The frame is read in every few pixels and averaged in cells; a cell changed when it differs by more
than a camera's noise from what it was when the detector last looked there.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from edge_pose.clock import NS_PER_S

_CELLS: Final = 80
"""Across the longer side: somebody as high as a tenth of the picture fills about eight of them."""
_READ: Final = 3
"""Pixels that are read of each cell, across and down: noise shrinks by as much."""
_NOISE: Final = 20
"""Of 255, in any colour: four times the difference that a dark camera's noise of 10 makes."""
_FEWEST_CELLS: Final = 3
_PAUSE_NS: Final = NS_PER_S // 10
_MARGIN: Final = 0.15
"""Of a box's sides, on each of them: arms, hair and shadows of whom it is about."""

Boxes = Sequence[Float32[np.ndarray, "4"]]
_Cells = UInt8[np.ndarray, "rows columns 3"]
_Mask = Bool[np.ndarray, "rows columns"]


class ChangeDetector:
    """Compares frames with what the detector last saw of each part of the picture."""

    def __init__(self) -> None:
        """Begin with nothing to compare with, which counts as a change."""
        self._seen: _Cells = np.zeros((0, 0, 3), np.uint8)
        self._were_there: _Mask = np.zeros((0, 0), np.bool_)
        self._compared_ns = -_PAUSE_NS

    def keep(
        self, image: UInt8[np.ndarray, "height width 3"], people_px: Boxes, parts_px: Boxes
    ) -> None:
        """Compare these parts of what follows with this frame, but not where these people are."""
        cells, step_px = _cells(image)
        if cells.shape != self._seen.shape:
            self._seen, self._were_there = cells.copy(), np.zeros(cells.shape[:2], np.bool_)
        looked_at = _inside(self._were_there.shape, parts_px, step_px)
        self._seen[looked_at] = cells[looked_at]
        self._were_there[looked_at] = _about(looked_at.shape, people_px, step_px)[looked_at]

    def changed(
        self, image: UInt8[np.ndarray, "height width 3"], people_px: Boxes, at_ns: int
    ) -> bool:
        """Tell whether something changed where nobody is, nor was when the detector looked.

        Asked again within a tenth of a second it does not look, and says no.
        """
        if 0 <= at_ns - self._compared_ns < _PAUSE_NS:
            return False
        self._compared_ns = at_ns
        cells, step_px = _cells(image)
        if cells.shape != self._seen.shape:
            return True
        differs: _Mask = (cv2.absdiff(cells, self._seen) > _NOISE).any(axis=2) & ~self._were_there
        if np.count_nonzero(differs) < _FEWEST_CELLS:
            return False
        differs &= ~_about(differs.shape, people_px, step_px)
        return bool(np.count_nonzero(differs) >= _FEWEST_CELLS)


def _cells(image: UInt8[np.ndarray, "height width 3"]) -> tuple[_Cells, float]:
    """Return the mean colours of the cells, and the side of a cell in pixels."""
    step_px = max(max(image.shape[:2]) // (_CELLS * _READ), 1) * _READ
    rows, columns = (max(side // step_px, 1) for side in image.shape[:2])
    whole = image[: rows * step_px, : columns * step_px]
    read = cv2.resize(whole, (columns * _READ, rows * _READ), interpolation=cv2.INTER_NEAREST)
    cells = cv2.resize(read, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.uint8), float(step_px)


def _about(shape: tuple[int, ...], people_px: Boxes, step_px: float) -> _Mask:
    """Mark where people are, and what they may move or throw a shadow on."""
    grown = []
    for box in people_px:
        grow = _MARGIN * (box[2:] - box[:2])
        grown.append(np.concatenate([box[:2] - grow, box[2:] + grow]))
    return _inside(shape, grown, step_px)


def _inside(shape: tuple[int, ...], boxes_px: Boxes, step_px: float) -> _Mask:
    """Mark the cells that boxes touch."""
    inside = np.zeros(shape, np.bool_)
    for box in boxes_px:
        x0, y0 = np.maximum(np.floor(box[:2] / step_px), 0).astype(int)
        x1, y1 = np.maximum(np.ceil(box[2:] / step_px), 0).astype(int)
        inside[y0:y1, x0:x1] = True
    return inside
