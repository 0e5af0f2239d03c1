"""A second look at each joint: regressed places in, the same places sharpened by heat maps out.

A regression answers from a feature map of 2 x 2; its decoder's heat maps are coarse too, 64 x 64,
but each cell speaks only of its own place.  So the regression says where to look and the heat map
where in there: the mean place under the map, weighted by a soft window about the regressed place.
MediaPipe's graph does the like (RefineLandmarksFromHeatmapCalculator: a hard window of seven cells
and one threshold); a soft window and gradual trust were better on people trained on (docs/log.md),
and have gradients everywhere.
"""

from typing import Final

import torch
from torch import Tensor

_WINDOW_CELLS: Final = 2.5
"""Standard deviation of the window."""
_UNSURE, _SURE = 0.05, 0.3
"""Heat inside the window below which the regression stays as it is, and above which it yields."""
_LEAST_MASS: Final = 1e-6


def sharpened(places_px: Tensor, heat_logits: Tensor, size_px: int) -> Tensor:
    """Move places towards the heat near them.

    Args:
        places_px: [batch, joints, 2], x and y in pixels of a square picture.
        heat_logits: [batch, joints, cells, cells], rows first; cell i stands at its upper left
            pixel's edge, as the published networks were trained.
        size_px: side of the picture.

    Returns:
        Places of the same shape.

    """
    cells = heat_logits.shape[-1]
    px_per_cell = size_px / cells
    at = torch.arange(cells, dtype=places_px.dtype, device=places_px.device)
    expected = (places_px + 0.5) / px_per_cell
    window_x, window_y = (
        torch.exp(-((at - expected[..., axis, None]) ** 2) / (2 * _WINDOW_CELLS**2))
        for axis in range(2)
    )
    heat = heat_logits.sigmoid() * window_y[..., :, None] * window_x[..., None, :]
    by_column, by_row = heat.sum(-2), heat.sum(-1)
    mass = by_row.sum(-1, keepdim=True).clamp_min(_LEAST_MASS)
    mean = torch.cat(
        [(by_column * at).sum(-1, keepdim=True), (by_row * at).sum(-1, keepdim=True)], -1
    )
    trust = ((heat.amax((-2, -1)) - _UNSURE) / (_SURE - _UNSURE)).clamp(0, 1)[..., None]
    return places_px + trust * (mean / mass * px_per_cell - 0.5 - places_px)
