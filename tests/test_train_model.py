"""One command trains both tiers from rendered people and pictures of one's own, and goes on."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from edge_pose.errors import EXIT_OPERATOR
from train.holdout import open_network

ROOT = Path(__file__).resolve().parents[1]
EXIT_USAGE = 64


def train_model(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "train-model"), *words],
        env={**os.environ, "PRESET": "tiny", "PEOPLE": "24", "EVERY": "25"},
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
