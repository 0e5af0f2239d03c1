"""One calibration, two forms: what TensorRT reads, and what ONNX Runtime is fast with on a CPU.

In: a network with explicit Q/DQ in the TensorRT form.  Out: the CPU form, of the same steps.

TensorRT form: int8 everywhere, zero points 0, weights by channel, biases in float, activations
(Relu, Clip) before the Q that follows them.  ONNX Runtime runs that form several times slower than
float.  Its fast kernels want unsigned activations, biases in int32 and nothing between a
convolution and its Q.  Three passes lead there:

* `fold_activations`: a Q that starts at zero is itself a Relu.  Q becomes uint8 with zero point 0,
  and the activation goes.  The steps can be halved in the same pass, for uint8 has 255 steps above
  zero where int8 has 127, over the same range.
* `unsigned`: every other int8 activation becomes uint8 with zero point 128; the same numbers.
* `whole_biases`: biases become int32 in units of input step times weight step, which moves each by
  at most half such a unit.

Without halving, both forms differ by those half units alone, as long as nothing lies beyond the
calibrated range.  Beyond it, int8 saturates at 127 steps; uint8 with whole steps goes on to 255,
which a Clip with an upper end would not have let through, so a Clip is folded only with half steps.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

MOST_INT8: Final = 127
_MIDDLE_UINT8: Final = 128
_LARGEST_BIAS: Final = 2.0**30
"""In units; beyond it int32 would overflow once the products are added."""
_SLACK: Final = 1.001
"""A range may pass a Clip's upper end by rounding."""
QUANTISE: Final = "QuantizeLinear"
DEQUANTISE: Final = "DequantizeLinear"
_WEIGHTED: Final = ("Conv", "Gemm")


def cpu_form(trt_form: onnx.ModelProto, *, half_steps: bool = True) -> onnx.ModelProto:
    """Return the network as ONNX Runtime's CPU kernels want it; the argument stays as it is."""
    model = onnx.ModelProto()
    model.CopyFrom(trt_form)
    fold_activations(model, half_steps=half_steps)
    unsigned(model)
    whole_biases(model)
    del model.graph.value_info[:]  # states types that no longer hold
    onnx.checker.check_model(model)
    return model


def fold_activations(model: onnx.ModelProto, *, half_steps: bool) -> int:
    """Let the Q after an activation do its work; return how many activations went."""
    graph = model.graph
    arrays = constants(model)
    readers = readers_of(model)
    outputs = {output.name for output in graph.output}
    zero = _add(graph, "zero_uint8", np.zeros((), np.uint8))
    folded = 0
    for node in list(graph.node):
        following = readers[node.output[0]]
        if (
            not following
            or node.output[0] in outputs
            or any(reader.op_type != QUANTISE for reader in following)
            or not _starts_at_zero(node, following, arrays, half_steps=half_steps)
        ):
            continue
        for quantise in following:
            scale = quantise.input[1]
            if half_steps:
                half = np.asarray(arrays[scale] / np.float32(2), np.float32)
                scale = _add(graph, f"{scale}.half", half)
            quantise.input[:] = [node.input[0], scale, zero]
            for dequantise in readers[quantise.output[0]]:
                dequantise.input[1:] = [scale, zero]
        graph.node.remove(node)
        folded += 1
    _drop_unread(graph)
    return folded


def unsigned(model: onnx.ModelProto) -> int:
    """Shift int8 activations to uint8 with zero point 128; return how many Q and DQ changed."""
    graph = model.graph
    arrays = constants(model)
    middle = _add(graph, "middle_uint8", np.array(_MIDDLE_UINT8, np.uint8))
    changed = 0
    for node in graph.node:
        if node.op_type not in (QUANTISE, DEQUANTISE) or node.input[0] in arrays:
            continue
        if node.input[2] in arrays and arrays[node.input[2]].dtype == np.int8:
            node.input[2] = middle
            changed += 1
    _drop_unread(graph)
    return changed


def whole_biases(model: onnx.ModelProto) -> int:
    """Make float biases of quantised layers int32; return how many."""
    graph = model.graph
    arrays = constants(model)
    producer = producers_of(model)
    changed = 0
    for node in list(graph.node):
        if node.op_type not in _WEIGHTED or len(node.input) < 3 or node.input[2] not in arrays:
            continue
        fed, weighted = (producer.get(name) for name in node.input[:2])
        if fed is None or weighted is None or {fed.op_type, weighted.op_type} != {DEQUANTISE}:
            continue
        bias = arrays[node.input[2]].astype(np.float64)
        input_step = float(arrays[fed.input[1]])
        steps = _wide_enough(graph, weighted, arrays, bias / input_step)
        unit = np.broadcast_to(steps * input_step, bias.shape)
        named = f"{node.input[2]}.whole"
        parts = {
            named: np.rint(bias / unit).astype(np.int32),
            f"{named}.unit": unit.astype(np.float32),
            f"{named}.zero": np.zeros(bias.shape, np.int32),
        }
        names = [_add(graph, name, values) for name, values in parts.items()]
        graph.node.insert(0, helper.make_node(DEQUANTISE, names, [f"{named}.float"], axis=0))
        node.input[2] = f"{named}.float"
        changed += 1
    _drop_unread(graph)
    return changed


def _wide_enough(
    graph: onnx.GraphProto,
    weighted: onnx.NodeProto,
    arrays: Mapping[str, np.ndarray],
    bias: np.ndarray,
) -> np.ndarray:
    """Return the steps of a layer's weights, wider where the bias would not fit into int32.

    That happens to channels whose weights are next to nothing beside their bias, so that coarser
    weights move them by less than a thousandth.
    """
    whole, steps = arrays[weighted.input[0]], arrays[weighted.input[1]].astype(np.float64)
    factor = np.maximum(np.abs(bias) / np.broadcast_to(steps, bias.shape) / _LARGEST_BIAS, 1.0)
    if (factor == 1.0).all():
        return steps
    along = factor.reshape(-1, *[1] * (whole.ndim - 1))
    steps = (steps * factor).astype(np.float32)
    weighted.input[0] = _add(
        graph, f"{weighted.input[0]}.coarse", np.rint(whole / along).astype(np.int8)
    )
    weighted.input[1] = _add(graph, f"{weighted.input[1]}.coarse", steps)
    return steps.astype(np.float64)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the arrays that the network carries, by name."""
    return {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}


def producers_of(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return who writes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def readers_of(model: onnx.ModelProto) -> Mapping[str, Sequence[onnx.NodeProto]]:
    """Return who reads each tensor; nobody for unknown names."""
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            readers[name].append(node)
    return readers


def _starts_at_zero(
    node: onnx.NodeProto,
    following: Sequence[onnx.NodeProto],
    arrays: Mapping[str, np.ndarray],
    *,
    half_steps: bool,
) -> bool:
    """Tell whether a Q of unsigned steps says the same as the activation before it."""
    if any(arrays[reader.input[2]].dtype != np.int8 for reader in following):
        return False
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or len(node.input) < 3 or not half_steps:
        return False
    low, high = (arrays.get(name) for name in node.input[1:3])
    return (
        low is not None
        and high is not None
        and float(low) == 0.0
        and all(
            float(arrays[reader.input[1]]) * MOST_INT8 <= float(high) * _SLACK
            for reader in following
        )
    )


def _add(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    """Add an array unless one of the name is there; return the name."""
    if all(array.name != name for array in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    for array in [array for array in graph.initializer if array.name not in read]:
        graph.initializer.remove(array)
