"""Arrays in fewer bytes: how one is stored as halves, and all that lose nothing by it.

In: a graph.  Out: the same graph, changed in place, of the same answers to the last bit: each such
array is followed by the node that makes single precision of it.
"""

from typing import Final

import numpy as np
import onnx
from jaxtyping import Float32
from onnx import TensorProto, helper, numpy_helper

from train.shipped import HALF

SMALLEST: Final = 64
"""Of elements; a node for less costs more than it spares."""


def as_halves(
    values: Float32[np.ndarray, "..."], name: str
) -> tuple[onnx.TensorProto, onnx.NodeProto]:
    """Return an array rounded to halves, and the node that widens it under its name again."""
    half = numpy_helper.from_array(values.astype(np.float16), name + HALF)
    return half, helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)


def store_exact_halves(model: onnx.ModelProto) -> None:
    """Store every matrix and filter whose numbers are halves in half the bytes."""
    graph = model.graph
    names = {array.name for array in graph.initializer}
    for array in list(graph.initializer):
        if array.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(array)
        if values.ndim < 2 or values.size < SMALLEST or not _are_halves(values):
            continue
        half, widen = as_halves(values, array.name)
        graph.initializer.remove(array)
        if half.name not in names:  # a layer in halves reads the same one
            graph.initializer.append(half)
        graph.node.insert(0, widen)


def _are_halves(values: Float32[np.ndarray, "..."]) -> bool:
    with np.errstate(over="ignore"):  # what overflows is no half
        return np.array_equal(values.astype(np.float16).astype(np.float32), values)
