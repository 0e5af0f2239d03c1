"""On the CPU: INT8 where it answers right and is faster, and single precision where not."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bundles import make_bundle
from edge_pose.bundle import MANIFEST, Bundle, open_bundle, sha256_of
from edge_pose.engines import Engine
from edge_pose.errors import BundleError, ConfigError
from edge_pose.on_cpu import fastest, open_on_cpu
from edge_pose.runtime import Machine, open_engines

FORM = "pose.int8-cpu.onnx"


def nobody() -> NoReturn:
    """Be the GPU and the TensorRT that nobody should ask for."""
    raise AssertionError("asked for what is not there")


NO_GPU = Machine(why_not=lambda: "none is here", gpu=nobody, tensorrt=nobody)


def with_form(folder: Path, *, moved_m: float = 0.0, tolerance: bool = True) -> Bundle:
    """Make a bundle with a CPU form of its pose network, whose joints stand elsewhere."""
    folder = make_bundle(folder)
    network = onnx.load(folder / "pose.onnx")
    for array in network.graph.initializer:
        if array.name == "body_m":
            values = (numpy_helper.to_array(array) + np.float32(moved_m)).astype(np.float32)
            array.CopyFrom(numpy_helper.from_array(values, array.name))
    onnx.save(network, folder / FORM)
    table = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if tolerance:
        table["tolerance_px"]["int8"], table["tolerance_mm"]["int8"] = 2.0, 20.0
    table["sha256"][FORM] = sha256_of(folder / FORM)
    (folder / MANIFEST).write_text(json.dumps(table), encoding="utf-8")
    return open_bundle(folder)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_one_of_both_carries_it_and_says_its_precision(tmp_path: Path, stack: ExitStack) -> None:
    on_cpu = open_on_cpu(with_form(tmp_path, moved_m=0.001), stack, threads=1)
    assert on_cpu.precision in ("int8", "fp32")
    assert on_cpu.engines.pose.description.endswith(f"CPU, 1 thread, {on_cpu.precision}")
    assert on_cpu.refused == ()


@pytest.mark.parametrize(("precision", "off_mm"), [("int8", 1.0), ("fp32", 0.0)])
def test_a_precision_that_is_named_is_the_one(
    tmp_path: Path, stack: ExitStack, precision: str, off_mm: float
) -> None:
    on_cpu = open_on_cpu(with_form(tmp_path, moved_m=0.001), stack, precision=precision)
    assert on_cpu.precision == precision
    assert on_cpu.deviation.mm == pytest.approx(off_mm, abs=0.01)


def test_int8_that_answers_otherwise_here_gives_way_and_that_is_told(
    tmp_path: Path, stack: ExitStack
) -> None:
    bundle = with_form(tmp_path / "bundle", moved_m=0.05)
    on_cpu = open_on_cpu(bundle, stack)
    assert on_cpu.precision == "fp32"
    (reason,) = on_cpu.refused
    assert reason.startswith("int8: the golden pictures of ")
    with pytest.raises(BundleError, match=r"50\.0 mm"):
        open_on_cpu(bundle, stack, precision="int8")
    carried = open_engines(bundle, stack, folder=tmp_path, machine=NO_GPU)
    assert (carried.precision, carried.degraded) == ("fp32", reason)


def test_what_a_bundle_does_not_offer_is_refused_with_what_it_does(
    tmp_path: Path, stack: ExitStack
) -> None:
    for name, bundle in (
        ("plain", open_bundle(make_bundle(tmp_path / "plain"))),
        ("intolerant", with_form(tmp_path / "intolerant", tolerance=False)),
    ):
        assert open_on_cpu(bundle, stack).precision == "fp32", name
        with pytest.raises(ConfigError, match=r"precision is int8, but .* offers fp32 for"):
            open_on_cpu(bundle, stack, precision="int8")


class Slow:
    """An engine that takes its time."""

    description = "slow"
    at_once = 1

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Give back what came in."""
        time.sleep(self._takes_s)
        return dict(inputs)

    def close(self) -> None:
        """Hold nothing."""


@pytest.mark.parametrize("quicker", ["int8", "fp32"])
def test_the_one_that_takes_less_time_here_is_taken(tmp_path: Path, quicker: str) -> None:
    bundle = open_bundle(make_bundle(tmp_path))
    engines: dict[str, Engine] = {
        name: Slow(0.001 if name == quicker else 0.01) for name in ("int8", "fp32")
    }
    assert fastest(bundle, engines) == quicker
