"""What flows through a network while it looks at calibration crops.

In: a network of constants and the batches to feed it.  Out: by channel, the mean and the largest
magnitude of every map that a convolution reads or writes; by tensor, the range that holds a share
of all values (a percentile, by ONNX Runtime's own calibrator).
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float32
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    CalibrationMethod,
    create_calibrator,
)

PERCENTILE: Final = 99.99
_IMAGE_RANK: Final = 4
_AXES: Final = "spatial_axes"
_MEASURES: Final = {"mean": "ReduceMean", "high": "ReduceMax", "low": "ReduceMin"}

Images = Float32[np.ndarray, "n 3 height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """One map, channel by channel, over all calibration crops."""

    mean: Float32[np.ndarray, "channels"]
    largest: Float32[np.ndarray, "channels"]
    """Magnitude."""


class _Fed(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """Feeds one picture."""

    def __init__(self, name: str, image: Images) -> None:
        self._left = iter([{name: image}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def channels(model: onnx.ModelProto, images: Images, *, at_once: int = 8) -> dict[str, Channels]:
    """Measure every map that a convolution reads or writes, and every activation's."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    axes = numpy_helper.from_array(np.array([2, 3]), _AXES)
    probed.graph.initializer.append(axes)
    names = list(
        dict.fromkeys(
            name
            for node in model.graph.node
            if node.op_type in ("Conv", "Clip", "Relu", "Add", "MaxPool")
            for name in (node.input[0], node.output[0])
            if _rank(model, name) == _IMAGE_RANK
        )
    )
    wanted = [f"{name}/{measure}" for name in names for measure in _MEASURES]
    for name in names:
        for measure, kind in _MEASURES.items():
            probe = f"{name}/{measure}"
            probed.graph.node.append(helper.make_node(kind, [name, _AXES], [probe], keepdims=0))
            probed.graph.output.append(
                helper.make_tensor_value_info(probe, TensorProto.FLOAT, None)
            )
    session = onnxruntime.InferenceSession(
        probed.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    fed = model.graph.input[0].name
    parts = [
        session.run(wanted, {fed: images[first : first + at_once]})
        for first in range(0, len(images), at_once)
    ]
    joined = dict(zip(wanted, map(np.concatenate, zip(*parts, strict=True)), strict=True))
    return {
        name: Channels(
            mean=joined[f"{name}/mean"].mean(axis=0),
            largest=np.maximum(
                joined[f"{name}/high"].max(axis=0), -joined[f"{name}/low"].min(axis=0)
            ),
        )
        for name in names
    }


def ranges(
    model: onnx.ModelProto,
    images: Images,
    *,
    operators: Sequence[str],
    percentile: float = PERCENTILE,
) -> dict[str, float]:
    """Find the magnitude below which so many percent of each tensor's values lie.

    Of the tensors that the named operators read or write.
    """
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        plain, probed = Path(folder) / "plain.onnx", Path(folder) / "probed.onnx"
        onnx.save(model, plain)
        calibrator = create_calibrator(
            plain,
            list(operators),
            augmented_model_path=str(probed),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"symmetric": True, "percentile": percentile},
        )
        # One at a time: the calibrator keeps all maps of what it is given at once.
        for image in images:
            calibrator.collect_data(_Fed(model.graph.input[0].name, image[None]))
        found = calibrator.compute_data()
    return {
        name: float(max(abs(low), abs(high)))
        for name, (low, high) in ((name, tensor.range_value) for name, tensor in found.items())
    }


def _rank(model: onnx.ModelProto, name: str) -> int:
    graph = model.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.name == name:
            return len(value.type.tensor_type.shape.dim)
    return 0
