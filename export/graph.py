"""Trained networks as ONNX files that keep the contract of the bundle.

In: a network of the workshop.  Out: `detector.onnx` or `pose.onnx`: fixed names, batch axis first,
probabilities instead of logits.  Weights are stored in half precision, or as bytes with a scale for
each channel, and computed with in single precision: a half or a quarter of the file, and the
runtime turns them back once, when it loads.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
import onnxslim
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.storage import as_halves
from train.detector import DetectorNet
from train.ensemble import Ensemble
from train.shipped import START, STEP, STEPS
from train.ssd import INPUT_PX
from train.student import INPUT_SIZE_PX, PoseNet

OPSET: Final = 18
_SMALLEST_SHRUNK: Final = 64
"""Arrays with fewer numbers stay as they are; nothing is gained on them."""
_SMALLEST_HALVED: Final = 8192
"""Fewer are kept, as are depthwise filters: rounded to halves they moved joints by 1.3 mm in the
mean, all that is larger together by 0.3 mm, and they are a twelfth of the numbers.
"""
_FILTER_AXES: Final = 4
_RESIZE_TO_SIZES: Final = 4
"""Inputs of a Resize that is told a size: picture, nothing, nothing, size."""
_ANSWERS: Final = (".head.", ".reach.")
"""What stands in the names of the layers whose answers are joints and reach."""

_Stored = tuple[list[TensorProto], list[onnx.NodeProto]]
"""Arrays, and the nodes that make of them the array that the graph reads."""
_Store = Callable[[np.ndarray, str], _Stored | None]
"""How an array is stored; None where it stays as it is."""


class _Pose(nn.Module):
    """Pose network with calibrated scores."""

    slope: Tensor
    offset: Tensor

    def __init__(self, network: PoseNet | Ensemble, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("slope", slope)
        self.register_buffer("offset", offset)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        out = self.network(image)
        scores = torch.sigmoid(out["score_logits"] * self.slope + self.offset)
        presence = torch.sigmoid(out["presence_logits"])
        return out["joints_px"], out["joints_m"], scores, presence, out["reach_px"]


class _Detector(nn.Module):
    """Detector with probabilities."""

    def __init__(self, network: DetectorNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        out = self.network(image)
        return out["boxes_px"], torch.sigmoid(out["score_logits"])


def export_pose(
    network: PoseNet | Ensemble, calibration: Mapping[str, Sequence[float]], path: Path
) -> None:
    """Write the pose network, batch size free.

    Args:
        network: what was trained, alone or with others.
        calibration: a `slope` and an `offset` per joint.
        path: the file to write.

    """
    slope, offset = (torch.tensor(calibration[name]) for name in ("slope", "offset"))
    wrapped = _Pose(network, slope, offset)
    names = ["joints_px", "joints_m", "scores", "presence", "reach_px"]
    _export(wrapped, INPUT_SIZE_PX, names, path, batch=None, said={START: network.start})


def export_detector(network: DetectorNet, path: Path) -> None:
    """Write the detector for one frame at a time."""
    _export(
        _Detector(network),
        INPUT_PX,
        ["boxes_px", "scores"],
        path,
        batch=1,
        store=_as_bytes,
    )


def _export(
    module: nn.Module,
    size_px: int,
    outputs: list[str],
    path: Path,
    *,
    batch: int | None,
    store: _Store | None = None,
    said: Mapping[str, str] = MappingProxyType({}),
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
    fix_scales(model)
    _shrink(model, store or _as_halves)
    helper.set_model_props(model, dict(said))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def fix_scales(model: onnx.ModelProto) -> None:
    """Tell every Resize by what it enlarges instead of the size that comes out.

    ONNX Runtime's blocked layout then goes on through it: a twentieth of the network's time.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) == _RESIZE_TO_SIZES:
            before, after = (
                np.array(sizes[name][2:], np.float32) for name in (node.input[0], node.output[0])
            )
            scales = np.concatenate([np.ones(2, np.float32), after / before])
            name = f"{node.output[0]}.scales"
            model.graph.initializer.append(numpy_helper.from_array(scales, name))
            node.input[:] = [node.input[0], "", name]
    _drop_unread(model.graph)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes whose outputs nobody reads, then those that only they had read."""
    while True:
        read = {name for node in graph.node for name in node.input}
        read |= {value.name for value in graph.output}
        unread = [node for node in graph.node if not read.intersection(node.output)]
        if not unread:
            break
        for node in unread:
            graph.node.remove(node)
    for array in [array for array in graph.initializer if array.name not in read]:
        graph.initializer.remove(array)


def _shrink(model: onnx.ModelProto, store: _Store) -> None:
    """Store large float arrays small, with the way back to them as nodes.

    Biases are kept: rounded to halves, those of one layer moved joints by millimetres.  So are the
    layers whose answers are joints.
    """
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for array in list(graph.initializer):
        values = numpy_helper.to_array(array)
        is_kept = values.size < _SMALLEST_SHRUNK or values.ndim == 1
        if array.data_type != TensorProto.FLOAT or is_kept or _is_answer(array.name):
            continue
        stored = store(values, array.name)
        if stored is None:
            continue
        arrays, way_back = stored
        graph.initializer.remove(array)
        graph.initializer.extend(arrays)
        nodes += way_back
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _is_answer(name: str) -> bool:
    return any(layer in name for layer in _ANSWERS)


def _as_halves(values: np.ndarray, name: str) -> _Stored | None:
    is_depthwise = values.ndim == _FILTER_AXES and values.shape[1] == 1
    if values.size < _SMALLEST_HALVED or is_depthwise:
        return None
    half, widen = as_halves(values, name)
    return [half], [widen]


def in_steps(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round to 255 steps between minus and plus the largest weight of each output channel."""
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    scale = np.maximum(largest, np.float32(1e-12)) / np.float32(127)
    return np.rint(values / scale).astype(np.int8), scale.astype(np.float32)


def _as_bytes(values: np.ndarray, name: str) -> _Stored | None:
    if values.ndim < _FILTER_AXES:
        return _as_halves(values, name)
    whole, scale = in_steps(values)
    steps = numpy_helper.from_array(whole, name + STEPS)
    step = numpy_helper.from_array(scale, name + STEP)
    return [steps, step], [
        helper.make_node("Cast", [steps.name], [f"{name}.whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.whole", step.name], [name]),
    ]
