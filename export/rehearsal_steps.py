"""How torch computes the maps of an ONNX network, and how it rounds them so that one can learn.

In: a network in the TensorRT form, and who holds its weights.  Out: steps, in the order of its
nodes, each of which computes one map from those before it.

Rounding passes gradients through unchanged inside its range and none beyond it (straight-through
estimator, Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional

from export.qdq_forms import DEQUANTISE, MOST_INT8, QUANTISE, constants, producers_of, readers_of

_NOTHING: Final = 1e-12

_Compute = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Computes one map."""

    writes: str
    """Its name."""
    compute: _Compute
    """From the maps before it, by name."""
    covers: tuple[str, ...]
    """What the nodes write whose work it does: its own map, and perhaps an activation before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A network with what is asked of it again and again."""

    model: onnx.ModelProto
    arrays: Mapping[str, np.ndarray]
    producer: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, Sequence[onnx.NodeProto]]
    answers: frozenset[str]


def program_of(
    model: onnx.ModelProto,
    named: Mapping[str, tuple[str, str]],
    number: Callable[[str], Tensor],
    *,
    rounded: frozenset[str],
) -> list[Step]:
    """Turn what makes maps of maps into steps: from the picture on, as far as they lead.

    Args:
        model: the TensorRT form.
        named: names of weight and bias, by layer.
        number: gives a weight or bias as it is now, by that name.
        rounded: layers whose weights are rounded.

    """
    form = _Form(
        model=model,
        arrays=constants(model),
        producer=producers_of(model),
        readers=readers_of(model),
        answers=frozenset(output.name for output in model.graph.output),
    )
    known = {model.graph.input[0].name}
    program: list[Step] = []
    for node in model.graph.node:
        read = [name for name in _maps_read(node) if name not in form.arrays]
        if not read or not known.issuperset(read):
            continue
        covers: tuple[str, ...] = (node.output[0],)
        if node.op_type == "Conv":
            weight, bias = named[node.name]
            compute = _convolution(node, number, weight, bias, is_rounded=node.name in rounded)
        elif node.op_type in _MAKERS:
            compute = _MAKERS[node.op_type](node, form)
            if node.op_type == QUANTISE and _rounded_at_once(node.input[0], form):
                covers = (*covers, node.input[0])
        else:
            continue
        known.add(node.output[0])
        if not _rounded_at_once(node.output[0], form):
            program.append(Step(writes=node.output[0], compute=compute, covers=covers))
    return program


def _convolution(
    node: onnx.NodeProto,
    number: Callable[[str], Tensor],
    weight: str,
    bias: str,
    *,
    is_rounded: bool,
) -> _Compute:
    source, given = node.input[0], _attributes(node)
    stride, groups = list(given.get("strides", [1, 1])), int(given.get("group", 1))
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    is_even = (top, left) == (bottom, right)

    def compute(maps: dict[str, Tensor]) -> Tensor:
        filters, value = number(weight), maps[source]
        if is_rounded:
            filters = rounded_by_channel(filters)
        if not is_even:
            value = functional.pad(value, (left, right, top, bottom))
        around = (top, left) if is_even else (0, 0)
        return functional.conv2d(value, filters, number(bias), stride, around, groups=groups)

    return compute


def rounded_by_channel(filters: Tensor) -> Tensor:
    """Round to 255 steps between minus and plus the largest of each output channel."""
    largest = filters.detach().abs().amax((1, 2, 3)).clamp_min(_NOTHING)
    zeros = torch.zeros(len(filters), dtype=torch.int32, device=filters.device)
    return torch.fake_quantize_per_channel_affine(
        filters, largest / MOST_INT8, zeros, 0, -MOST_INT8, MOST_INT8
    )


def _rounding(node: onnx.NodeProto, form: _Form) -> _Compute:
    """Round a map; where nobody else reads the activation before it, both in one go."""
    source, step = node.input[0], float(form.arrays[node.input[1]])
    least, most = -MOST_INT8 - 1, MOST_INT8
    if _rounded_at_once(source, form):
        active = form.producer[source]
        source, least = active.input[0], 0
        if active.op_type == "Clip":
            most = min(most, round(float(form.arrays[active.input[2]]) / step))
    return lambda maps: torch.fake_quantize_per_tensor_affine(maps[source], step, 0, least, most)


def _rounded_at_once(name: str, form: _Form) -> bool:
    """Tell whether a map is that of an activation from zero on which only Qs read."""
    node = form.producer.get(name)
    if node is None or node.op_type not in ("Clip", "Relu") or name in form.answers:
        return False
    if node.op_type == "Clip" and float(form.arrays[node.input[1]]) != 0.0:
        return False
    return {reader.op_type for reader in form.readers[name]} == {QUANTISE}


def _maps_read(node: onnx.NodeProto) -> Sequence[str]:
    """Return the inputs that may be maps; the others say how."""
    return list(node.input if node.op_type == "Add" else node.input[:1])


_Maker = Callable[[onnx.NodeProto, _Form], _Compute]


def _map(function: Callable[[Tensor], Tensor]) -> _Maker:
    def make(node: onnx.NodeProto, _form: _Form) -> _Compute:
        source = node.input[0]
        return lambda maps: function(maps[source])

    return make


def _clip(node: onnx.NodeProto, form: _Form) -> _Compute:
    source = node.input[0]
    low, high = (float(form.arrays[name]) for name in node.input[1:3])
    return lambda maps: maps[source].clamp(low, high)


def _pool(node: onnx.NodeProto, _form: _Form) -> _Compute:
    source, given = node.input[0], _attributes(node)
    kernel, stride = list(given["kernel_shape"]), list(given["strides"])
    return lambda maps: functional.max_pool2d(maps[source], kernel, stride)


def _enlarge(node: onnx.NodeProto, form: _Form) -> _Compute:
    """Make maps larger by constants, as `export graph` writes them."""
    source, scales = node.input[0], form.arrays[node.input[2]][2:].tolist()
    return lambda maps: functional.interpolate(
        maps[source], scale_factor=scales, mode="bilinear", align_corners=False
    )


def _add(node: onnx.NodeProto, form: _Form) -> _Compute:
    names = tuple(node.input)
    fixed = {n: torch.from_numpy(form.arrays[n].copy()) for n in names if n in form.arrays}

    def compute(maps: dict[str, Tensor]) -> Tensor:
        one, other = (fixed[name] if name in fixed else maps[name] for name in names)
        return one + other

    return compute


_MAKERS: Final[Mapping[str, _Maker]] = {
    QUANTISE: _rounding,
    DEQUANTISE: _map(lambda value: value),
    "Relu": _map(functional.relu),
    "Clip": _clip,
    "MaxPool": _pool,
    "Resize": _enlarge,
    "Add": _add,
}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
