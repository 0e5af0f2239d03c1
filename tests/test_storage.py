"""Arrays stored in fewer bytes: the same answers to the last bit, and nothing rounded."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from export.half import halved
from export.storage import store_exact_halves
from tiny_network import images, run, tiny


def of_halves() -> onnx.ModelProto:
    """Make a network all of whose filters but those of one layer are halves."""
    model = tiny()
    for array in model.graph.initializer:
        if array.name.endswith(".weight") and array.name != "back.weight":
            values = numpy_helper.to_array(array).astype(np.float16).astype(np.float32)
            array.CopyFrom(numpy_helper.from_array(values, array.name))
    return model


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    return {array.name: array.data_type for array in model.graph.initializer}


def test_halves_are_stored_as_such_and_nothing_else_is() -> None:
    model = of_halves()
    pictures = images(8, seed=4)
    before = run(model, pictures)
    large = len(model.SerializeToString())
    store_exact_halves(model)
    onnx.checker.check_model(model)
    assert np.array_equal(run(model, pictures), before)
    assert len(model.SerializeToString()) < large
    stored = kinds(model)
    assert stored["expand.weight.half"] == TensorProto.FLOAT16
    assert "expand.weight" not in stored
    assert stored["back.weight"] == TensorProto.FLOAT
    assert stored["expand.bias"] == TensorProto.FLOAT


def test_a_form_in_halves_keeps_its_answers_too() -> None:
    form = halved(of_halves(), ["deep"])
    pictures = images(8, seed=4)
    before = run(form, pictures)
    store_exact_halves(form)
    onnx.checker.check_model(form)
    assert np.array_equal(run(form, pictures), before)
    assert kinds(form)["deep.weight.half"] == TensorProto.FLOAT16
