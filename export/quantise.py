"""A trained network in INT8: explicit Q/DQ, from one calibration, after training.

In: a network as ONNX, the crops that calibrate it, the layers that may lose precision.  Out: the
TensorRT form (`export/qdq_forms.py` makes the CPU form of it).

Symmetric, zero points 0, weights by channel, activations by the 99.99th percentile, biases in
float; sums are quantised where both terms come from quantised layers, never with a constant; no Q
between a convolution and its activation.  Before, channels are equalised (`export/equalise.py`).
While weights are rounded, what that shifts in the mean is taken from the bias (bias correction,
Nagel et al. 2019, arXiv:1906.04721, section 4.2, with measured instead of assumed inputs).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quant_pre_process
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.activations import Channels, Images, channels, ranges
from export.equalise import equalise, is_depthwise
from export.qdq_forms import MOST_INT8
from export.storage import SMALLEST, store_exact_halves
from export.sums import ends_of_terms, spare_float_readers, sums_between

QUANTISED: Final = ("Conv", "Add")
_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A network made ready for rounding, with what the calibration crops showed."""

    model: onnx.ModelProto
    """Constants folded, channels equalised; single precision."""
    channels: Mapping[str, Channels]
    ranges: Mapping[str, float]
    """Largest magnitude of each tensor that is to be told apart."""
    is_learned: bool = False
    """The weights were learned while they were rounded; biases know of it already."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Convolutions, all of which could be quantised, in the order in which they run."""
        return tuple(node.name for node in self.model.graph.node if node.op_type == "Conv")


def fold(path: Path) -> onnx.ModelProto:
    """Read a network with all its constants folded and every layer named."""
    with TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(path, folded, skip_symbolic_shape=True)
        model = onnx.load(folded)
    # ONNX Runtime notes every set of operators that it knows; only the standard one is used.
    standard = [entry for entry in model.opset_import if entry.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    return model


def calibrate(model: onnx.ModelProto, images: Images) -> Calibrated:
    """Equalise a folded network and measure what flows through it."""
    equal = equalise(model, channels(model, images))
    found = ranges(equal, images, operators=("Conv", "Clip", "Relu", "Add", "MaxPool"))
    for name, end in ends_of_terms(equal).items():
        found[name] = min(found.get(name, end), end)
    return Calibrated(model=equal, channels=channels(equal, images), ranges=found)


def quantise(calibrated: Calibrated, layers: Collection[str]) -> onnx.ModelProto:
    """Return the TensorRT form with the named layers in INT8 and all others as they were."""
    model = onnx.ModelProto()
    model.CopyFrom(calibrated.model)
    if not calibrated.is_learned:
        _round_weights(model, layers, calibrated.channels)
    chosen = [*layers, *sums_between(model, layers)]
    if not chosen:  # the quantiser would take none for all
        store_exact_halves(model)
        return model
    quantiser = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range={
            name: TensorData(lowest=np.float32(-largest), highest=np.float32(largest))
            for name, largest in calibrated.ranges.items()
        },
        nodes_to_quantize=chosen,
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTISED),
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": list(QUANTISED),
        },
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised = quantiser.model.model
    spare_float_readers(quantised, chosen)
    del quantised.metadata_props[:]
    store_exact_halves(quantised)
    onnx.checker.check_model(quantised)
    return quantised


def _round_weights(
    model: onnx.ModelProto, layers: Collection[str], found: Mapping[str, Channels]
) -> None:
    """Round weights as they will be stored, and correct biases for what that shifts in the mean.

    Of quantised layers to 255 steps, of others to half precision.
    """
    arrays = {array.name: array for array in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3 or node.input[1] not in arrays:
            continue
        weights = numpy_helper.to_array(arrays[node.input[1]]).astype(np.float64)
        axes = tuple(range(1, weights.ndim))
        if node.name in layers:
            step = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), _NOTHING) / MOST_INT8
            rounded = np.rint(weights / step) * step
        elif weights.size >= SMALLEST:
            rounded = weights.astype(np.float16).astype(np.float64)
        else:
            continue
        moved = (rounded - weights).sum(axis=axes[1:])
        mean = found[node.input[0]].mean.astype(np.float64)
        shift = moved[:, 0] * mean if is_depthwise(weights) else moved @ mean
        bias = numpy_helper.to_array(arrays[node.input[2]]) - shift
        for name, values in ((node.input[1], rounded), (node.input[2], bias)):
            arrays[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
