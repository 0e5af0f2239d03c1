"""A network that was damaged on the way is caught, and one that was not passes."""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bundles import make_bundle
from edge_pose.bundle import open_bundle, packaged
from edge_pose.engines import Engine
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import BundleError, ConfigError
from edge_pose.inference import infer
from edge_pose.skeleton import INDEX, NUM_JOINTS
from export import parity_command
from export.parity import (
    Answers,
    TorchEngine,
    differences,
    is_within,
    spread_of,
    tolerance_of,
    worst,
)
from export.parity_sheet import sheet
from export.quantise import fold
from export.sensitivity import answers_in
from mim_folders import rendered_folder
from tiny_poses import Convolutions

Damage = Callable[[onnx.ModelProto], None]


@cache
def shipped() -> onnx.ModelProto:
    return fold(open_bundle().path_of("pose"))


@cache
def golden_pictures() -> tuple[np.ndarray, ...]:
    with np.load(open_bundle().golden_path) as golden:
        return tuple(golden["pose.images"])


@cache
def healthy() -> Answers:
    return answers_in(shipped(), open_bundle().manifest.networks.pose, golden_pictures())


def change(model: onnx.ModelProto, layer: int, alter: Callable[[np.ndarray], np.ndarray]) -> None:
    """Alter the weights of one convolution."""
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][layer]
    for array in model.graph.initializer:
        if array.name == convolution.input[1]:
            values = alter(numpy_helper.to_array(array).copy())
            array.CopyFrom(numpy_helper.from_array(values.astype(np.float32), array.name))


def colours_swapped(model: onnx.ModelProto) -> None:
    change(model, 0, lambda weights: weights[:, ::-1])


def input_not_divided_by_255(model: onnx.ModelProto) -> None:
    change(model, 0, lambda weights: weights * 255)


def input_twice_as_large(model: onnx.ModelProto) -> None:
    change(model, 0, lambda weights: weights * 2)


def two_channels_swapped(model: onnx.ModelProto) -> None:
    """Swap the loudest and the faintest channel of a layer, as a wrong concatenation would."""

    def swapped(weights: np.ndarray) -> np.ndarray:
        order = np.arange(len(weights))
        size = np.abs(weights).reshape(len(weights), -1).sum(1)
        order[[size.argmax(), size.argmin()]] = size.argmin(), size.argmax()
        return weights[order]

    change(model, 40, swapped)


def overflows_in_half_precision(model: onnx.ModelProto) -> None:
    """Run one map at a scale that single precision holds and half precision does not."""
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][35]
    name = convolution.output[0]
    convolution.output[0] = "wide"
    for scale, value in (("large", 1e4), ("small", 1e-4)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), scale))
    position = list(model.graph.node).index(convolution)
    for node in reversed(
        [
            helper.make_node("Mul", ["wide", "large"], ["larger"]),
            helper.make_node("Cast", ["larger"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["half"], ["single"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["single", "small"], [name]),
        ]
    ):
        model.graph.node.insert(position + 1, node)


@pytest.mark.parametrize(
    "damage",
    [
        colours_swapped,
        input_not_divided_by_255,
        input_twice_as_large,
        two_channels_swapped,
        overflows_in_half_precision,
    ],
)
def test_a_damaged_network_is_caught(damage: Damage) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(shipped())
    damage(model)
    bundle = open_bundle()
    found = differences(
        healthy(), answers_in(model, bundle.manifest.networks.pose, golden_pictures())
    )
    assert not is_within(found, tolerance_of(bundle, "fp32"))


def test_the_network_that_ships_agrees_with_its_folded_form() -> None:
    bundle = open_bundle()
    with closing(OnnxEngine(bundle.path_of("pose"), threads=1)) as engine:
        found = differences(
            healthy(), infer(engine, bundle.manifest.networks.pose, golden_pictures())
        )
    assert is_within(found, tolerance_of(bundle, "fp32"))
    assert found.px.max() < 0.05


def answers(people: int, seed: int = 0) -> Answers:
    rng = np.random.default_rng(seed)
    return {
        "joints_px": rng.uniform(0, 255, (people, NUM_JOINTS, 2)).astype(np.float32),
        "joints_m": rng.normal(0, 0.3, (people, NUM_JOINTS, 3)).astype(np.float32),
        "scores": rng.random((people, NUM_JOINTS)).astype(np.float32),
        "presence": rng.random(people).astype(np.float32),
    }


def moved(said: Answers, crop: int, joint: int, by: float) -> Answers:
    joints_px = said["joints_px"].copy()
    joints_px[crop, joint, 0] += by
    return said | {"joints_px": joints_px}


def test_distances_come_in_pixels_and_millimetres() -> None:
    said = answers(3)
    joints_m = said["joints_m"].copy()
    joints_m[1, 4] += np.array([0.003, 0.0, 0.004], np.float32)
    found = differences(said, moved(said, 2, 7, 1.5) | {"joints_m": joints_m})
    assert found.px[2, 7] == pytest.approx(1.5, abs=1e-4)
    assert found.mm[1, 4] == pytest.approx(5.0, abs=1e-3)
    assert np.count_nonzero(found.px) == 1
    assert np.count_nonzero(found.mm) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_infinitely_far(value: float) -> None:
    said = answers(400)
    found = differences(said, moved(said, 3, 0, value))
    assert np.isinf(found.px[3, 0])
    assert np.isinf(spread_of(found.px, found.sure).largest)
    assert worst(found, 1) == [3]
    assert not is_within(found, tolerance_of(open_bundle(), "fp32"))


def test_one_joint_that_is_often_off_is_not_hidden_by_the_others() -> None:
    said = answers(200)
    off = said
    for crop in range(0, 200, 20):
        off = moved(off, crop, INDEX["left_wrist"], 3.0)
    found = differences(said, off)
    spread = spread_of(found.px, found.sure)
    assert spread.mean < 0.01
    assert spread.percentiles[-1] == 0.0, "in all joints together, it is rarer than one in 100"
    assert spread.judged == pytest.approx(3.0, abs=1e-3)
    assert not is_within(found, tolerance_of(open_bundle(), "fp32"))


def test_what_the_reference_only_guesses_may_be_guessed_elsewhere() -> None:
    wrist = INDEX["left_wrist"]
    said = answers(200)
    scores = said["scores"].copy()
    scores[:, :] = 0.9
    scores[::2, wrist] = 0.1
    said |= {"scores": scores}
    guessed, seen = said, said
    for crop in range(0, 200, 20):
        guessed = moved(guessed, crop, wrist, 30.0)
        seen = moved(seen, crop + 1, wrist, 30.0)
    limit = tolerance_of(open_bundle(), "fp32")
    assert is_within(differences(said, guessed), limit)
    assert not is_within(differences(said, seen), limit)
    sure_of_nothing = said | {"scores": np.zeros_like(scores)}
    assert not is_within(differences(sure_of_nothing, said), limit)


def test_a_precision_without_tolerance_is_refused() -> None:
    with pytest.raises(BundleError, match="states no tolerance for int3"):
        tolerance_of(open_bundle(), "int3")


def test_networks_of_other_shapes_are_not_compared() -> None:
    said = answers(2)
    with pytest.raises(BundleError, match="joints_px of shape"):
        differences(said, said | {"joints_px": said["joints_px"][:, 1:]})


def test_pytorch_answers_behind_the_seam_of_engines() -> None:
    torch.manual_seed(0)
    network = Convolutions()
    calibration = {"slope": [0.5] * NUM_JOINTS, "offset": [1.0] * NUM_JOINTS}
    engine = TorchEngine(network, calibration, "tiny")
    assert isinstance(engine, Engine)
    said = infer(engine, open_bundle().manifest.networks.pose, golden_pictures())
    image = np.stack([picture[:, :, ::-1].transpose(2, 0, 1) for picture in golden_pictures()])
    with torch.no_grad():
        out = network(torch.from_numpy(image.astype(np.float32) / 255))
    assert np.allclose(said["joints_m"], out["joints_m"].numpy(), atol=1e-5)
    logits = out["score_logits"].numpy() * 0.5 + 1.0
    assert np.allclose(said["scores"], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_the_worst_cases_are_drawn_worst_first() -> None:
    pictures = [np.full((256, 256, 3), 40, np.uint8) for _ in range(3)]
    said = answers(3)
    other = moved(moved(said, 2, 9, 60.0), 0, 9, 20.0)
    found = differences(said, other)
    drawn = sheet(pictures, said, other, found, most=2)
    assert drawn.shape == (256, 512, 3)
    assert worst(found, 3) == [2, 0, 1]
    red = (drawn[:, :, 2].astype(int) - drawn[:, :, 1]) > 100
    assert red.any()
    overflown = moved(said, 1, 0, np.nan)
    assert sheet(pictures, said, overflown, differences(said, overflown)).any()


def compare(
    folder: Path, bundle: Path, form: Path
) -> tuple[int, Mapping[str, Mapping[str, object]]]:
    parser = argparse.ArgumentParser()
    parity_command.add_arguments(parser)
    words = ["--bundle", bundle, "--crops", folder / "people", "--most", "4"]
    words += ["--form", f"fp32={form}", "--machine", "--out", folder / "out"]
    code = parity_command.main(parser.parse_args(list(map(str, words))))
    return code, json.loads((folder / "out" / "parity.json").read_text())


def test_the_command_passes_a_copy_and_fails_a_damaged_network(tmp_path: Path) -> None:
    rendered_folder(tmp_path / "people", 4)
    bundle = make_bundle(tmp_path / "made")
    healthy_form = bundle / "pose.onnx"
    code, figures = compare(tmp_path, bundle, healthy_form)
    assert code == 0
    assert figures["pose.onnx"]["within"] is True
    assert figures["this machine"]["within"] is True
    model = onnx.load(healthy_form)
    for array in model.graph.initializer:
        if array.name == "body_m":
            values = numpy_helper.to_array(array) * np.float32(1.01)
            array.CopyFrom(numpy_helper.from_array(values, array.name))
    onnx.save(model, tmp_path / "larger.onnx")
    code, figures = compare(tmp_path, bundle, tmp_path / "larger.onnx")
    assert code == 1
    assert figures["larger.onnx"]["within"] is False
    picture = cv2.imread(str(tmp_path / "out" / "worst-1-larger.png"))
    assert picture is not None
    assert picture.shape[1] == 4 * 256
    assert "DISAGREES" in (tmp_path / "out" / "parity.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("looks", [["--mirrored", "--beside", "heavy"], []])
def test_the_tier_that_looks_several_times_is_compared_with_torch_that_does_so_too(
    tmp_path: Path, looks: list[str]
) -> None:
    rendered_folder(tmp_path / "people", 4)
    parser = argparse.ArgumentParser()
    parity_command.add_arguments(parser)
    accurate = str(packaged("accurate"))
    words = ["--bundle", accurate, "--student", accurate, *looks, "--most", "4"]
    words += ["--crops", str(tmp_path / "people"), "--out", str(tmp_path / "out")]
    parity_command.main(parser.parse_args(words))
    found = json.loads((tmp_path / "out" / "parity.json").read_text())["ONNX"]
    limit = tolerance_of(open_bundle(packaged("accurate")), "fp32")
    assert (found["px"]["largest"] < limit.px) == bool(looks)
    assert (found["mm"]["largest"] < limit.mm) == bool(looks)


def test_comparing_with_nothing_or_on_too_few_crops_is_refused(tmp_path: Path) -> None:
    rendered_folder(tmp_path / "people", 4)
    parser = argparse.ArgumentParser()
    parity_command.add_arguments(parser)
    words = ["--crops", str(tmp_path / "people"), "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="nothing to compare"):
        parity_command.main(parser.parse_args(words))
    form = ["--form", f"fp32={open_bundle().path_of('pose')}"]
    with pytest.raises(ConfigError, match="4 crops, wanted 500"):
        parity_command.main(parser.parse_args([*words, *form]))
