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
from export.qdq_forms import constants, cpu_form
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
        Roles(calibrated(), Rehearsal(calibrated(), ()).returned)


def test_a_rounded_network_learns_back_what_was_spoiled() -> None:
    ready = calibrated()
    network = Rehearsal(ready, ready.layers)
    pictures = torch.from_numpy(images(32, seed=5))
    with torch.no_grad():
        (said,) = Rehearsal(ready, ())(pictures).values()
        network.moved["narrow/bias"].add_(torch.tensor([1.0, -1.0, 2.0, 0.5]))
        network.moved["back/bias"].add_(torch.tensor([-1.0, 1.0, 0.5, 1.0]))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    gaps = []
    for _ in range(100):
        (now,) = network(pictures).values()
        gap = (now - said).square().mean()
        optimiser.zero_grad()
        gap.backward()
        optimiser.step()
        gaps.append(gap.item())
    assert gaps[-1] < 0.1 * gaps[0]
    learned = network.learned(ready, network.state_dict())
    others = images(16, seed=6)
    form = run(quantise(learned, ready.layers), others, as_written=True)
    off = np.square(form - run(ready.model, others)).mean()
    assert off < 0.15 * gaps[0], "on pictures that it did not learn from, in the form that ships"


def test_only_the_layers_that_are_named_learn() -> None:
    ready = calibrated()
    network = Rehearsal(ready, ["deep"])
    network.fix_all_but(["deep"])
    free = {name for name, value in network.named_parameters() if value.requires_grad}
    assert free == {"moved.deep/weight", "moved.deep/bias"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_network_that_ships_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    bundle = open_bundle()
    spec = bundle.manifest.networks.pose
    with np.load(bundle.golden_path) as golden:
        few = list(golden["pose.images"])
    pictures = (few * BATCH)[: BATCH + 2]
    single = fold(bundle.path_of("pose"))
    ready = calibrate(single, normalise(few, spec.input))
    layers = [f"node_conv2d_{number}" for number in range(56, 68)]
    lesson = Lesson(ready, pictures, spec.input)
    learned = learn(ready, layers, lesson, tmp_path, steps=2, seed=0)
    again = learn(ready, layers, lesson, tmp_path, steps=2, seed=0)
    assert learned.model.SerializeToString() == again.model.SerializeToString()

    reference = answers_in(single, spec, few)

    def off_mm(network: Calibrated) -> float:
        form: onnx.ModelProto = cpu_form(quantise(network, layers))
        return float(differences(reference, answers_in(form, spec, few)).mm.mean())

    before, after = constants(ready.model), constants(learned.model)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert 0 < len(moved) <= 2 * len(layers), "weights and biases of those layers, and no other"
    # Two steps teach nothing yet; they must not spoil anything either.
    assert off_mm(learned) < 2 * off_mm(ready)
