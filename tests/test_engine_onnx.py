"""ONNX Runtime behind our protocol."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bundles import MEAN, STD, pose_network
from edge_pose.engines import Engine, ParallelEngine, begin
from edge_pose.engines.onnx import OnnxEngine, default_threads
from edge_pose.errors import BundleError
from edge_pose.inference import infer, normalise
from edge_pose.manifest import InputSpec, NetworkSpec


@pytest.fixture(scope="module")
def network_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "pose.onnx"
    onnx.save(pose_network(), path)
    return path


def spec(*, batch: int | str = "batch") -> NetworkSpec:
    return NetworkSpec(
        file="pose.onnx",
        input=InputSpec(
            name="image",
            shape=(batch, 3, 256, 256),
            dtype="float32",
            colour="RGB",
            mean=MEAN,
            std=STD,
        ),
        outputs={},
    )


def bars() -> list[np.ndarray]:
    pictures = [np.full((256, 256, 3), 20, np.uint8) for _ in range(3)]
    for index, picture in enumerate(pictures):
        picture[40:200, 60 + 20 * index : 120 + 20 * index, index] = 255
    return pictures


def test_it_is_an_engine_and_says_which(network_path: Path) -> None:
    with closing(OnnxEngine(network_path, threads=1)) as engine:
        assert isinstance(engine, Engine)
        assert "ONNX Runtime" in engine.description
        assert "CPU, 1 thread, fp32" in engine.description
        assert engine.inputs == {"image": ("batch", 3, 256, 256)}
        assert engine.outputs["joints_m"] == ("batch", 25, 3)


def test_several_people_at_once_are_each_person_alone(network_path: Path) -> None:
    with closing(OnnxEngine(network_path, threads=1)) as engine:
        together = infer(engine, spec(), bars())
        one_by_one = infer(engine, spec(batch=1), bars())
    for name, values in together.items():
        np.testing.assert_allclose(values, one_by_one[name], atol=1e-6)
    assert together["joints_px"].shape == (3, 25, 2)
    # The left ear-to-wrist extent moves with the bar: 20 pixels each.
    np.testing.assert_allclose(np.diff(together["joints_px"][:, 0, 0]), [20.0, 20.0], atol=1e-3)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pictures_begun_together_come_out_in_their_order(network_path: Path, threads: int) -> None:
    pictures = [np.roll(bars()[0], 8 * step, axis=1) for step in range(9)]
    with (
        closing(OnnxEngine(network_path, threads=1)) as alone,
        closing(OnnxEngine(network_path, threads=threads)) as engine,
    ):
        assert isinstance(engine, ParallelEngine)
        one_by_one = [infer(alone, spec(), [picture]) for picture in pictures]
        together = infer(engine, spec(), pictures)
        for name, values in together.items():
            expected = np.concatenate([answer[name] for answer in one_by_one])
            np.testing.assert_allclose(values, expected, atol=1e-5)


def test_what_was_begun_runs_while_the_caller_does_something_else(network_path: Path) -> None:
    inputs = {"image": normalise(bars()[:1], spec().input)}
    with closing(OnnxEngine(network_path, threads=2)) as engine:
        expected = engine.run(inputs)
        started = threading.Event()
        run = engine._run  # noqa: SLF001 - where the helper is when it works

        def watched(*arguments: Any) -> dict[str, np.ndarray]:
            started.set()
            return run(*arguments)

        engine._run = watched  # type: ignore[method-assign, assignment]  # noqa: SLF001
        answer = begin(engine, inputs)
        assert started.wait(10.0), "nobody works until the answer is asked for"
        np.testing.assert_allclose(answer()["joints_px"], expected["joints_px"], atol=1e-5)


def test_an_engine_that_cannot_work_beside_its_caller_has_answered_when_it_begins() -> None:
    asked = []

    class Plain:
        description, at_once = "plain", 1

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            asked.append(inputs)
            return dict(inputs)

        def close(self) -> None:
            """Hold nothing."""

    answer = begin(Plain(), {"image": np.zeros(1)})
    assert len(asked) == 1
    assert answer().keys() == {"image"}
    assert len(asked) == 1


def test_pixels_become_rgb_over_255_less_mean_over_std() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 1] = (10, 20, 30)
    batch = normalise([picture], spec().input)
    expected = [
        (value / 255 - mean) / std for value, mean, std in zip((30, 20, 10), MEAN, STD, strict=True)
    ]
    np.testing.assert_allclose(batch[0, :, 0, 1], expected, rtol=1e-5)
    assert batch.shape == (1, 3, 2, 2)


def test_a_file_that_is_no_network_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "pose.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"pose\.onnx is not a network that ONNX Runtime"):
        OnnxEngine(path)
    with pytest.raises(BundleError, match="is not a network"):
        OnnxEngine(tmp_path / "nowhere.onnx")


def test_a_closed_engine_does_not_run(network_path: Path) -> None:
    engine = OnnxEngine(network_path, threads=1)
    engine.close()
    with pytest.raises(RuntimeError, match="was closed"):
        engine.run({})
    with pytest.raises(RuntimeError, match="was closed"):
        engine.begin({})


def test_threads_are_those_at_hand_up_to_four() -> None:
    assert 1 <= default_threads() <= 4


def test_the_runtime_keeps_no_identifier_of_this_device(tmp_path: Path) -> None:
    """ONNX Runtime 1.31, merely imported, wrote one into the home folder for its telemetry."""
    environ = {name: text for name, text in os.environ.items() if "TELEMETRY" not in name}
    subprocess.run(
        [sys.executable, "-c", "import edge_pose.engines.onnx"],
        env={**environ, "HOME": str(tmp_path)},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
