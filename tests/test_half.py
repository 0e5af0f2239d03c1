"""Half precision: what stays whole stays exact, what is halved is near, and overflow is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_pose.errors import BundleError
from export.half import halved
from export.half_command import costs_of_halves, stay_whole
from export.parity import Tolerance
from export.qdq_forms import constants
from export.sensitivity import Cost
from tiny_network import images, run, tiny

LAYERS = ["first", "narrow", "expand", "deep", "back", "after", "last"]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Say of which type every tensor is, by ONNX's own inference."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_a_network_in_halves_says_nearly_the_same(activation: str) -> None:
    pictures = images(8, seed=4)
    true = run(tiny(activation), pictures)
    found = run(halved(tiny(activation)), pictures)
    off = float(np.sqrt(np.square(found - true).mean()) / true.std())
    assert 1e-5 < off < 3e-3


def test_layers_and_sums_are_halves_and_what_is_left_whole_is_not() -> None:
    every = types(halved(tiny()))
    assert every["deep.out"] == every["sum"] == every["after.out.active"] == TensorProto.FLOAT16
    some = types(halved(tiny(), ["back"]))
    assert some["back.out"] == some["sum"] == TensorProto.FLOAT
    assert some["deep.out"] == some["after.out"] == TensorProto.FLOAT16


def test_with_all_layers_whole_nothing_moves() -> None:
    pictures = images(8, seed=4)
    assert np.array_equal(run(halved(tiny(), LAYERS), pictures), run(tiny(), pictures))


def test_a_number_that_no_half_can_hold_is_refused() -> None:
    model = tiny()
    for array in model.graph.initializer:
        if array.name == "deep.bias":
            values = numpy_helper.to_array(array).copy()
            values[0] = 1e5
            array.CopyFrom(numpy_helper.from_array(values, array.name))
    with pytest.raises(BundleError, match=r"deep\.bias.* holds 100000, beyond what a half"):
        halved(model)
    kept = constants(halved(model, ["deep"]))
    assert "deep.bias" in kept
    assert "deep.bias.half" not in kept
    assert "back.bias.half" in kept


def test_sizes_of_enlarged_maps_are_no_halves() -> None:
    model = tiny()
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    )
    model.graph.node.append(
        helper.make_node("Resize", ["last.out", "", "scales"], ["wide"], mode="linear")
    )
    model.graph.output[0].name = "wide"
    for axis in (2, 3):
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_value *= 2
    found = run(halved(model), images(2))
    assert found.shape[-2:] == run(model, images(2)).shape[-2:]
    assert np.abs(found - run(model, images(2))).max() < 0.03 * run(model, images(2)).std()


def test_the_fewest_layers_stay_whole_that_keep_the_limit() -> None:
    mm = dict.fromkeys(LAYERS, 0.1) | {"deep": 5.0, "last": 2.0}

    def judge(model: onnx.ModelProto) -> Cost:
        halves = {
            node.name
            for node in model.graph.node
            if node.op_type == "Conv" and node.input[1].endswith(".half")
        }
        return Cost(px=0.0, mm=float(np.sqrt(sum(mm[name] ** 2 for name in halves))))

    costs = costs_of_halves(tiny(), judge)
    assert {cost.layer: round(cost.cost.mm, 6) for cost in costs} == mm
    assert stay_whole(tiny(), costs, judge, Tolerance(px=1.0, mm=3.0)) == ("deep",)
    assert stay_whole(tiny(), costs, judge, Tolerance(px=1.0, mm=1.0)) == ("deep", "last")
    assert stay_whole(tiny(), costs, judge, Tolerance(px=1.0, mm=9.0)) == ()
