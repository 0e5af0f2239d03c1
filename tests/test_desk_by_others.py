"""At the desk no camera is judged by what was seen in its own pictures."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import desk
from edge_pose.skeleton import NUM_JOINTS

FRAMES = (2, 3)
VIEWS = 4


def truth_without(view: int) -> desk.Truth:
    """Mark everything with the camera that was left out."""
    pictures = VIEWS * sum(FRAMES)
    return desk.Truth(
        joints_m=np.full((pictures, NUM_JOINTS, 3), float(view)),
        joints_px=np.full((pictures, NUM_JOINTS, 2), float(view)),
        counted=np.full((pictures, NUM_JOINTS), view % 2 == 0),
        seconds=np.full(pictures, view),
    )


def test_each_picture_has_the_reference_that_its_own_camera_had_no_part_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions: Any = [SimpleNamespace(frames=frames, views=(None,) * VIEWS) for frames in FRAMES]
    monkeypatch.setattr(desk, "reference_of", lambda _session, _python, *, without: without)
    monkeypatch.setattr(desk, "truth_of", lambda _sessions, left_out: truth_without(left_out[0]))
    truth = desk.truth_by_others(sessions, SimpleNamespace())  # type: ignore[arg-type]
    expected = [view for frames in FRAMES for view in range(VIEWS) for _ in range(frames)]
    assert truth.seconds.tolist() == expected
    assert truth.joints_m[:, 5, 2].tolist() == expected
    assert truth.counted.dtype == np.bool_
    assert truth.counted[:, 0].tolist() == [view % 2 == 0 for view in expected]
