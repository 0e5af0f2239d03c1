"""Where in a frame the detector looks next: at the whole, and in turn at squares of it, closer up.

In: the size of the frame.  Out: views, as boxes in frame pixels.

A detector sees a wide frame scaled down until its *width* fits, and half of its input is rim.  In a
square as high as the frame everybody is larger by the ratio of the sides, 1.8 times in 16:9.  Such
squares overlap, so that nobody is cut by all of them, and take turns with the whole frame, so that
they cost nothing but time until a small person is found (the cutting is that of Akyon et al. 2022,
arXiv:2202.06934; the turns are ours).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

_NEARLY_SQUARE: Final = 1.2
"""Ratio of the sides up to which the whole frame is close enough."""
_OVERLAP: Final = 0.2
"""Least share of a square that its neighbour sees too."""
_RIM: Final = 0.02
"""Of the square's side: a box that comes so close to a cut has probably been cut."""


View = Float32[np.ndarray, "4"]


def views_of(width_px: int, height_px: int) -> tuple[View, ...]:
    """Return the whole frame first, then the squares from one end to the other."""
    whole = np.array([0, 0, width_px, height_px], np.float32)
    side, length = min(width_px, height_px), max(width_px, height_px)
    if length <= _NEARLY_SQUARE * side:
        return (whole,)
    count = math.ceil((length / side - _OVERLAP) / (1.0 - _OVERLAP))
    starts = [round(number * (length - side) / (count - 1)) for number in range(count)]
    if width_px > height_px:
        corners = [(start, 0) for start in starts]
    else:
        corners = [(0, start) for start in starts]
    return (whole, *(np.array([x, y, x + side, y + side], np.float32) for x, y in corners))


def closest_of(views: Sequence[View], frame_size_px: tuple[int, int]) -> list[View]:
    """Return those views in which nobody is overlooked whom another view would show larger."""
    whole, *squares = views_of(*frame_size_px)
    return [view for view in views if not squares or not np.array_equal(view, whole)]


def is_cut(
    boxes_px: Float32[np.ndarray, "boxes 4"], view: View, frame_size_px: tuple[int, int]
) -> np.ndarray:
    """Tell which boxes end at a side of the view behind which the frame goes on, [boxes] bool."""
    rim_px = _RIM * float(min(view[2:] - view[:2]))
    low = (boxes_px[:, :2] < view[:2] + rim_px) & (view[:2] > 0)
    high = (boxes_px[:, 2:] > view[2:] - rim_px) & (view[2:] < np.array(frame_size_px))
    return np.asarray((low | high).any(axis=1))


class Sweep:
    """Remembers whose turn it is."""

    def __init__(self) -> None:
        """Begin with everything."""
        self._size_px: tuple[int, int] | None = None
        self._turn = 0

    def next_views(self, width_px: int, height_px: int) -> tuple[View, ...]:
        """Return the views of this run: all in a frame of a new size, then one at a time.

        Every second turn is the whole frame's.
        """
        views = views_of(width_px, height_px)
        if self._size_px != (width_px, height_px):
            self._size_px, self._turn = (width_px, height_px), 0
            return views
        self._turn += 1
        squares = views[1:]
        if not squares or self._turn % 2 == 0:
            return views[:1]
        return (squares[self._turn // 2 % len(squares)],)
