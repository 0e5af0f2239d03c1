"""A network that looks at the mirror image too gives the mirror image the mirrored answer."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edge_pose import skeleton
from export.graph import export_pose
from train.agreement import mirrored_answer, unmirrored
from train.calibrate import identity
from train.student import INPUT_SIZE_PX, PoseNet

NAMES = ["joints_px", "joints_m", "scores", "presence", "reach_px"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in its exporter
def test_both_ways_are_one_network_that_has_no_left_and_right(tmp_path: Path) -> None:
    network = PoseNet("lite").eval()
    graph = tmp_path / "pose.onnx"
    export_pose(network, identity(skeleton.NUM_JOINTS).table(), graph, mirrored=True)
    session = onnxruntime.InferenceSession(graph)
    image = torch.rand(3, 3, INPUT_SIZE_PX, INPUT_SIZE_PX, generator=torch.manual_seed(1))

    def said(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        values = session.run(NAMES, {"image": pictures.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(NAMES, values, strict=True)}

    ours = said(image)
    with torch.no_grad():
        wanted = mirrored_answer(network, image, image.flip(-1))
    for name in ("joints_px", "joints_m", "reach_px"):
        np.testing.assert_allclose(ours[name], wanted[name], rtol=0, atol=0.3, err_msg=name)
    np.testing.assert_allclose(ours["scores"], wanted["score_logits"].sigmoid(), atol=0.02)
    turned = said(image.flip(-1))
    logits = {"score_logits": turned["scores"], "presence_logits": turned["presence"]}
    back = unmirrored(turned | logits)
    for name in ("joints_px", "joints_m", "reach_px"):
        np.testing.assert_allclose(ours[name], back[name], rtol=0, atol=2e-2, err_msg=name)
    np.testing.assert_allclose(ours["scores"], back["score_logits"], atol=1e-3)
    alone = said(image[:1])
    np.testing.assert_allclose(alone["joints_px"], ours["joints_px"][:1], atol=1e-2)
