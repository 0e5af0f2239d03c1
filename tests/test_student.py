"""The networks that training starts from say what their authors' own runtime says."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float32
from torch import nn

from edge_pose.errors import ConfigError
from edge_pose.skeleton import INDEX
from train import checkpoint, run_recipe
from train.begin import student_from
from train.detector import DetectorNet
from train.frozen_stem import StandIn
from train.lifter import Lifter
from train.sharpen import sharpened
from train.ssd import INPUT_PX, PERSON
from train.student import INPUT_SIZE_PX, LANDMARKS, STARTS, PoseNet
from train.weights import DEFAULT_CACHE, PEOPLE_SSD, ModelFile, fetch


def picture(size_px: int) -> Float32[np.ndarray, "1 size size 3"]:
    """Smooth coloured shapes, 0 to 1."""
    rng = np.random.default_rng(5)
    coarse = torch.from_numpy(rng.random((1, 3, 6, 6), np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(size_px, size_px), mode="bicubic")
    return np.ascontiguousarray(fine.clamp(0, 1).permute(0, 2, 3, 1).numpy())


def published(model: ModelFile, image: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = Interpreter(str(fetch(model, DEFAULT_CACHE)), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])[0]
        for detail in interpreter.get_output_details()
    }


@pytest.mark.slow
@pytest.mark.parametrize("start", sorted(STARTS))
def test_a_student_starts_as_accurate_as_the_published_landmarks(start: str) -> None:
    image = picture(INPUT_SIZE_PX)
    theirs = published(STARTS[start].file, image)
    landmarks_px = theirs["Identity"].reshape(39, 5)[:, :2]
    world_m = theirs["Identity_4"].reshape(39, 3)
    network = PoseNet(start)
    planes = torch.from_numpy(image).permute(0, 3, 1, 2)
    with torch.no_grad():
        ours = network.predict(network.stem(planes)[0])
        whole = network(planes)["joints_px"][0]
    joints_px, joints_m = ours["joints_px"][0].numpy(), ours["joints_m"][0].numpy()
    hips_m = world_m[[23, 24]].mean(axis=0)
    for name, shares in LANDMARKS.items():
        wanted_px = sum(share * landmarks_px[number] for number, share in shares.items()) - 0.5
        wanted_m = sum(share * world_m[number] for number, share in shares.items()) - hips_m
        np.testing.assert_allclose(joints_px[INDEX[name]], wanted_px, atol=0.02, err_msg=name)
        np.testing.assert_allclose(joints_m[INDEX[name]], wanted_m, atol=1e-4, err_msg=name)
    heat = torch.from_numpy(theirs["Identity_3"]).permute(2, 0, 1)[None, 15:17]
    wrists_px = torch.from_numpy(landmarks_px[None, 15:17] - 0.5)
    wanted = sharpened(wrists_px, heat, INPUT_SIZE_PX)[0]
    np.testing.assert_allclose(
        whole[[INDEX["left_wrist"], INDEX["right_wrist"]]], wanted, atol=0.02
    )


@pytest.mark.slow
def test_a_detector_starts_with_the_published_boxes_and_the_scores_of_persons() -> None:
    image = picture(INPUT_PX) * 2 - 1
    theirs = published(PEOPLE_SSD, image.astype(np.float32))
    with torch.no_grad():
        ours = DetectorNet()(torch.from_numpy(image).permute(0, 3, 1, 2))
    encodings = theirs["raw_outputs/box_encodings"]
    logits = theirs["raw_outputs/class_predictions"][:, PERSON]
    np.testing.assert_allclose(ours["encodings"][0].numpy(), encodings, atol=2e-3)
    np.testing.assert_allclose(ours["score_logits"][0].numpy(), logits, atol=2e-3)


def test_a_crop_thrown_far_above_can_be_brought_down() -> None:
    """What the published network does with crops that it takes for nobody."""
    network = PoseNet("full").train()
    *_, bias = network.tower.parameters()
    with torch.no_grad():
        bias.add_(1000)
    chance = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX, generator=chance)
    features = network.stem(image)[0].detach()
    maps = network.tower(features)[0]
    assert (maps == 6).all()
    (gradient,) = torch.autograd.grad(maps.sum(), bias)
    assert (gradient > 0).all()


def run_with(folder: Path, network: nn.Module, *, without: str) -> Path:
    """Leave a run of the parameters whose names do not begin with a word."""
    folder.mkdir()
    kept = {
        f"average.{name}": value.detach()
        for name, value in network.named_parameters()
        if not name.startswith(without)
    }
    checkpoint.write(folder, kept, {"step": 1})
    run_recipe.write(folder, {"start": "full"})
    return folder


def test_a_run_without_a_part_of_the_network_is_refused_but_a_lifter_may_be_missing(
    tmp_path: Path,
) -> None:
    network = PoseNet("full")
    network.lifter = Lifter(INPUT_SIZE_PX)
    assert student_from(run_with(tmp_path / "a", network, without="none")).lifter is not None
    assert student_from(run_with(tmp_path / "b", network, without="lifter.")).lifter is None
    for part, folder in (("stem.", "c"), ("head.bias", "d"), ("lifter.leave", "e")):
        run = run_with(tmp_path / folder, network, without=part)
        with pytest.raises(ConfigError) as refused:
            student_from(run)
        assert f"{run} lacks the {part.split('.')[0]} of the network" in str(refused.value)
        assert "distil again" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_what_stands_in_for_a_stem_keeps_its_weights_and_takes_no_others() -> None:
    stem, other = (nn.Sequential(nn.Conv2d(3, 4, 1)) for _ in range(2))
    network = nn.ModuleDict({"stem": StandIn(stem, lambda image: [image]), "head": nn.Linear(2, 2)})
    whole = nn.ModuleDict({"stem": stem, "head": network["head"]}).state_dict()
    kept = network.state_dict()
    assert kept.keys() == whole.keys()
    assert all(torch.equal(kept[name], value) for name, value in whole.items())
    copied = copy.deepcopy(network)
    assert copied["stem"] is network["stem"]
    assert copied["head"] is not network["head"]
    network.load_state_dict(whole)
    with pytest.raises(ConfigError, match=r"trained behind another stem \(stem\.0\.\w+ differs"):
        network.load_state_dict({"stem.0.weight": other[0].weight}, strict=False)


@pytest.mark.parametrize("command", ["student", "detector", "lift"])
def test_what_learns_needs_no_runtime_of_the_teachers(command: str) -> None:
    """A machine with an accelerator may have none: teachers label elsewhere."""
    hidden = "import sys; sys.modules['ai_edge_litert'] = None; "
    subprocess.run([sys.executable, "-c", f"{hidden}import train.{command}_command"], check=True)
