"""The locator that ships: a square about one person's box in, where the whole body is out.

In: `image` [batch, 3, 224, 224], RGB, pixel / 127.5 - 1, black outside the frame.  Out, as a dict
of tensors: `points_px` [batch, 2254, 3, 2] in input pixels (middle of the hips; the point as far
above as the body reaches; middle of the shoulders) and `score_logits` [batch, 2254].

It starts from the pose detector of MediaPipe (BlazePose, Apache-2.0; Bazarevsky et al. 2020,
arXiv:2006.10204), of which only the points are kept: its faces' boxes say nothing here.  Anchors
and coding are described in `train/teacher_pose.py`.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from train import weights
from train.teacher_pose import DETECTOR_GRIDS, DETECTOR_PX, cell_centres
from train.tflite_graph import TfliteGraph, output_indices

INPUT_PX: Final = DETECTOR_PX
_FIRST_POINT: Final = 4
_POINTS: Final = 3
_MOST: Final = 100.0


class LocatorNet(nn.Module):
    """The published network and its decoding."""

    centres: Tensor
    cells_px: Tensor
    """Of each anchor's cell, the size."""

    def __init__(self, cache: Path = weights.DEFAULT_CACHE) -> None:
        """Start from the published weights."""
        super().__init__()
        file_bytes = weights.fetch(weights.POSE_DETECTION, cache).read_bytes()
        self.graph = TfliteGraph(file_bytes, output_indices(file_bytes))
        self.register_buffer("centres", torch.from_numpy(cell_centres()), persistent=False)
        sizes = [np.full((INPUT_PX // cell) ** 2 * each, cell) for cell, each in DETECTOR_GRIDS]
        cells_px = torch.from_numpy(np.concatenate(sizes)).float()
        self.register_buffer("cells_px", cells_px, persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Locate bodies in squares [batch, 3, 224, 224]."""
        boxes, logits = self.graph(image)
        last = _FIRST_POINT + 2 * _POINTS
        points = boxes[..., _FIRST_POINT:last].unflatten(-1, (_POINTS, 2))
        # The network counts from the corner of the first pixel, we from its centre.
        return {
            "points_px": points + self.centres[:, None] * INPUT_PX - 0.5,
            "score_logits": logits.squeeze(-1).clamp(-_MOST, _MOST),
        }

    @property
    def anchors_px(self) -> Tensor:
        """Return x, y and the size of the cell of each anchor [anchors, 3]."""
        return torch.cat([self.centres * INPUT_PX - 0.5, self.cells_px[:, None]], 1)
