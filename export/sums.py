"""Where maps branch and join: which sums are quantised, and who reads what before it is rounded.

In: a network, and its layers that are quantised.  Out: names of sums, how far their terms have to
be told apart, and the network with its float branches spared.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from export.qdq_forms import QUANTISE, constants, producers_of, readers_of


def ends_of_terms(model: onnx.ModelProto) -> dict[str, float]:
    """Say up to which magnitude the terms of a sum matter that a Clip to 0..c follows.

    Where the other term lies in 0..c itself, a term beyond ±c brings the sum to the same end as ±c.
    """
    arrays = constants(model)
    producer = producers_of(model)
    readers = readers_of(model)
    ends: dict[str, float] = {}

    def end_of(name: str) -> float:
        node = producer.get(name)
        while node is not None and node.op_type == "MaxPool":
            node = producer.get(node.input[0])
        is_clip = node is not None and node.op_type == "Clip" and node.input[2] in arrays
        return float(arrays[node.input[2]]) if node is not None and is_clip else np.inf

    for node in model.graph.node:
        after = readers[node.output[0]]
        if node.op_type != "Add" or len(after) != 1 or after[0].op_type != "Clip":
            continue
        end = end_of(after[0].output[0])
        for term, other in (node.input, reversed(node.input)):
            if end_of(other) <= end < np.inf:
                ends[term] = end
    return ends


def sums_between(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """Name the sums of two maps that quantised layers write, and some quantised layer reads."""
    readers, producer = readers_of(model), producers_of(model)
    quantised = set(layers)
    sums: list[str] = []

    def is_read_whole(name: str) -> bool:
        return any(
            reader.name in quantised
            or (reader.op_type in ("Clip", "Relu", "Add") and is_read_whole(reader.output[0]))
            for reader in readers[name]
        )

    for node in model.graph.node:
        if (
            node.op_type == "Add"
            and all(_is_written_by(producer, name, quantised) for name in node.input)
            and is_read_whole(node.output[0])
        ):
            sums.append(node.name)
            quantised.add(node.name)
    return sums


def spare_float_readers(model: onnx.ModelProto, quantised: Collection[str]) -> None:
    """Give layers in float the map itself where a layer in float wrote it, not its rounding.

    What a quantised layer writes is rounded for everybody, for its kernel gives nothing else.
    """
    readers, producer = readers_of(model), producers_of(model)
    source_of = {
        rounded: quantise.input[0]
        for quantise in model.graph.node
        if quantise.op_type == QUANTISE
        and not _is_written_by(producer, quantise.input[0], quantised)
        for dequantise in readers[quantise.output[0]]
        for rounded in dequantise.output
    }
    for node in model.graph.node:
        if node.name not in quantised:
            node.input[:] = [source_of.get(name, name) for name in node.input]


def _is_written_by(
    producer: Mapping[str, onnx.NodeProto], name: str, layers: Collection[str]
) -> bool:
    """Tell whether one of the layers wrote a map, perhaps through an activation or pooling."""
    node = producer.get(name)
    while node is not None and node.op_type in ("Clip", "Relu", "MaxPool"):
        node = producer.get(node.input[0])
    return node is not None and node.name in layers
