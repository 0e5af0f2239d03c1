"""Networks stored in half precision answer as before."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.graph import _halve_weights


def test_weights_in_half_precision_change_the_answer_by_less_than_a_hundredth() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.2, (16, 8)).astype(np.float32)
    small = np.full(8, 1 / 3, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("Add", ["product", "small"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(small, "small")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    _halve_weights(model)
    onnx.checker.check_model(model)
    kinds = {array.name: array.data_type for array in model.graph.initializer}
    assert kinds == {"weight.half": TensorProto.FLOAT16, "small": TensorProto.FLOAT}
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = rng.normal(size=(4, 16)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    assert np.allclose(y, x @ weight + small, atol=1e-2)
