"""Arrays in fewer bytes where that changes nothing: what fits into halves is stored as halves.

In: a graph.  Out: the same graph, changed in place, of the same answers to the last bit: each such
array is followed by the node that makes single precision of it.
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from train.shipped import HALF

_LARGEST: Final = float(np.finfo(np.float16).max)
_SMALLEST: Final = 64
"""Of elements; a node for less costs more than it spares."""


def store_exact_halves(model: onnx.ModelProto) -> None:
    """Store every matrix and filter whose numbers are halves in half the bytes."""
    graph = model.graph
    names = {array.name for array in graph.initializer}
    for array in list(graph.initializer):
        if array.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(array)
        if values.ndim < 2 or values.size < _SMALLEST or np.abs(values).max() > _LARGEST:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        stored = numpy_helper.from_array(half, array.name + HALF)
        widen = helper.make_node("Cast", [stored.name], [array.name], to=TensorProto.FLOAT)
        graph.initializer.remove(array)
        if stored.name not in names:  # a layer in halves reads the same one
            graph.initializer.append(stored)
        graph.node.insert(0, widen)
