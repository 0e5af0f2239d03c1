"""What the shipped model makes of the two clips that everybody sees first: whoever is there."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.reported import frames_of
from edge_pose import camera
from edge_pose.bundle import open_bundle
from edge_pose.people import PoseEstimator
from edge_pose.runtime import open_engines

DEMO = Path(__file__).resolve().parents[1] / "demo"
WOMAN_IN_SIGHT = range(36, 207)
"""Frames of the park in which she is between the tree and the left rim, told by eye; the man
stands, jumps and runs in all of them but the last two.
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[int]]]:
    """Numbers of whom each frame of each clip reports."""
    bundle = open_bundle()
    shown: dict[str, list[list[int]]] = {}
    with ExitStack() as stack:
        engines = open_engines(
            bundle, stack, folder=tmp_path_factory.mktemp("engines"), choice="onnx"
        ).engines
        for name in ("park", "worker"):
            estimator = PoseEstimator(bundle, engines=engines, intrinsics_for=camera.assume)
            shown[name] = [
                [person.track for person in estimator.process(frame) if not person.stale]
                for frame in frames_of(DEMO / f"{name}.mp4")
            ]
    return shown


def test_the_worker_is_one_person_from_the_first_frame_to_the_last(
    reported: dict[str, list[list[int]]],
) -> None:
    assert reported["worker"] == [[1]] * 71


def test_nobody_is_invented_in_the_park(reported: dict[str, list[list[int]]]) -> None:
    """The sun between the trees has been taken for a head, and a trunk for its body."""
    there = [1 + (number in WOMAN_IN_SIGHT) for number in range(230)]
    seen = [len(people) for people in reported["park"]]
    assert sum(more > most for more, most in zip(seen, there, strict=True)) == 0


def test_two_people_are_followed_through_the_park(reported: dict[str, list[list[int]]]) -> None:
    frames = Counter(number for people in reported["park"] for number in people)
    (_, man), (_, woman) = frames.most_common(2)
    assert man >= 170
    assert woman >= 150
    assert sum(frames.values()) >= 360
