"""What any pose estimator said about one clip, in one form, and what saying it cost.

In: a command that prints one line of JSON a frame.  Out: arrays over frames in this project's joint
order, when each line arrived, and the process's peak memory.  Ours and the rivals are timed here,
by the same clock, from outside.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64

from edge_pose.errors import EdgePoseError
from edge_pose.skeleton import NUM_JOINTS

MS_PER_S: Final = 1000.0
KIB_PER_MIB: Final = 1024.0
TAIL: Final = 5


class EstimatorFailed(EdgePoseError):
    """An estimator under measurement ended badly; read its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPoses:
    """The most certain person of every frame; NaN where nobody was found or no joint offered."""

    found: Bool[np.ndarray, "frames"]
    joints_px: Float64[np.ndarray, "frames joints 2"]
    joints_m: Float64[np.ndarray, "frames joints 3"]
    """Metres in axes parallel to the camera's; the origin is the estimator's own."""
    scores: Float64[np.ndarray, "frames joints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one process took for one clip."""

    first_message_s: float
    """From the start of the process to the first frame's line."""
    ms_per_frame: float
    """Between the first and the last frame's line: reading, finding, posing and writing."""
    frames: int
    peak_memory_mib: float
    """Largest resident set, shared libraries included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePerson:
    """What an estimator's line says about its most certain person."""

    joints_px: Float64[np.ndarray, "joints 2"]
    joints_m: Float64[np.ndarray, "joints 3"]
    scores: Float64[np.ndarray, "joints"]


ReadLine = Callable[[dict[str, Any]], OnePerson | None]


def run_and_time(command: Sequence[str]) -> tuple[list[dict[str, Any]], Cost]:
    """Run an estimator to its end; return its frame lines and its cost."""
    lines: list[dict[str, Any]] = []
    arrivals_s: list[float] = []
    with tempfile.TemporaryFile("w+") as complaints:
        started_s = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as output:
            for text in output:
                arrived_s = time.monotonic()
                line = json.loads(text)
                if "seq" in line:
                    lines.append(line)
                    arrivals_s.append(arrived_s)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0 or len(lines) < 2:  # noqa: PLR2004 - one line has no duration
            complaints.seek(0)
            words = " / ".join(complaints.read().splitlines()[-TAIL:])
            raise EstimatorFailed(
                f"`{' '.join(command)}` ended with code {process.returncode} after "
                f"{len(lines)} frames and said: {words}"
            )
    return lines, Cost(
        first_message_s=arrivals_s[0] - started_s,
        ms_per_frame=(arrivals_s[-1] - arrivals_s[0]) / (len(lines) - 1) * MS_PER_S,
        frames=len(lines),
        peak_memory_mib=usage.ru_maxrss / KIB_PER_MIB,
    )


def gather(lines: Sequence[dict[str, Any]], read: ReadLine, frames: int | None = None) -> ClipPoses:
    """Put a clip's lines into arrays indexed by frame; a frame without a line is not found."""
    count = max(line["seq"] for line in lines) + 1 if frames is None else frames
    joints_px = np.full((count, NUM_JOINTS, 2), np.nan)
    joints_m = np.full((count, NUM_JOINTS, 3), np.nan)
    scores = np.zeros((count, NUM_JOINTS))
    found = np.zeros(count, np.bool_)
    for line in lines:
        person = read(line)
        if person is not None and line["seq"] < count:
            place = line["seq"]
            found[place] = True
            joints_px[place] = person.joints_px
            joints_m[place] = person.joints_m
            scores[place] = person.scores
    return ClipPoses(found=found, joints_px=joints_px, joints_m=joints_m, scores=scores)
