"""The appliance as a process of its own, and a clip for it to watch."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2

from bundles import Actor, draw_people
from edge_pose.camera import assume


def start(*words: str | Path, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Run a command as the process of its own that it is in earnest."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge_pose", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )


def write_clip(path: Path, *, frames: int = 12, fps: float = 25.0) -> Path:
    """Film one bright person who walks to the right, 4 m away."""
    intrinsics = assume(320, 240)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (320, 240))
    for number in range(frames):
        actor = Actor(root_m=(-0.5 + 0.03 * number, 0.0, 4.0))
        writer.write(draw_people([actor], intrinsics))
    writer.release()
    return path
