"""Trained networks as ONNX files that keep the contract of the bundle.

In: a run folder of `train student` or `train detector`.  Out: `pose.onnx` or `detector.onnx`: fixed
names, batch axis first, probabilities instead of logits.  Weights are stored in half precision and
computed with in single precision: half the file, and the runtime turns them back once, when it
loads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxslim
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from train.detector import DetectorNet
from train.student import INPUT_SIZE_PX, PoseNet
from train.teacher_people import INPUT_PX

OPSET: Final = 18
_SMALLEST_HALVED: Final = 64
"""Arrays with fewer numbers stay as they are; nothing is gained on them."""


class _Pose(nn.Module):
    """Pose network with calibrated scores."""

    def __init__(self, network: PoseNet, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("slope", slope)
        self.register_buffer("offset", offset)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = self.network(image)
        scores = torch.sigmoid(out["score_logits"] * self.slope + self.offset)
        return out["joints_px"], out["joints_m"], scores, torch.sigmoid(out["presence_logits"])


class _Detector(nn.Module):
    def __init__(self, network: DetectorNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        out = self.network(image)
        return out["boxes_px"], torch.sigmoid(out["score_logits"])


def export_pose(network: PoseNet, calibration: Mapping[str, Sequence[float]], path: Path) -> None:
    """Write the pose network, batch size free; `calibration`: a `slope` and `offset` per joint."""
    wrapped = _Pose(
        network, torch.tensor(calibration["slope"]), torch.tensor(calibration["offset"])
    )
    names = ["joints_px", "joints_m", "scores", "presence"]
    _export(wrapped, INPUT_SIZE_PX, names, path, batch=None)


def export_detector(network: DetectorNet, path: Path) -> None:
    """Write the detector for one frame at a time."""
    _export(_Detector(network), INPUT_PX, ["boxes_px", "scores"], path, batch=1)


def _export(
    module: nn.Module, size_px: int, outputs: list[str], path: Path, *, batch: int | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    example = (torch.rand(batch or 2, 3, size_px, size_px),)
    program = torch.onnx.export(
        module.eval(),
        example,
        input_names=["image"],
        output_names=outputs,
        opset_version=OPSET,
        dynamic_shapes=None if batch else ({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = onnxslim.slim(program.model_proto)
    _halve_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store large float arrays as half precision, with a cast behind each."""
    graph = model.graph
    casts = []
    for index, array in enumerate(graph.initializer):
        values = numpy_helper.to_array(array)
        if array.data_type != TensorProto.FLOAT or values.size < _SMALLEST_HALVED:
            continue
        name = array.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        graph.initializer[index].CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
