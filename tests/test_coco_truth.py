"""Truth written as a labelling tool would is read back as such a tool's labels are."""

from pathlib import Path

import numpy as np
import pytest

from edge_pose.skeleton import COCO_17
from mim_folders import rendered_folder
from train.__main__ import main
from train.coco import HIDDEN, NOT_MARKED, VISIBLE, read_coco
from train.coco_truth import LABELS
from train.few_labels import FewPeople, first_frames
from train.synth.dataset import read_chunk


def test_what_was_rendered_comes_back_as_marks(tmp_path: Path) -> None:
    folder, out = rendered_folder(tmp_path / "rendered", 3), tmp_path / "marked"
    assert main(["coco", "--rendered", str(folder), "--frames", "2", "--out", str(out)]) == 0
    frames = read_coco(out / LABELS, out)
    assert len(frames) == 2
    chunk = read_chunk(next(folder.glob("chunk-*.npz")))
    (person,) = frames[0].people
    joints = list(COCO_17)
    inside, visible = chunk.inside[0, joints], chunk.visible[0, joints]
    assert ((person.flags == NOT_MARKED) == ~inside).all()
    assert ((person.flags == VISIBLE) == (inside & visible)).all()
    assert ((person.flags == HIDDEN) == (inside & ~visible)).all()
    np.testing.assert_allclose(
        person.joints_px[inside], chunk.joints_px[0, joints][inside], atol=1e-4
    )
    np.testing.assert_allclose(person.box_px, chunk.box_px[0], atol=1e-4)
    assert len(FewPeople(first_frames(frames, 2, seed=0))) == 2


def test_an_empty_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["coco", "--rendered", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(words) != 0
    assert "shows nobody" in capsys.readouterr().err
