"""Which layers may be quantised: what each costs in pixels and millimetres, and a greedy choice.

In: a calibrated network and crops to judge it by.  Out: the cost of every layer when it alone is in
INT8, and the largest set, cheapest layers first, whose cost together stays within a limit.  Cheap
is what differs little for the multiplications that it saves.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from edge_pose.engines.onnx import OnnxEngine
from edge_pose.inference import infer
from edge_pose.manifest import NetworkSpec
from export.parity import Answers, Picture, Tolerance, differences
from export.qdq_forms import constants, cpu_form, readers_of
from export.quantise import Calibrated, quantise


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Mean distance by which INT8 moves a joint."""

    px: float
    mm: float

    def share_of(self, limit: Tolerance) -> float:
        """Return how much of a limit it takes, by the unit that takes more."""
        return max(self.px / limit.px, self.mm / limit.mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One layer, and what it costs when it alone is in INT8."""

    layer: str
    multiplications: int
    """For one crop."""
    cost: Cost


Judge = Callable[[onnx.ModelProto], Cost]
"""Tells what a form of a network costs."""


def judge_by(
    reference: Answers,
    network: NetworkSpec,
    pictures: Sequence[Picture],
    *,
    run_as: Callable[[onnx.ModelProto], onnx.ModelProto] = cpu_form,
) -> Judge:
    """Judge by answers to pictures, against those of single precision.

    Args:
        reference: what single precision says of the pictures.
        network: how it is fed.
        pictures: BGR crops.
        run_as: turns a form into what ONNX Runtime runs; the TensorRT form of INT8 into the CPU's.

    """

    def judge(model: onnx.ModelProto) -> Cost:
        found = differences(reference, answers_in(run_as(model), network, pictures))
        return Cost(px=float(found.px.mean()), mm=float(found.mm.mean()))

    return judge


def answers_in(
    model: onnx.ModelProto, network: NetworkSpec, pictures: Sequence[Picture]
) -> Answers:
    """Ask a network that is in memory."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(model, path)
        with closing(OnnxEngine(path)) as engine:
            return infer(engine, network, pictures)


def layer_costs(calibrated: Calibrated, judge: Judge) -> tuple[LayerCost, ...]:
    """Measure every layer by itself, in the order in which they run."""
    counts = multiplications(calibrated.model)
    return tuple(
        LayerCost(
            layer=layer,
            multiplications=counts[layer],
            cost=judge(quantise(calibrated, [layer])),
        )
        for layer in calibrated.layers
    )


def choose(
    calibrated: Calibrated,
    costs: Sequence[LayerCost],
    judge: Judge,
    limit: Tolerance,
    *,
    in_float: Collection[str] = (),
) -> tuple[str, ...]:
    """Choose the layers to quantise: as many of the cheapest blocks as keep the limit together.

    Errors of layers add up as squares do, so a block's price is the sum of its layers' squared
    shares of the limit, for each multiplication.  Blocks with a layer `in_float` are never chosen.
    """
    by_layer = {cost.layer: cost for cost in costs}

    def price(block: Collection[str]) -> float:
        squares = sum(by_layer[layer].cost.share_of(limit) ** 2 for layer in block)
        return squares / sum(by_layer[layer].multiplications for layer in block)

    cheapest = sorted(
        (block for block in blocks(calibrated) if not set(block) & set(in_float)), key=price
    )

    def first(count: int) -> list[str]:
        return [layer for block in cheapest[:count] for layer in block]

    def keeps(count: int) -> bool:
        return judge(quantise(calibrated, first(count))).share_of(limit) <= 1.0

    chosen = set(first(last_that_holds(0, len(cheapest) + 1, keeps)))
    return tuple(layer for layer in calibrated.layers if layer in chosen)


def last_that_holds(holding: int, failing: int, holds: Callable[[int], bool]) -> int:
    """Halve the way between a number that holds and one that does not; return the last that holds.

    Neither of the two is asked.
    """
    while abs(failing - holding) > 1:
        middle = (failing + holding) // 2
        if holds(middle):
            holding = middle
        else:
            failing = middle
    return holding


def blocks(calibrated: Calibrated) -> list[tuple[str, ...]]:
    """Join layers that only an activation separates.

    The maps between them are wide; to change to float and back inside would cost more time than
    INT8 saves (measured: 1.7 times single precision when layers are chosen one by one).
    """
    readers = readers_of(calibrated.model)
    block_of = {layer: [layer] for layer in calibrated.layers}
    for node in calibrated.model.graph.node:
        if node.op_type != "Conv":
            continue
        for activation in readers[node.output[0]]:
            if activation.op_type not in ("Clip", "Relu"):
                continue
            for after in readers[activation.output[0]]:
                if after.op_type == "Conv" and block_of[after.name] is not block_of[node.name]:
                    block_of[node.name].extend(block_of[after.name])
                    for layer in block_of[after.name]:
                        block_of[layer] = block_of[node.name]
    return list(dict.fromkeys(tuple(block) for block in block_of.values()))


def multiplications(model: onnx.ModelProto) -> dict[str, int]:
    """Count the multiplications of every convolution for one picture, by layer."""
    arrays = constants(model)
    places = {
        value.name: int(
            np.prod([max(d.dim_value, 1) for d in value.type.tensor_type.shape.dim[2:]])
        )
        for value in (*model.graph.value_info, *model.graph.output)
    }
    return {
        node.name: places.get(node.output[0], 1) * arrays[node.input[1]].size
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in arrays
    }
