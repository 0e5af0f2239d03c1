"""A network of seven layers and random weights, small enough to be rounded in many ways."""

from functools import cache

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float32
from onnx import TensorProto, helper, numpy_helper

from edge_pose.engines.onnx import WHOLE_SUMS
from export.quantise import Calibrated, calibrate, quantise

Images = Float32[np.ndarray, "n 3 side side"]
SIDE_PX = 16


def images(count: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).random((count, 3, SIDE_PX, SIDE_PX), np.float32)


def tiny(activation: str = "Clip", seed: int = 0) -> onnx.ModelProto:
    """Make an inverted residual block, a sum, a layer after it; channels of unequal size."""
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    arrays: dict[str, np.ndarray] = {
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "constant": rng.normal(size=(1, 4, 1, 1)).astype(np.float32),
    }

    def conv(
        name: str, source: str, shape: tuple[int, int, int], *, depthwise: bool = False
    ) -> str:
        out, into, kernel = shape
        arrays[f"{name}.weight"] = (
            rng.normal(size=(out, 1 if depthwise else into, kernel, kernel))
            / np.sqrt((1 if depthwise else into) * kernel**2)
            * np.exp(rng.normal(size=(out, 1, 1, 1)))
        ).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0.2, 0.2, out).astype(np.float32)
        nodes.append(
            helper.make_node(
                "Conv",
                [source, f"{name}.weight", f"{name}.bias"],
                [f"{name}.out"],
                name=name,
                group=into if depthwise else 1,
                pads=[kernel // 2] * 4,
            )
        )
        return f"{name}.out"

    def active(source: str) -> str:
        limits = ["low", "high"] if activation == "Clip" else []
        node = helper.make_node(activation, [source, *limits], [f"{source}.active"])
        nodes.append(node)
        return f"{source}.active"

    narrow = conv("narrow", active(conv("first", "image", (8, 3, 3))), (4, 8, 1))
    wide = active(conv("expand", narrow, (16, 4, 1)))
    deep = active(conv("deep", wide, (16, 16, 3), depthwise=True))
    back = conv("back", deep, (4, 16, 1))
    nodes.append(helper.make_node("Add", [back, narrow], ["sum"], name="residual"))
    after = active(conv("after", "sum", (8, 4, 1)))
    conv("last", after, (4, 8, 1))
    nodes.append(helper.make_node("Add", ["last.out", "constant"], ["y"], name="shift"))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, SIDE_PX, SIDE_PX])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, pictures: Images, *, as_written: bool = False) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(*WHOLE_SUMS)
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"image": pictures})[0])


@cache
def calibrated(activation: str = "Clip") -> Calibrated:
    return calibrate(tiny(activation), images(16))


@cache
def tensorrt(activation: str = "Clip") -> onnx.ModelProto:
    ready = calibrated(activation)
    return quantise(ready, ready.layers)
