"""A lifter trained anew goes behind every form of the network that ships; nothing else changes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from edge_pose import skeleton
from edge_pose.bundle import open_bundle, packaged
from edge_pose.config import Tier
from edge_pose.errors import BundleError
from export.__main__ import main
from export.lift_command import exchange_lifter
from train import checkpoint, run_recipe
from train.begin import weights_of
from train.student import INPUT_SIZE_PX

WRIST = skeleton.INDEX["left_wrist"]
RAISED_M = 0.2


def run_of(weights: Mapping[str, Tensor], folder: Path) -> Path:
    """Keep weights as a run of training would."""
    folder.mkdir()
    run_recipe.write(folder, {"command": "lift", "start": "full"})
    averages = {f"average.{name}": value.clone() for name, value in weights.items()}
    checkpoint.write(folder, averages, {"format": checkpoint.FORMAT, "step": 0, "steps": 0})
    return folder


def with_raised_wrist(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let the lifter say that one joint lies farther from the camera than it said before."""
    bias = weights["lifter.leave.bias"].clone()
    bias[3 * WRIST + 2] += RAISED_M
    return {**weights, "lifter.leave.bias": bias}


def said(graph: Path) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(graph)
    names = ["joints_px", "joints_m", "scores", "presence", "reach_px"]
    dice = np.random.default_rng(4)
    image = dice.random((1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX), np.float32)
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


@pytest.mark.parametrize("tier", ["fast", "accurate"])
def test_every_form_says_of_metres_what_the_new_lifter_says(tier: Tier, tmp_path: Path) -> None:
    bundle = open_bundle(packaged(tier))
    run = run_of(with_raised_wrist(weights_of(bundle.path_of("pose"))), tmp_path / "run")
    out = tmp_path / "out"
    words = ["lift", "--bundle", str(bundle.folder), "--lifted", str(run), "--out", str(out)]
    assert main(words) == 0
    forms = sorted(path.name for path in bundle.folder.glob("pose*.onnx"))
    assert sorted(path.name for path in out.glob("*.onnx")) == forms
    # The mirror image has this at the other wrist, which is this wrist again once mirrored back.
    wanted_m = np.zeros((skeleton.NUM_JOINTS, 3))
    wanted_m[WRIST, 2] = RAISED_M / 2
    if tier == "accurate":
        wanted_m[[WRIST, skeleton.MIRROR[WRIST]], 2] = RAISED_M / 4
    for form in forms:
        before, after = said(bundle.folder / form), said(out / form)
        # Bytes are coarser than the halves of which they are made anew here.
        np.testing.assert_allclose(
            after["joints_m"][0] - before["joints_m"][0],
            wanted_m,
            atol=3e-3 if "int8" in form else 1e-5,
        )
        for name in ("joints_px", "scores", "presence", "reach_px"):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    with np.load(out / "golden.npz") as pictures:
        assert pictures["pose"].shape[1:] == (INPUT_SIZE_PX, INPUT_SIZE_PX, 3)
        assert len(pictures["detector"])


@pytest.mark.parametrize("form", ["pose.onnx", "pose.fp16.onnx", "pose.int8-cpu.onnx"])
def test_all_weights_are_exchanged(form: str) -> None:
    bundle = open_bundle(packaged())
    weights = weights_of(bundle.path_of("pose"))
    lifter = {
        name.removeprefix("lifter."): np.random.default_rng(7).normal(0, 0.05, value.shape)
        for name, value in weights.items()
        if name.startswith("lifter.")
    }
    single = {name: value.astype(np.float32) for name, value in lifter.items()}
    model = onnx.load(bundle.folder / form)
    kept = {array.name: array.SerializeToString() for array in model.graph.initializer}
    exchange_lifter(model, single, where=form)
    changed = [
        array.name
        for array in model.graph.initializer
        if array.SerializeToString() != kept[array.name]
    ]
    assert all("lifter." in name for name in changed)
    assert {name.rsplit("lifter.")[-1].split(".half")[0].split(".step")[0] for name in changed} == (
        lifter.keys()
    )


def test_a_lifter_for_what_another_network_says_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = weights_of(open_bundle(packaged()).path_of("pose"))
    other = {**weights, "head.weight": weights["head.weight"] * 1.1}
    run = run_of(other, tmp_path / "run")
    assert main(["lift", "--lifted", str(run), "--out", str(tmp_path / "out")]) == 78
    assert "head.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_lifter_of_another_shape_is_refused() -> None:
    bundle = open_bundle(packaged())
    weights = weights_of(bundle.path_of("pose"))
    lifter = {
        name.removeprefix("lifter."): value.numpy()
        for name, value in weights.items()
        if name.startswith("lifter.")
    }
    narrow = {**lifter, "leave.bias": np.zeros(72, np.float32)}
    with pytest.raises(BundleError, match=r"\[75\].*\[72\]"):
        exchange_lifter(onnx.load(bundle.path_of("pose")), narrow, where="pose.onnx")
    deeper = {**lifter, "blocks.3.widen.bias": torch.zeros(448).numpy()}
    with pytest.raises(BundleError, match=r"blocks\.3"):
        exchange_lifter(onnx.load(bundle.path_of("pose")), deeper, where="pose.onnx")
    shallow = {name: value for name, value in lifter.items() if not name.startswith("blocks.2")}
    with pytest.raises(BundleError, match=r"blocks\.2"):
        exchange_lifter(onnx.load(bundle.path_of("pose")), shallow, where="pose.onnx")
