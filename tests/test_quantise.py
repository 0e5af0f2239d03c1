"""Quantised networks: both forms agree, TensorRT's rules hold, the choice keeps a limit."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from jaxtyping import Float32
from onnx import helper, numpy_helper

from edge_pose.bundle import open_bundle
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import ConfigError
from edge_pose.inference import normalise
from export.activations import channels
from export.calibration import draw
from export.equalise import equalise
from export.parity import Tolerance, differences
from export.qdq_forms import (
    constants,
    cpu_form,
    fold_activations,
    readers_of,
    unsigned,
    whole_biases,
)
from export.quantise import calibrate, fold, quantise
from export.sensitivity import Cost, LayerCost, answers_in, blocks, choose
from export.sums import ends_of_terms
from mim_folders import labelled_folder, rendered_folder
from tiny_network import calibrated, images, run, tensorrt, tiny
from train.pose_data import is_held_out


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def off(model: onnx.ModelProto, activation: str) -> float:
    """Root mean square error against single precision, over its answers' spread."""
    true = run(tiny(activation), images(16, seed=1))
    return float(np.sqrt(np.square(run(model, images(16, seed=1)) - true).mean()) / true.std())


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_a_quantised_network_says_nearly_the_same(activation: str) -> None:
    assert 0.001 < off(tensorrt(activation), activation) < 0.05
    assert 0.001 < off(cpu_form(tensorrt(activation)), activation) < 0.05


def test_activations_without_sign_are_the_same_numbers() -> None:
    shifted = copy_of(tensorrt())
    assert unsigned(shifted) > 0
    pictures = images(8, seed=2)
    signed = run(tensorrt(), pictures, as_written=True)
    assert np.array_equal(run(shifted, pictures, as_written=True), signed)


def test_both_forms_of_whole_steps_give_equal_answers_within_the_calibrated_range() -> None:
    folded = copy_of(tensorrt("Relu"))
    assert fold_activations(folded, half_steps=False) == 4
    assert unsigned(folded) > 0
    pictures = images(16) * np.float32(0.8)
    as_calibrated = run(tensorrt("Relu"), pictures, as_written=True)
    assert np.array_equal(run(folded, pictures, as_written=True), as_calibrated)


def test_whole_biases_move_by_half_a_unit_at_most() -> None:
    model = copy_of(tensorrt())
    before = constants(model)
    assert whole_biases(model) == len(calibrated().layers)
    after = constants(model)
    for layer in calibrated().layers:
        named = f"{layer}.bias.whole"
        moved = after[named] * after[f"{named}.unit"].astype(np.float64) - before[f"{layer}.bias"]
        assert (np.abs(moved) <= 0.5001 * after[f"{named}.unit"]).all()


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_half_steps_bring_the_cpu_form_nearer_to_single_precision(activation: str) -> None:
    assert off(cpu_form(tensorrt(activation)), activation) < off(tensorrt(activation), activation)


def test_the_appliance_adds_products_of_bytes_in_full_on_every_processor(tmp_path: Path) -> None:
    model, pictures = cpu_form(tensorrt("Relu")), images(16, seed=1)
    onnx.save(model, tmp_path / "pose.onnx")
    with closing(OnnxEngine(tmp_path / "pose.onnx")) as engine:
        found = engine.run({"image": pictures})["y"]
    true = run(model, pictures, as_written=True)
    assert np.sqrt(np.square(found - true).mean()) < 0.02 * true.std()


def test_a_clip_is_not_replaced_by_steps_that_go_beyond_its_end() -> None:
    assert fold_activations(copy_of(tensorrt("Clip")), half_steps=False) == 0
    assert fold_activations(copy_of(tensorrt("Clip")), half_steps=True) == 4


def test_the_runtime_has_a_whole_kernel_for_every_quantised_layer(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        cpu_form(tensorrt()).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    # The last layer's answer leaves in float.
    assert kinds.count("QLinearConv") == len(calibrated().layers) - 1
    assert kinds.count("QLinearAdd") == 1


def test_the_tensorrt_form_keeps_tensorrts_rules() -> None:
    model = tensorrt()
    arrays = constants(model)
    readers = readers_of(model)
    producer = {name: node for node in model.graph.node for name in node.output}
    coded = [node for node in model.graph.node if node.op_type.endswith("Linear")]
    assert coded
    assert all(arrays[node.input[2]].dtype == np.int8 for node in coded)
    assert all(not arrays[node.input[2]].any() for node in coded)
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert arrays[producer[node.input[1]].input[1]].shape == arrays[node.input[2]].shape
            assert arrays[node.input[2]].dtype == np.float32
            kinds = {reader.op_type for reader in readers[node.output[0]]}
            assert kinds in ({"Clip"}, {"QuantizeLinear"}, {"Add"}), node.name
        if node.op_type == "Clip":
            assert producer[node.input[0]].op_type == "Conv"
    sums = {node.name: node for node in model.graph.node if node.op_type == "Add"}
    assert all(producer[name].op_type == "DequantizeLinear" for name in sums["residual"].input)
    assert "constant" in sums["shift"].input, "sums with constants stay in float"


def test_equal_channels_change_no_answer() -> None:
    plain = tiny()
    found = channels(plain, images(16))
    equal = equalise(plain, found)
    pictures = images(16)
    assert np.allclose(run(plain, pictures), run(equal, pictures), rtol=0, atol=1e-4)

    def narrowest(measured: dict[str, Float32[np.ndarray, "channels"]], name: str) -> float:
        return float(measured[name].min() / measured[name].max())

    before = {name: item.largest for name, item in found.items()}
    after = {name: item.largest for name, item in channels(equal, pictures).items()}
    for name in ("expand.out.active", "sum"):
        assert narrowest(after, name) > 1.5 * narrowest(before, name)


def test_rounded_weights_do_not_shift_the_mean() -> None:
    ready = calibrated()
    true = channels(ready.model, images(16))["first.out"].mean
    spread = true.std()
    arrays = constants(ready.model)
    rounded = constants(quantise(ready, ["first"]))
    (whole,) = [values for values in rounded.values() if values.shape == (8, 3, 3, 3)]
    assert whole.dtype == np.int8
    mean = ready.channels["image"].mean
    steps = np.abs(arrays["first.weight"]).max(axis=(1, 2, 3)) / 127
    inside = ((whole * steps[:, None, None, None]).sum(axis=(2, 3)) @ mean) + rounded["first.bias"]
    exact = arrays["first.weight"].sum(axis=(2, 3)) @ mean + arrays["first.bias"]
    assert np.abs(inside - exact).max() < 1e-4 * spread
    assert np.abs(rounded["first.bias"] - arrays["first.bias"]).max() > 1e-4 * spread


def test_a_layer_with_hardly_any_weights_beside_its_bias_keeps_its_answer() -> None:
    model = tiny("Relu")
    for array in model.graph.initializer:
        values = numpy_helper.to_array(array).copy()
        if array.name == "narrow.weight":
            values[1] *= 1e-9
        if array.name == "narrow.bias":
            values[1] = 3.0
        array.CopyFrom(numpy_helper.from_array(values, array.name))
    ready = calibrate(model, images(16))
    pictures = images(8, seed=1)
    true = run(model, pictures)
    found = run(cpu_form(quantise(ready, ready.layers)), pictures)
    assert np.sqrt(np.square(found - true).mean()) < 0.05 * true.std()


def test_a_float_layer_reads_what_a_float_layer_wrote_and_not_its_rounding() -> None:
    def residual(layers: Sequence[str]) -> list[str]:
        model = quantise(calibrated(), layers)
        (add,) = (node for node in model.graph.node if node.name == "residual")
        return list(add.input)

    assert residual(["expand", "deep", "back"]) == ["back.out", "narrow.out"]
    rounded = residual(["first", "narrow", "expand", "deep"])
    assert rounded[0] == "back.out"
    assert rounded[1].startswith("narrow.out_Dequantize")


def test_terms_of_a_clipped_sum_are_told_apart_up_to_its_end_where_the_other_lies_within() -> None:
    model = tiny()
    limits = ["low", "high"]
    model.graph.node.extend(
        [
            helper.make_node("Add", ["after.out.active", "last.out"], ["bounded"]),
            helper.make_node("Clip", ["bounded", *limits], ["bounded.active"]),
            helper.make_node("Add", ["back.out", "narrow.out"], ["free"]),
            helper.make_node("Clip", ["free", *limits], ["free.active"]),
        ]
    )
    assert ends_of_terms(model) == {"last.out": 6.0}


def layer_costs(mm: dict[str, float]) -> list[LayerCost]:
    return [
        LayerCost(layer=layer, multiplications=1000, cost=Cost(px=0.0, mm=mm.get(layer, 1.0)))
        for layer in calibrated().layers
    ]


def judging(mm: dict[str, float]) -> Callable[[onnx.ModelProto], Cost]:
    """Costs that add up as squares do, of the layers that a network has in INT8."""

    def judge(model: onnx.ModelProto) -> Cost:
        decoded = {
            node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"
        }
        whole = [
            node.name
            for node in model.graph.node
            if node.op_type == "Conv" and node.input[1] in decoded
        ]
        return Cost(px=0.0, mm=float(np.sqrt(sum(mm.get(name, 1.0) ** 2 for name in whole))))

    return judge


def test_the_cheapest_blocks_are_chosen_until_the_limit() -> None:
    assert [set(block) for block in blocks(calibrated())] == [
        {"first", "narrow"},
        {"expand", "deep", "back"},
        {"after", "last"},
    ]
    mm = {"deep": 5.0}
    limit = Tolerance(px=1.0, mm=2.1)
    chosen = choose(calibrated(), layer_costs(mm), judging(mm), limit)
    assert chosen == ("first", "narrow", "after", "last")
    left = choose(calibrated(), layer_costs(mm), judging(mm), limit, in_float=["last"])
    assert left == ("first", "narrow")


def test_nothing_is_chosen_when_every_block_costs_too_much() -> None:
    mm = dict.fromkeys(calibrated().layers, 9.0)
    limit = Tolerance(px=1.0, mm=2.0)
    assert choose(calibrated(), layer_costs(mm), judging(mm), limit) == ()
    assert off(quantise(calibrated(), ()), "Clip") < 0.005


def test_the_network_that_ships_keeps_its_joints_where_its_last_blocks_are_whole() -> None:
    bundle = open_bundle()
    network = bundle.manifest.networks.pose
    with np.load(bundle.golden_path) as golden:
        pictures: Sequence[np.ndarray] = list(golden["pose.images"])
    single = fold(bundle.path_of("pose"))
    ready = calibrate(single, normalise(pictures, network.input))
    chosen = [f"node_conv2d_{number}" for number in range(56, 68)]  # 8 x 8 places
    reference = answers_in(single, network, pictures)
    form = quantise(ready, chosen)
    signed = answers_in(form, network, pictures)
    whole = answers_in(cpu_form(form), network, pictures)
    for answers in (signed, whole):
        found = differences(reference, answers)
        assert 0.1 < found.mm.mean() < 8.0
        assert found.px.mean() < 0.6
    assert differences(signed, whole).mm.mean() < 8.0


def test_calibration_crops_are_named_hashed_and_never_held_out(tmp_path: Path) -> None:
    rendered = rendered_folder(tmp_path / "rendered", 5)
    drawn = draw("some", [rendered], most=3)
    assert [crop.number for crop in drawn.names.crops] == [0, 2, 4]
    assert drawn.pictures[0].shape == (256, 256, 3)
    red = drawn.pictures[0][128, 128].astype(int)
    assert red[2] > red[0] + 50, "pictures are BGR"
    again = draw("again", [rendered], most=3)
    assert again.names.sha256 == drawn.names.sha256
    small = rendered_folder(tmp_path / "small", 1)
    both = draw("both", [small, rendered], most=5).names.crops
    assert [crop.folder for crop in both] == ["small", *["rendered"] * 4]
    other = draw("some", [rendered_folder(tmp_path / "other", 5)], most=2)
    assert other.names.sha256 != drawn.names.sha256
    drawn.names.write(tmp_path / "list.json")
    assert drawn.names.sha256 in (tmp_path / "list.json").read_text()


def test_groups_held_out_from_training_judge_and_do_not_calibrate(tmp_path: Path) -> None:
    groups = {is_held_out(group): group for group in map(str, range(40))}
    kept = labelled_folder(tmp_path / "kept", 2, group=groups[True])
    learnt = labelled_folder(tmp_path / "learnt", 3, group=groups[False])
    assert len(draw("known", [learnt], most=9).crops) == 3
    assert len(draw("held", [kept], most=9, held_out=True).crops) == 2
    with pytest.raises(ConfigError, match="nobody in"):
        draw("known", [kept], most=9)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither rendered chunks nor labels"):
        draw("none", [tmp_path], most=3)
