"""What goes wrong on a line, in earnest: a few faults, once each; docs/log.md has them all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from test_rtsp import can_serve

ROOT = Path(__file__).resolve().parents[1]
FEW = ("broker is killed", "camera is killed", "spool is corrupted", "killed at any moment")


@pytest.mark.slow
@pytest.mark.skipif(not can_serve(), reason="needs gir1.2-gst-rtsp-server-1.0 and python3-gi")
def test_after_each_of_a_few_faults_all_is_well_again_and_nothing_was_lost(tmp_path: Path) -> None:
    kept = tmp_path / "faults.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--quick", "--only", *FEW, "--json", kept],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = {outcome["fault"]: outcome for outcome in json.loads(kept.read_text())}
    assert outcomes.keys() == set(FEW)
    assert all(outcome["events"] > 0 for outcome in outcomes.values()), "nothing was promised"
    assert all(outcome["lost_events"] == 0 for outcome in outcomes.values())
