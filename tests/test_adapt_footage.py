"""A flat folder or one video of a line is enough to adapt to: part of it is held out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_pose.errors import EXIT_OPERATOR
from mim_folders import labelled_folder, picture_folder, rendered_folder
from train.__main__ import main
from train.label_cache import groups_in, read_labels
from train.pose_data import is_held_out
from train.report_files import read_results

ROOT = Path(__file__).resolve().parents[1]


def command(source: Path, target: Path, out: Path) -> list[str]:
    words = "adapt --preset tiny --share-of-steps 0.05 --most 4 --errors-only"
    folders = ["--source", str(source), "--target", str(target), "--out", str(out)]
    return [*words.split(), "--variants", "source_only", *folders]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_flat_folder_is_learned_from_and_measured_in(tmp_path: Path) -> None:
    footage = tmp_path / "line7"
    footage.mkdir()
    capture = cv2.VideoCapture(str(ROOT / "demo" / "worker.mp4"))
    for number in range(24):
        for _ in range(2):
            assert capture.grab()
        cv2.imwrite(str(footage / f"{number:03d}.jpg"), np.asarray(capture.retrieve()[1]))
    out = tmp_path / "out"
    assert main(command(rendered_folder(tmp_path / "source", 4), footage, out)) == 0
    groups = [image.group for image in read_labels(out / "labels")]
    assert [is_held_out(group) for group in groups] == [False] * 20 + [True] * 4
    rows = read_results([out / "results.json"]).rows
    assert {row.domain for row in rows} == {"labels"}
    methods = {row.method for row in rows}
    assert {"source_only", "student_distilled", "detector_refreshed"} <= methods
    assert {row.samples for row in rows if row.method == "source_only"} == {4}


def refused(words: list[str], capsys: pytest.CaptureFixture[str], *, out: Path) -> str:
    """Run what is refused before the teachers look at anything; return the sentence."""
    assert main(words) == EXIT_OPERATOR
    assert not groups_in(out / "labels")
    return capsys.readouterr().err


def test_footage_too_short_to_hold_out_of_is_refused_before_it_is_labelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = rendered_folder(tmp_path / "source", 2), tmp_path / "out"
    short = picture_folder(tmp_path / "short", 20)
    said = refused(command(source, short, out), capsys, out=out)
    assert f"{short} is held out, so there would be nothing to measure in" in said
    assert "--test" in said


def test_subfolders_of_which_all_are_learned_or_all_held_out_are_refused_before_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = rendered_folder(tmp_path / "source", 2), tmp_path / "out"
    names = [f"cam{number}" for number in range(100)]
    for held_out, said in ((False, "nothing to measure in"), (True, "nobody to learn from")):
        footage = tmp_path / str(held_out)
        alike = [name for name in names if is_held_out(f"target/{name}") == held_out]
        for name in alike[:2]:
            picture_folder(footage / name, 1)
        assert said in refused(command(source, footage, out), capsys, out=out)


def test_a_folder_to_measure_in_that_holds_nobody_out_is_refused_before_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = rendered_folder(tmp_path / "source", 2), tmp_path / "out"
    footage = picture_folder(tmp_path / "footage", 3)
    learned = labelled_folder(tmp_path / "learned", 2, group="line/clip#run-0002")
    words = [*command(source, footage, out), "--test", str(learned)]
    assert f"{learned} holds nobody" in refused(words, capsys, out=out)
