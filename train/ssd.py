"""Boxes as SSD-MobileNetV2 tells them: its anchors, and how boxes are coded relative to them.

In: nothing, or encodings of the network that MediaPipe's Objectron ships (Open Images v4).  Out:
anchors, or boxes in fractions of the picture.

* anchors, row by row, cell by cell, fastest the shapes of one cell: square maps of 19, 10, 5, 3,
  2 and 1 cells, their centres at (cell + 0.5) / cells; scale s_k = 0.2 + 0.75 k / 5 for k = 0…5
  and s_6 = 1.  Map 0 has three shapes: (scale, width : height) = (0.1, 1), (s_0, 2), (s_0, 1/2).
  The other maps have six: (s_k, 1), (s_k, 2), (s_k, 1/2), (s_k, 3), (s_k, 1/3), (√(s_k s_k+1),
  1).  Width = scale·√ratio, height = scale/√ratio, as fractions of the picture.  3·19² + 6·(10² +
  5² + 3² + 2² + 1) = 1917;
* decoding: cy = ty/10·ha + ya, cx = tx/10·wa + xa, h = ha·exp(th/5), w = wa·exp(tw/5).

Liu et al. 2016, arXiv:1512.02325.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float32

INPUT_PX: Final = 300
PERSON: Final = 4
MAPS: Final = (19, 10, 5, 3, 2, 1)
SCALES: Final = (*np.linspace(0.2, 0.95, len(MAPS)).tolist(), 1.0)
CENTRE_SCALE: Final = 10.0
SIZE_SCALE: Final = 5.0

MEAN: Final = (0.5, 0.5, 0.5)
STD: Final = (0.5, 0.5, 0.5)
"""Red, green, blue: the network wants (pixel / 255 - mean) / std, which goes from -1 to 1."""
PAD_VALUE: Final = 127
"""Grey of a letterboxed frame's border."""


def anchors() -> Float32[np.ndarray, "anchors 4"]:
    """Return the anchors as (centre y, centre x, height, width), fractions of the picture."""
    rows: list[tuple[float, float, float, float]] = []
    for layer, (cells, (scale, next_scale)) in enumerate(zip(MAPS, pairwise(SCALES), strict=True)):
        if layer == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
            shapes.append((float(np.sqrt(scale * next_scale)), 1.0))
        for row in range(cells):
            for column in range(cells):
                rows += [
                    (
                        (row + 0.5) / cells,
                        (column + 0.5) / cells,
                        size / ratio**0.5,
                        size * ratio**0.5,
                    )
                    for size, ratio in shapes
                ]
    return np.asarray(rows, np.float32)


def decode(
    encodings: Float32[np.ndarray, "anchors 4"], at: Float32[np.ndarray, "anchors 4"]
) -> Float32[np.ndarray, "anchors 4"]:
    """Turn box encodings into x0, y0, x1, y1 as fractions of the picture."""
    centre = encodings[:, :2] / CENTRE_SCALE * at[:, 2:] + at[:, :2]
    half = np.exp(encodings[:, 2:] / SIZE_SCALE) * at[:, 2:] / 2
    return np.concatenate([(centre - half)[:, ::-1], (centre + half)[:, ::-1]], axis=1)
