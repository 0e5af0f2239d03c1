"""On the CPU: single precision, or INT8 for whoever asks, as long as it answers right."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bundles import make_bundle
from edge_pose.bundle import MANIFEST, Bundle, open_bundle, sha256_of
from edge_pose.errors import ConfigError
from edge_pose.on_cpu import open_on_cpu
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


def test_single_precision_carries_it_unasked(tmp_path: Path, stack: ExitStack) -> None:
    bundle = with_form(tmp_path, moved_m=0.001)
    carried = open_engines(bundle, stack, folder=tmp_path, threads=1, machine=NO_GPU)
    assert (carried.precision, carried.degraded) == ("fp32", None)
    assert carried.engines.pose.description.endswith("CPU, 1 thread, fp32")


@pytest.mark.parametrize(("precision", "off_mm"), [("int8", 1.0), ("fp32", 0.0)])
def test_a_precision_that_is_named_is_the_one(
    tmp_path: Path, stack: ExitStack, precision: str, off_mm: float
) -> None:
    on_cpu = open_on_cpu(with_form(tmp_path, moved_m=0.001), stack, precision=precision)
    assert on_cpu.precision == precision
    assert on_cpu.engines.pose.description.endswith(precision)
    assert on_cpu.refused is None
    assert on_cpu.deviation.mm == pytest.approx(off_mm, abs=0.01)


def test_int8_that_answers_otherwise_here_gives_way_and_that_is_told(
    tmp_path: Path, stack: ExitStack
) -> None:
    bundle = with_form(tmp_path / "bundle", moved_m=0.05)
    carried = open_engines(
        bundle, stack, folder=tmp_path, precision="int8", threads=1, machine=NO_GPU
    )
    assert carried.precision == "fp32"
    assert carried.engines.pose.description.endswith("CPU, 1 thread, fp32")
    assert carried.deviation.mm == pytest.approx(0.0, abs=0.01)
    assert str(carried.degraded).startswith("int8: the golden pictures of ")
    assert "50.0 mm" in str(carried.degraded)


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
