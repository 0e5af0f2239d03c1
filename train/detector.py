"""The person detector that ships: a whole frame in, boxes with scores out.

In: `image` [batch, 3, 300, 300], RGB, pixel / 127.5 - 1, the frame letterboxed with grey.  Out, as
a dict of tensors: `boxes_px` [batch, 1917, 4] in input pixels, `score_logits` [batch, 1917] and
`encodings` [batch, 1917, 4].

It starts from the SSD-MobileNetV2 that MediaPipe's Objectron ships (Apache-2.0, 23 classes of Open
Images); of its class heads only the rows for Person are kept, so that it is ours to train for one
class.  Anchors and coding: Liu et al. 2016, arXiv:1512.02325, with the constants described in
`train/ssd.py`.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from train import weights
from train.ssd import CENTRE_SCALE, INPUT_PX, PERSON, SIZE_SCALE, anchors
from train.tflite_graph import TfliteGraph, output_indices
from train.tflite_layers import Reshape

CUT: Final = 186
"""Tensor at stride 16, [96, 19, 19], after which training pays on a small machine."""
_CLASSES: Final = 24


class DetectorNet(nn.Module):
    """MobileNetV2 with single-shot heads for one class."""

    anchors: Tensor

    def __init__(self, cache: Path = weights.DEFAULT_CACHE) -> None:
        """Start from the published weights."""
        super().__init__()
        file_bytes = weights.fetch(weights.PEOPLE_SSD, cache).read_bytes()
        self.stem = TfliteGraph(file_bytes, [CUT])
        self.tower = TfliteGraph(file_bytes, output_indices(file_bytes), source=CUT)
        _keep_one_class(self.tower, PERSON)
        self.register_buffer("anchors", torch.from_numpy(anchors()), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Find people in frames [batch, 3, 300, 300]."""
        return self.predict(self.stem(image)[0])

    def predict(self, stem_features: Tensor) -> dict[str, Tensor]:
        """Find people in what the stem made of the frames."""
        encodings, logits = self.tower(stem_features)
        return {
            "boxes_px": decode_boxes(encodings, self.anchors),
            "score_logits": logits.squeeze(-1),
            "encodings": encodings,
        }


def decode_boxes(encodings: Tensor, at: Tensor) -> Tensor:
    """Turn encodings [..., anchors, 4] into x0, y0, x1, y1 in pixels, pixel centres at integers."""
    centre = encodings[..., :2] / CENTRE_SCALE * at[:, 2:] + at[:, :2]
    half = torch.exp(encodings[..., 2:] / SIZE_SCALE) * at[:, 2:] / 2
    low, high = centre - half, centre + half
    boxes = torch.cat([low.flip(-1), high.flip(-1)], dim=-1)
    return boxes * INPUT_PX - 0.5


def encode_boxes(boxes_px: Tensor, at: Tensor) -> Tensor:
    """Undo `decode_boxes` for boxes that belong to the anchors one by one."""
    boxes = (boxes_px + 0.5) / INPUT_PX
    low, high = boxes[..., :2].flip(-1), boxes[..., 2:].flip(-1)
    centre = ((low + high) / 2 - at[:, :2]) / at[:, 2:] * CENTRE_SCALE
    return torch.cat([centre, torch.log((high - low) / at[:, 2:]) * SIZE_SCALE], dim=-1)


def _keep_one_class(graph: TfliteGraph, kept: int) -> None:
    """Cut the class heads down to the rows of one class."""
    makers = {step.output: graph.layers[step.module] for step in graph.steps}
    for step in graph.steps:
        reshape = graph.layers[step.module]
        if not (isinstance(reshape, Reshape) and reshape.shape[-1] == _CLASSES):
            continue
        reshape.shape = (*reshape.shape[:-1], 1)
        maker = makers.get(step.inputs[0])
        convolution = getattr(maker, "conv", None)
        if isinstance(convolution, nn.Conv2d):
            assert convolution.bias is not None
            convolution.weight = nn.Parameter(convolution.weight[kept::_CLASSES].detach().clone())
            convolution.bias = nn.Parameter(convolution.bias[kept::_CLASSES].detach().clone())
            convolution.out_channels = len(convolution.bias)
