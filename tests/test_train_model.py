"""One command trains both tiers from rendered people and pictures of one's own, and goes on."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_pose.errors import EXIT_OPERATOR
from mim_folders import picture_folder
from train.holdout import open_network
from train.label_cache import read_labels

ROOT = Path(__file__).resolve().parents[1]
EXIT_USAGE = 64
TRAINED = ("detector", "head", "student", "mean")
OF_A_TIER = ("lifted", "raw", "scores", "graph", "figures")


def train_model(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "train-model"), *words],
        env={**os.environ, "PRESET": "tiny", "PEOPLE": "24", "EVERY": "25", **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def test_without_pictures_it_says_what_it_wants(tmp_path: Path) -> None:
    asked = train_model(str(tmp_path))
    assert asked.returncode == EXIT_USAGE
    assert "scripts/train-model OUT PICTURES" in asked.stdout
    wrong = train_model(str(tmp_path), str(tmp_path / "gone.mp4"))
    assert wrong.returncode == EXIT_OPERATOR
    assert f"there is no {tmp_path / 'gone.mp4'}; name a folder" in wrong.stderr


def finished(out: Path, *but: str) -> None:
    """Mark every step that is not about pictures of one's own as done, but for some."""
    (out / "done").mkdir(parents=True)
    tiers = [f"{tier}-{step}" for tier in ("fast", "accurate") for step in OF_A_TIER]
    for name in {"people", "people-wide", "other", "other-report", *TRAINED, *tiers} - {*but}:
        (out / "done" / name).touch()


def keys(out: Path) -> dict[str, list[str]]:
    """Tell which pictures were labelled under which name."""
    folders = sorted((out / "labels").iterdir())
    return {folder.name: [image.key for image in read_labels(folder)] for folder in folders}


@pytest.mark.timeout(300)
def test_sources_that_are_called_alike_are_told_apart_in_any_order(tmp_path: Path) -> None:
    out = tmp_path / "the model"
    finished(out)
    sources = [tmp_path / name for name in ("v1.0/cam 1", "v1.1/cam 1", "2026.11.25", "2026.11.26")]
    for number, folder in enumerate(sources):
        picture_folder(folder, number + 1)
    clip = tmp_path / "cam 1.x.mp4"
    shutil.copy(ROOT / "demo" / "worker.mp4", clip)
    words = [*map(str, sources), str(clip)]
    first = train_model(str(out), *words[1:])
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    labelled = {
        name: len(found) for name, found in keys(out).items() if found[0].startswith(f"{name}/")
    }
    assert labelled == {"cam 1": 2, "2026.11.25": 3, "2026.11.26": 4, "cam 1.x": 3}
    # Another of the same name comes before the others, and each keeps its own.
    again = train_model(str(out), *words)
    assert again.returncode == 0
    assert again.stdout.count("== ") == 1
    assert {name: len(found) for name, found in keys(out).items()} == {**labelled, "cam 1-2": 1}
    assert "== " not in train_model(str(out), *reversed(words)).stdout


def test_of_an_empty_place_it_is_told_that_nobody_is_there(tmp_path: Path) -> None:
    """Both clips show a worker, and of one it was said that they show nobody."""
    finished(tmp_path / "model")
    for name in ("shift", "night"):
        shutil.copy(ROOT / "demo" / "worker.mp4", tmp_path / f"{name}.mp4")
    words = (str(tmp_path / "model"), str(tmp_path / "shift.mp4"))
    asked = train_model(*words, EMPTY=str(tmp_path / "night.mp4"))
    assert asked.returncode == 0, asked.stdout[-2000:] + asked.stderr[-2000:]
    seen = {
        folder.name: [len(image.detected_px) > 0 for image in read_labels(folder)]
        for folder in (tmp_path / "model" / "labels").iterdir()
    }
    assert seen == {"shift": [True] * 3, "night": [False] * 3}
    gone = train_model(*words, EMPTY=str(tmp_path / "gone.mp4"))
    assert gone.returncode == EXIT_OPERATOR
    assert f"there is no {tmp_path / 'gone.mp4'}" in gone.stderr


def test_on_a_gpu_it_holds_to_a_network_of_its_own(tmp_path: Path) -> None:
    """What ships saw photographs that somebody collected on the web."""
    finished(tmp_path, "student")
    footage = picture_folder(tmp_path / "footage", 1)
    (tmp_path / "done" / "label-footage").touch()
    asked = train_model(str(tmp_path), str(footage), PRESET="gpu-quick")
    (student,) = [line for line in asked.stdout.splitlines() if line.startswith("== student")]
    assert f" --hold {tmp_path / 'head'} " in student
    assert "edge_pose/models" not in student


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_tiers_come_of_a_clip_and_nothing_is_done_twice(tmp_path: Path) -> None:
    words = (str(tmp_path / "model"), str(ROOT / "demo" / "worker.mp4"))
    first = train_model(*words)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    for tier in ("fast", "accurate"):
        session = open_network(tmp_path / "model" / f"{tier}-graph" / "pose.onnx", threads=1)
        assert "joints_m" in [output.name for output in session.get_outputs()]
        figures = json.loads((tmp_path / "model" / f"{tier}-figures.json").read_text())
        assert figures
    assert first.stdout.count("== ") > 15
    again = train_model(*words)
    assert again.returncode == 0
    assert "== " not in again.stdout
