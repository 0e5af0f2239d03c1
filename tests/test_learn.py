"""Learning while rounded: the rehearsal is the form that ships, and learning brings it nearer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError
from edge_pose.inference import normalise
from export.learn import BATCH, Lesson, Roles, learn
from export.parity import differences
from export.qdq_forms import cpu_form
from export.quantise import Calibrated, calibrate, fold, quantise
from export.rehearsal import Rehearsal
from export.sensitivity import answers_in
from tiny_network import calibrated, images, run, tensorrt, tiny


def rehearsed(network: Rehearsal, pictures: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        (answer,) = network(torch.from_numpy(pictures)).values()
    return np.asarray(answer.numpy())


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_without_rounding_it_says_what_onnx_runtime_says(activation: str) -> None:
    pictures = images(8, seed=3)
    plain = rehearsed(Rehearsal(calibrated(activation), ()), pictures)
    assert np.allclose(plain, run(tiny(activation), pictures), rtol=0, atol=1e-4)


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_with_rounding_it_says_what_onnx_runtime_says_of_the_form(activation: str) -> None:
    ready = calibrated(activation)
    pictures = images(8, seed=3)
    found = rehearsed(Rehearsal(ready, ready.layers), pictures)
    form = run(tensorrt(activation), pictures, as_written=True)
    true = run(tiny(activation), pictures)
    # A value in the middle between two steps may go either way.
    assert np.median(np.abs(found - form)) < 1e-5
    assert np.abs(found - form).mean() < 0.1 * np.abs(form - true).mean()


def test_some_layers_stay_in_float_and_read_what_was_not_rounded() -> None:
    ready = calibrated()
    layers = ["expand", "deep", "back"]
    pictures = images(8, seed=3)
    found = rehearsed(Rehearsal(ready, layers), pictures)
    form = run(quantise(ready, layers), pictures, as_written=True)
    assert np.abs(found - form).mean() < 0.3 * np.abs(form - run(tiny(), pictures)).mean()


def test_what_was_learned_is_what_the_form_is_made_of() -> None:
    ready = calibrated()
    network = Rehearsal(ready, ready.layers)
    with torch.no_grad():
        for name, aim in (("back.weight", 0.5), ("back.bias", 2.0)):
            size = network.get_buffer(f"size {name.replace('.', '/')}")
            now = network.number(name)
            network.moved[name.replace(".", "/")].copy_((aim - 1) * now / size)
            assert torch.allclose(network.number(name), aim * now)
    pictures = images(8, seed=3)
    learned = network.learned(ready, network.state_dict())
    form = run(quantise(learned, ready.layers), pictures, as_written=True)
    assert np.abs(form - rehearsed(network, pictures)).mean() < 0.02 * form.std()
    assert np.abs(form - run(tensorrt(), pictures, as_written=True)).mean() > 0.1 * form.std()
    assert np.array_equal(run(ready.model, pictures), run(calibrated().model, pictures)), (
        "the calibrated network itself stays as it is"
    )


def test_gradients_pass_rounding_and_not_the_end_of_its_range() -> None:
    ready = calibrated()
    network = Rehearsal(ready, ready.layers)
    picture = torch.from_numpy(images(1, seed=3)).requires_grad_()
    (answer,) = network(picture).values()
    answer.sum().backward()
    assert picture.grad is not None
    assert float(picture.grad.abs().sum()) > 0
    beyond = torch.full_like(picture, 2 * ready.ranges["image"]).requires_grad_()
    (answer,) = network(beyond).values()
    answer.sum().backward()
    assert beyond.grad is not None
    assert float(beyond.grad.abs().sum()) == 0.0


def test_a_network_that_is_no_pose_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="head, reach and heat"):
        Roles(calibrated())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_learning_brings_the_rounded_network_nearer_to_what_it_said(tmp_path: Path) -> None:
    bundle = open_bundle()
    spec = bundle.manifest.networks.pose
    with np.load(bundle.golden_path) as golden:
        pictures = [image for image in golden["pose.images"] for _ in range(BATCH)][: 2 * BATCH]
    single = fold(bundle.path_of("pose"))
    ready = calibrate(single, normalise(pictures[::BATCH], spec.input))
    layers = [f"node_conv2d_{number}" for number in range(20, 68)]
    lesson = Lesson(ready, pictures, spec.input)
    learned = learn(ready, layers, lesson, tmp_path, steps=12, seed=0)

    reference = answers_in(single, spec, pictures[::BATCH])

    def off_mm(network: Calibrated) -> float:
        form: onnx.ModelProto = cpu_form(quantise(network, layers))
        return float(differences(reference, answers_in(form, spec, pictures[::BATCH])).mm.mean())

    assert off_mm(learned) < 0.8 * off_mm(ready)
