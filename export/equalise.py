"""Channels of one map brought to similar size, without changing what the network says.

In: a network and how large each channel gets.  Out: the same function with other weights: what
writes a channel is multiplied by a positive factor, what reads it is divided by the same
(cross-layer equalisation, Nagel et al. 2019, arXiv:1906.04721).  One step for a whole map then
wastes little on channels that are small.

Maps that are added, clipped at zero or pooled share their channels and form one group.  Behind a
Clip factors only enlarge, and at most until the channel's largest value meets the upper end; a
depthwise reader has a step for each channel and takes the whole factor for free, any other reader
pays with the precision of its weights, so there the factor is raised to a power between 0 and 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from export.activations import Channels
from export.qdq_forms import constants

CLIPPED_SHARE: Final = 0.5
LINEAR_SHARE: Final = 1.0
"""Powers of the factor where readers pay, behind a Clip and elsewhere; measured (docs/log.md)."""
_HEADROOM: Final = 1.25
"""Over the largest value of the calibration crops, so that others are rarely clipped."""
_NOTHING: Final = 1e-6
_MOST: Final = 256.0
"""Weights left in float are stored in half precision, whose range is short."""


@dataclass(slots=True)
class _Group:
    """Maps that share their channels, with the convolutions that write and read them."""

    maps: set[str] = field(default_factory=set)
    writers: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)
    clipped: set[str] = field(default_factory=set)
    end: float = np.inf
    """Lowest upper end of the group's Clips."""


def equalise(
    model: onnx.ModelProto,
    found: Mapping[str, Channels],
    *,
    clipped_share: float = CLIPPED_SHARE,
    linear_share: float = LINEAR_SHARE,
) -> onnx.ModelProto:
    """Return the equalised network; the argument stays as it is."""
    equal = onnx.ModelProto()
    equal.CopyFrom(model)
    arrays = constants(equal)
    for group in _groups(equal, arrays):
        measured = group.clipped or group.maps
        largest = [found[name].largest for name in sorted(measured) if name in found]
        if not largest or len({len(sizes) for sizes in largest}) != 1:
            continue
        size = np.maximum.reduce(largest) * np.float32(_HEADROOM)
        aim = group.end if group.clipped else size.max()
        whole = np.clip(aim / np.maximum(size, _NOTHING), 1.0, _MOST)
        free = all(is_depthwise(arrays[reader.input[1]]) for reader in group.readers)
        share = 1.0 if free else clipped_share if group.clipped else linear_share
        factor = (whole**share).astype(np.float32)
        for writer in group.writers:
            arrays[writer.input[1]] = arrays[writer.input[1]] * factor[:, None, None, None]
            arrays[writer.input[2]] = arrays[writer.input[2]] * factor
        for reader in group.readers:
            weights = arrays[reader.input[1]]
            along = factor[:, None, None, None] if is_depthwise(weights) else factor[:, None, None]
            arrays[reader.input[1]] = weights / along
    for array in equal.graph.initializer:
        array.CopyFrom(numpy_helper.from_array(arrays[array.name], array.name))
    return equal


def _groups(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> list[_Group]:
    """Find groups that nothing but convolutions, sums, activations and pooling touches."""
    group_of = _shared_channels(model, arrays)
    closed = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        if node.op_type == "Conv":
            group_of[node.output[0]].writers.append(node)
            group_of[node.input[0]].readers.append(node)
        elif not _keeps_channels(node, arrays):
            closed.update(node.input, node.output)
        elif node.op_type == "Clip":
            group = group_of[node.output[0]]
            group.clipped.add(node.output[0])
            group.end = min(group.end, float(arrays[node.input[2]]))
    found = {id(group): group for group in group_of.values()}
    return [
        group
        for group in found.values()
        if group.writers and group.readers and not group.maps & closed and _is_plain(group, arrays)
    ]


def _shared_channels(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> dict[str, _Group]:
    """Give every map a group, the same to all whose channels pass from one to the other."""
    group_of: dict[str, _Group] = {}
    for node in model.graph.node:
        for name in (*node.input, *node.output):
            group_of.setdefault(name, _Group(maps={name}))
        if node.op_type == "Conv" or not _keeps_channels(node, arrays):
            continue
        kept = group_of[node.output[0]]
        for name in node.input[: 2 if node.op_type == "Add" else 1]:
            joined = group_of[name].maps
            kept.maps |= joined
            for other in joined:
                group_of[other] = kept
    return group_of


def _keeps_channels(node: onnx.NodeProto, arrays: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a positive factor of a channel passes through."""
    if node.op_type == "Add":
        return not any(name in arrays for name in node.input)
    if node.op_type == "Clip":
        low = arrays.get(node.input[1]) if len(node.input) > 2 else None
        return low is not None and float(low) == 0.0 and node.input[2] in arrays
    return node.op_type in ("Relu", "MaxPool")


def _is_plain(group: _Group, arrays: Mapping[str, np.ndarray]) -> bool:
    """Tell whether weights and biases are there to be changed, each read by one layer."""
    layers = [*group.writers, *group.readers]
    return all(len(layer.input) > 2 and layer.input[1] in arrays for layer in layers) and all(
        layer.input[2] in arrays for layer in layers
    )


def is_depthwise(weights: np.ndarray) -> bool:
    """Tell whether every channel has a filter of its own."""
    return weights.shape[1] == 1 and len(weights) > 1
