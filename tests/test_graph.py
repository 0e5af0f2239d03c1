"""Networks stored small answer as before."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.graph import _as_bytes, _as_halves, _shrink, fix_scales


def test_weights_in_half_precision_change_the_answer_by_less_than_a_hundredth() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.04, (512, 32)).astype(np.float32)
    small = np.full(32, 1 / 3, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("Add", ["product", "small"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 32])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(small, "small")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    _shrink(model, _as_halves)
    onnx.checker.check_model(model)
    kinds = {array.name: array.data_type for array in model.graph.initializer}
    assert kinds == {"weight.half": TensorProto.FLOAT16, "small": TensorProto.FLOAT}
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = rng.normal(size=(4, 512)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    assert np.allclose(y, x @ weight + small, atol=1e-2)


def test_filters_stored_as_bytes_are_off_by_half_a_step_of_their_own_channel() -> None:
    rng = np.random.default_rng(0)
    filters = rng.normal(0, 1, (4, 8, 3, 3)).astype(np.float32)
    filters *= np.array([1e-3, 1e-2, 1.0, 100.0], np.float32)[:, None, None, None]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["filters"], ["y"])],
        "tiny",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8, 3, 3])],
        [numpy_helper.from_array(filters, "filters")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    _shrink(model, _as_bytes)
    onnx.checker.check_model(model)
    assert len(model.SerializeToString()) < filters.size + 400
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {})
    half_step = np.abs(filters).max(axis=(1, 2, 3), keepdims=True) / 127 / 2
    assert (np.abs(y - filters) <= 1.001 * half_step).all()


def test_biases_and_the_layers_that_answer_are_kept_whole() -> None:
    arrays = {
        "network.tower.weight": np.ones((32, 32, 3, 3), np.float32),
        "network.tower.depthwise": np.ones((1024, 1, 3, 3), np.float32),
        "network.tower.bias": np.ones(9000, np.float32),
        "network.head.weight": np.ones((64, 64, 2, 2), np.float32),
        "network.reach.weight": np.ones((8, 8, 2, 2), np.float32),
    }
    graph = helper.make_graph(
        [], "tiny", [], [], [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    _shrink(model, _as_halves)
    kinds = {array.name: array.data_type for array in model.graph.initializer}
    assert kinds == {
        "network.tower.weight.half": TensorProto.FLOAT16,
        "network.tower.depthwise": TensorProto.FLOAT,
        "network.tower.bias": TensorProto.FLOAT,
        "network.head.weight": TensorProto.FLOAT,
        "network.reach.weight": TensorProto.FLOAT,
    }


def test_a_picture_enlarged_to_a_size_is_enlarged_by_a_constant_instead() -> None:
    """As torch exports it: the size is put together from the picture's own and two constants."""
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 6])
    result = helper.make_tensor_value_info("large", TensorProto.FLOAT, ["batch", 3, 16, 18])
    nodes = [
        helper.make_node("Shape", ["image"], ["begins"], start=0, end=2),
        helper.make_node("Concat", ["begins", "ends"], ["size"], axis=0),
        helper.make_node("Resize", ["image", "", "", "size"], ["large"], mode="linear"),
    ]
    ends = numpy_helper.from_array(np.array([16, 18]), "ends")
    graph = helper.make_graph(nodes, "enlarge", [picture], [result], [ends])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    image = np.random.default_rng(1).normal(size=(2, 3, 8, 6)).astype(np.float32)

    def answer() -> np.ndarray:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return np.asarray(session.run(None, {"image": image})[0])

    before = answer()
    fix_scales(model)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Resize"]
    (scales,) = model.graph.initializer
    assert numpy_helper.to_array(scales).tolist() == [1.0, 1.0, 2.0, 3.0]
    np.testing.assert_allclose(answer(), before, atol=1e-6)
