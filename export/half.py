"""A network in half precision, as TensorRT builds it: strongly typed, so the types say it all.

In: a network in single precision, and layers that halves would cost too much.  Out: the same with
maps and weights as halves.  In single precision stay what goes in, what comes out, those layers,
sums with what they wrote, and whatever is computed of maps that is no map: pixels of a crop do not
fit into the eleven bits of a half.
"""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_pose.errors import BundleError
from export.qdq_forms import constants

MAP_OPERATORS: Final = ("Conv", "Clip", "Relu", "Add", "MaxPool", "Resize")
_LARGEST: Final = float(np.finfo(np.float16).max)


def halved(network: onnx.ModelProto, whole: Collection[str] = ()) -> onnx.ModelProto:
    """Return the network in half precision; the argument, constants folded, stays as it is.

    Args:
        network: in single precision.
        whole: names of layers to leave in single precision.

    Raises:
        BundleError: a constant overflows.

    """
    form = onnx.ModelProto()
    form.CopyFrom(network)
    graph = form.graph
    arrays = constants(form)
    floats = {name for name, values in arrays.items() if values.dtype == np.float32}
    halves = _maps_in_halves(graph, whole)
    nodes: list[onnx.NodeProto] = []
    made: set[str] = set()

    def as_type(name: str, kind: int) -> Iterator[onnx.NodeProto]:
        """Give the node that turns a map into another type, once."""
        turned = _turned(name, kind)
        if turned not in made:
            made.add(turned)
            yield helper.make_node("Cast", [name], [turned], name=turned, to=kind)

    for node in graph.node:
        is_half = node.output[0] in halves
        for place, name in enumerate(node.input):
            if name in floats and is_half and not _is_size(node, place):
                node.input[place] = _turned(name, TensorProto.FLOAT16)
                if node.input[place] not in made:
                    made.add(node.input[place])
                    graph.initializer.append(_half_of(arrays[name], node.input[place]))
            elif name in halves and not is_half:
                nodes += as_type(name, TensorProto.FLOAT)
                node.input[place] = _turned(name, TensorProto.FLOAT)
            elif is_half and place == 0 and name not in halves and name not in floats:
                nodes += as_type(name, TensorProto.FLOAT16)
                node.input[place] = _turned(name, TensorProto.FLOAT16)
        nodes.append(node)
    _replace(graph, nodes)
    onnx.checker.check_model(form)
    return form


def _maps_in_halves(graph: onnx.GraphProto, whole: Collection[str]) -> set[str]:
    """Name the maps in halves: a layer's unless it is whole, a sum's where both terms are."""
    image = graph.input[0].name
    outputs = {output.name for output in graph.output}
    maps, halves = {image}, set[str]()
    for node in graph.node:
        terms = node.input if node.op_type == "Add" else node.input[:1]
        if node.op_type not in MAP_OPERATORS or not maps.issuperset(terms):
            continue
        maps.add(node.output[0])
        is_layer = node.op_type == "Conv"
        if node.name not in whole if is_layer else halves.issuperset(terms):
            halves.add(node.output[0])
    return halves - outputs


def _is_size(node: onnx.NodeProto, place: int) -> bool:
    """Tell whether an input says how large a map becomes, which is never a half."""
    return node.op_type == "Resize" and place > 0


def _turned(name: str, kind: int) -> str:
    return f"{name}.{'half' if kind == TensorProto.FLOAT16 else 'single'}"


def _half_of(values: np.ndarray, name: str) -> TensorProto:
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest > _LARGEST:
        raise BundleError(
            f"{name} holds {largest:g}, beyond what a half can hold ({_LARGEST:g}); leave this "
            "network in single precision"
        )
    return numpy_helper.from_array(values.astype(np.float16), name)


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put these nodes in the place of all, and drop arrays that nobody reads any more."""
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    for array in [array for array in graph.initializer if array.name not in read]:
        graph.initializer.remove(array)
    del graph.value_info[:]
