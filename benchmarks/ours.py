"""The appliance as a user starts it, `edge-pose run <clip> --output jsonl`, read into arrays."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clip_poses import ClipPoses, Cost, OnePerson, gather, run_and_time


def command_for(clip: Path, *options: str) -> list[str]:
    """Build the command line."""
    return [sys.executable, "-m", "edge_pose", "run", str(clip), "--output", "jsonl", *options]


def read_line(line: dict[str, Any]) -> OnePerson | None:
    """Take the most certain person that this frame's pixels show; null becomes NaN."""
    seen = [person for person in line["persons"] if not person.get("stale", False)]
    if not seen:
        return None
    person = max(seen, key=lambda candidate: candidate["score"])
    keypoints = np.array(person["kp"], np.float64)
    return OnePerson(
        joints_px=np.array(person["kp_px"], np.float64),
        joints_m=keypoints[:, :3],
        scores=keypoints[:, 3],
    )


def watch(clip: Path, *options: str, frames: int | None = None) -> tuple[ClipPoses, Cost]:
    """Run the appliance over a clip of so many frames, or of as many as it has lines for."""
    lines, cost = run_and_time(command_for(clip, *options))
    return gather(lines, read_line, frames), cost
