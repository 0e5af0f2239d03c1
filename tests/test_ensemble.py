"""Several looks at one picture are one answer, which has no left and right of its own."""

import math
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edge_pose import skeleton
from edge_pose.errors import ConfigError
from export.graph import export_pose
from train import ensemble
from train.agreement import both_ways, unmirrored
from train.begin import student_from
from train.calibrate import identity
from train.ensemble import Ensemble, apart_px, doubted, joined
from train.lifter import Lifter
from train.student import INPUT_SIZE_PX, PoseNet

NAMES = ["joints_px", "joints_m", "scores", "presence", "reach_px"]
JOINTS = skeleton.NUM_JOINTS


def answer(seed: int, moved_px: float = 0.0) -> dict[str, torch.Tensor]:
    """Two people anywhere, each joint moved by so much to the right."""
    dice = torch.Generator().manual_seed(seed)
    return {
        "joints_px": torch.rand(2, JOINTS, 2, generator=dice) * 200 + torch.tensor([moved_px, 0]),
        "joints_m": torch.rand(2, JOINTS, 3, generator=dice),
        "score_logits": torch.randn(2, JOINTS, generator=dice),
        "presence_logits": torch.randn(2, generator=dice),
        "reach_px": torch.rand(2, 2, 2, generator=dice) * 200,
    }


def test_networks_that_agree_meet_half_way_and_who_sees_another_body_is_not_heard() -> None:
    one = answer(0)
    near, far = joined(one, answer(0, moved_px=2)), joined(one, answer(0, moved_px=80))
    moved = near["joints_px"] - one["joints_px"]
    assert moved[..., 0].mean() == pytest.approx(1.0, abs=0.02)
    assert moved[..., 1].abs().max() == 0
    torch.testing.assert_close(far["joints_px"], one["joints_px"], atol=1e-3, rtol=0)
    for name in ("presence_logits", "reach_px"):
        torch.testing.assert_close(near[name], one[name])


def test_the_farther_looks_are_apart_the_less_a_score_is_worth() -> None:
    one = answer(1)
    logits = [
        doubted(one, torch.full((2, JOINTS), float(away)))["score_logits"] for away in (1, 4, 40)
    ]
    assert (logits[0] > logits[1]).all()
    torch.testing.assert_close(logits[1], one["score_logits"])  # as far as looks usually are
    assert (logits[1] - logits[2]).mean() == pytest.approx(0.75 * math.log(41 / 5), abs=1e-4)


def test_how_far_answers_are_apart_is_a_distance_a_joint() -> None:
    torch.testing.assert_close(apart_px(answer(2), answer(2, moved_px=3)), torch.full((2, 25), 3.0))


def test_another_network_without_the_mirror_image_is_refused() -> None:
    parser = ArgumentParser()
    ensemble.add_options(parser)
    with pytest.raises(ConfigError, match="--beside lite needs --mirrored; add it"):
        ensemble.from_options(PoseNet("lite"), parser.parse_args(["--beside", "lite"]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in its exporter
@pytest.mark.parametrize("beside", [None, "lite"])
def test_an_ensemble_is_one_file_that_has_no_left_and_right(
    tmp_path: Path, beside: str | None
) -> None:
    student = PoseNet("lite").eval()
    student.lifter = Lifter(INPUT_SIZE_PX).eval()
    torch.nn.init.normal_(student.lifter.leave.bias, std=0.05, generator=torch.manual_seed(3))
    assert student.head.bias is not None
    with torch.no_grad():
        student.head.bias += 0.01  # so that a file with both networks cannot mix them up
    other = None if beside is None else PoseNet(beside).eval()
    both = Ensemble(student, other).eval()
    graph = tmp_path / "pose.onnx"
    export_pose(both, identity(JOINTS).table(), graph)
    session = onnxruntime.InferenceSession(graph)
    image = torch.rand(3, 3, INPUT_SIZE_PX, INPUT_SIZE_PX, generator=torch.manual_seed(1))

    def said(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        values = session.run(NAMES, {"image": pictures.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(NAMES, values, strict=True)}

    ours = said(image)
    with torch.no_grad():
        plain, flipped = student.seen(image), student.seen(image.flip(-1))
        wanted = both(image)
    mean = both_ways(plain, flipped)
    if other is None:
        torch.testing.assert_close(wanted["joints_px"], mean["joints_px"], atol=1e-3, rtol=0)
    torch.testing.assert_close(wanted["reach_px"], mean["reach_px"], atol=1e-3, rtol=0)
    for name in ("joints_px", "joints_m", "reach_px"):
        np.testing.assert_allclose(ours[name], wanted[name], rtol=0, atol=0.3, err_msg=name)
    np.testing.assert_allclose(ours["scores"], wanted["score_logits"].sigmoid(), atol=0.02)
    if other is None:  # another network has a side that it looks better at
        turned = said(image.flip(-1))
        logits = {"score_logits": turned["scores"], "presence_logits": turned["presence"]}
        back = unmirrored(turned | logits)
        for name in ("joints_px", "joints_m", "reach_px"):
            np.testing.assert_allclose(ours[name], back[name], rtol=0, atol=2e-2, err_msg=name)
        np.testing.assert_allclose(ours["scores"], back["score_logits"], atol=1e-3)
    alone = said(image[:1])
    np.testing.assert_allclose(alone["joints_px"], ours["joints_px"][:1], atol=1e-2)
    again = student_from(graph)
    assert again.lifter is not None
    for name, value in student.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=2e-3, atol=2e-3)
