"""Which runtime carries a bundle, and what `edge-pose build` says and leaves behind."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundles import make_bundle
from edge_pose.bundle import MANIFEST, Bundle, open_bundle, packaged, sha256_of
from edge_pose.commands import build
from edge_pose.config.read import load as load_settings
from edge_pose.engines.build_progress import Progress
from edge_pose.engines.cuda import Gpu, GpuError
from edge_pose.engines.engine_cache import EngineCache
from edge_pose.engines.tensorrt import Built, EngineError
from edge_pose.engines.workbench import Watch
from edge_pose.errors import EXIT_OK, EXIT_OPERATOR
from edge_pose.runtime import (
    THIS_MACHINE,
    Carried,
    Choice,
    Machine,
    network_for,
    offered,
    open_engines,
    why_no_tensorrt,
)
from gpus import FakeCuda, FakeTensorRt

ALL = ["detector.onnx", "pose.onnx"]
COMMAND = """
import sys
from argparse import Namespace
from pathlib import Path
from edge_pose.commands import build
from edge_pose.config.read import load
settings = load({}, environ={}, path=None)
sys.exit(build.main(settings, Namespace(target="SM86", engines=Path(sys.argv[1]))))
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(packed: Path) -> Bundle:
    return open_bundle(packed)


@dataclass
class Bench:
    """A fake machine, a folder for engines, and what was opened on them."""

    folder: Path
    stack: ExitStack
    cuda: FakeCuda = field(default_factory=FakeCuda)
    reason: str | None = None

    def __post_init__(self) -> None:
        self.tensorrt = FakeTensorRt(self.cuda)

    def open(self, bundle: Bundle, choice: Choice = "auto") -> Carried:
        """Open the engines of a bundle; they are closed with the test."""
        machine = Machine(
            why_not=lambda: self.reason,
            gpu=lambda: Gpu(cuda=self.cuda, driver=self.cuda, compiler=self.cuda.compile),
            tensorrt=lambda: self.tensorrt,
        )
        return open_engines(
            bundle, self.stack, folder=self.folder, choice=choice, threads=1, machine=machine
        )

    def again(self) -> "Bench":
        """Close everything and give the same machine after a restart."""
        self.stack.close()
        assert not self.cuda.memory
        assert not self.cuda.graphs
        assert self.cuda.owner is None
        return Bench(self.folder, self.stack)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path / "engines", stack)


def with_form(bundle: Bundle, folder: Path, precision: str, network: bytes) -> Bundle:
    """Add a form of the pose network to a copy of a bundle, with the tolerance of the first."""
    folder.mkdir()
    for path in bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / f"pose.{precision}.onnx").write_bytes(network)
    table = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    table["tolerance_px"][precision] = table["tolerance_mm"][precision] = 2.0
    table["sha256"][f"pose.{precision}.onnx"] = sha256_of(folder / f"pose.{precision}.onnx")
    (folder / MANIFEST).write_text(json.dumps(table), encoding="utf-8")
    return open_bundle(folder)


def same_but_for_a_word(bundle: Bundle) -> bytes:
    """Return a pose network that answers the same and is another file."""
    network = onnx.load(bundle.path_of("pose"))
    network.doc_string = "another"
    return network.SerializeToString()


def shift(batch: int, by_m: float) -> Callable[[int, dict[str, np.ndarray]], None]:
    """Spoil the joints of batches of one size."""

    def spoil(found: int, outputs: dict[str, np.ndarray]) -> None:
        if found == batch and "joints_m" in outputs:
            outputs["joints_m"] += np.float32(by_m)

    return spoil


def test_engines_are_built_once_judged_and_closed(bench: Bench, bundle: Bundle) -> None:
    carried = bench.open(bundle)
    assert carried.precision == "fp32"
    assert carried.degraded is None
    assert carried.deviation.mm < 0.01
    assert carried.engines.pose.description == "TensorRT 10.3.0, Orin (SM 8.7), fp32"
    assert bench.tensorrt.built == ALL
    assert bench.tensorrt.timings == [b"", b"t"]
    later = bench.again()
    assert later.open(bundle).degraded is None
    assert later.tensorrt.built == []
    later.again()


@pytest.mark.parametrize("change", ["version", "name", "capability", "network"])
def test_what_an_engine_depends_on_changes_and_it_is_built_again(
    bench: Bench, bundle: Bundle, tmp_path: Path, change: str
) -> None:
    bench.open(bundle)
    later = bench.again()
    if change == "version":
        later.tensorrt.version = "10.13.0"
    elif change == "name":
        later.cuda.name = lambda: "Thor"  # type: ignore[method-assign]
    elif change == "capability":
        later.cuda.compute_capability = lambda: (8, 6)  # type: ignore[method-assign]
    else:
        later.open(with_form(bundle, tmp_path / "other", "fp16", same_but_for_a_word(bundle)))
        assert later.tensorrt.built == [*ALL[:1], "pose.fp16.onnx"]
        return
    later.open(bundle)
    assert later.tensorrt.built == ALL


def test_a_damaged_engine_is_built_again(bench: Bench, bundle: Bundle) -> None:
    bench.open(bundle)
    later = bench.again()
    (path,) = bench.folder.glob("pose-*.engine")
    path.write_bytes(path.read_bytes()[:-1])
    assert later.open(bundle).degraded is None
    assert later.tensorrt.built == ["pose.onnx"]


def test_an_engine_that_does_not_load_is_built_again_once(bench: Bench, bundle: Bundle) -> None:
    bench.open(bundle)
    later = bench.again()
    later.tensorrt.unloadable = 1
    assert later.open(bundle).degraded is None
    assert later.tensorrt.built == ["detector.onnx"]
    last = later.again()
    last.tensorrt.unloadable = 100
    carried = last.open(bundle)
    assert "ONNX Runtime" in carried.engines.pose.description
    assert "does not load" in str(carried.degraded)
    assert last.tensorrt.built == ["detector.onnx"]


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_an_engine_that_answers_otherwise_at_any_batch_is_not_used(
    bench: Bench, bundle: Bundle, batch: int
) -> None:
    bench.tensorrt.spoil = shift(batch, 0.01)
    carried = bench.open(bundle)
    assert "ONNX Runtime" in carried.engines.pose.description
    assert "fp32: the golden pictures" in str(carried.degraded)
    assert not bench.cuda.memory
    assert bench.cuda.popped == 1


def test_the_fastest_precision_that_answers_right_is_used(
    bench: Bench, bundle: Bundle, tmp_path: Path
) -> None:
    good = with_form(bundle, tmp_path / "good", "fp16", same_but_for_a_word(bundle))
    assert offered(good) == ("fp16", "fp32")
    assert network_for(good, "pose", "fp16").name == "pose.fp16.onnx"
    assert network_for(good, "detector", "fp16").name == "detector.onnx"
    assert network_for(good, "pose", "fp32").name == "pose.onnx"
    carried = bench.open(good)
    assert carried.precision == "fp16"
    assert carried.degraded is None
    assert carried.engines.pose.description.endswith("fp16")


def test_a_precision_that_answers_wrong_gives_way_to_the_next_and_that_is_told(
    bench: Bench, bundle: Bundle, tmp_path: Path
) -> None:
    """The form is the detector's network: it builds, and it is no pose network."""
    wrong = with_form(bundle, tmp_path / "wrong", "fp16", bundle.path_of("detector").read_bytes())
    carried = bench.open(wrong)
    assert carried.precision == "fp32"
    assert carried.engines.pose.description == "TensorRT 10.3.0, Orin (SM 8.7), fp32"
    assert str(carried.degraded).startswith("fp16: ")


def test_a_bundle_offers_only_what_it_has_both_a_form_and_a_tolerance_for(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert offered(bundle) == ("fp32",)
    forms = with_form(bundle, tmp_path / "forms", "int8", b"form")
    assert offered(forms) == ("int8", "fp32")
    assert network_for(forms, "pose", "int8").name == "pose.int8.onnx"
    assert network_for(forms, "pose", "fp16").name == "pose.onnx"
    del forms.manifest.tolerance_mm["int8"]
    assert offered(forms) == ("fp32",)


def test_without_a_gpu_onnx_runtime_carries_it_and_nothing_is_amiss(
    bench: Bench, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    bench.reason = "no NVIDIA driver is installed"
    with caplog.at_level("INFO", "edge_pose"):
        carried = bench.open(bundle)
    assert "ONNX Runtime" in carried.engines.pose.description
    assert carried.degraded is None
    assert caplog.messages == ["The networks run on ONNX Runtime: no NVIDIA driver is installed"]
    assert not bench.folder.exists()
    with pytest.raises(EngineError, match="TensorRT cannot be used: no NVIDIA driver is installed"):
        bench.open(bundle, "tensorrt")


def test_told_to_use_onnx_runtime_nobody_looks_for_a_gpu(bench: Bench, bundle: Bundle) -> None:
    carried = bench.open(bundle, "onnx")
    assert carried.degraded is None
    assert bench.tensorrt.built == []


@pytest.mark.parametrize(
    "error",
    [
        GpuError("pycuda cannot be loaded"),
        EngineError("TensorRT is installed but cannot be loaded"),
        AttributeError("IBuilderConfig has no clear_flag"),
    ],
)
def test_a_gpu_or_a_tensorrt_that_fails_is_told_and_onnx_runtime_carries_it(
    bench: Bench, bundle: Bundle, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> Built:
        raise error

    bench.tensorrt.build = fail  # type: ignore[method-assign]
    carried = bench.open(bundle)
    assert "ONNX Runtime" in carried.engines.pose.description
    assert str(error) in str(carried.degraded)
    with pytest.raises(EngineError, match=r"no precision of .* can be used on TensorRT: fp32: "):
        bench.open(bundle, "tensorrt")


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(
    bench: Bench, bundle: Bundle
) -> None:
    bench.folder.write_text("", encoding="utf-8")
    carried = bench.open(bundle)
    assert "ONNX Runtime" in carried.engines.pose.description
    assert "cannot hold engines" in str(carried.degraded)


def test_whoever_interrupts_a_build_ends_it(bench: Bench, bundle: Bundle) -> None:
    waiting: list[Progress] = []

    def interrupted(_network: bytes, *, progress: Progress, **_: object) -> Built:
        waiting.append(progress)
        assert progress(0.5, "Timing")
        raise KeyboardInterrupt

    bench.tensorrt.build = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        bench.open(bundle)
    assert [progress(0.6, "Timing") for progress in waiting] == [False]
    assert bench.cuda.owner is None
    assert list(bench.folder.glob("*.engine")) == []


# The command.


def run(*, folder: Path, target: str | None = None) -> int:
    settings = load_settings({}, environ={}, path=None)
    return build.main(settings, Namespace(target=target, engines=folder))


def test_the_command_builds_what_ships_for_another_gpu_and_keeps_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder=tmp_path, target="SM86") == EXIT_OK
    first = capfd.readouterr().out.splitlines()
    assert [line.split()[:3] for line in first] == [
        ["ok", precision, label] for precision in ("fp16", "fp32") for label in ("detector", "pose")
    ]
    assert all(", built in " in line for line in first)
    assert run(folder=tmp_path, target="SM86") == EXIT_OK
    assert capfd.readouterr().out.count(", built before") == 4


def test_the_command_names_a_gpu_that_cannot_be_built_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder=tmp_path, target="SM87") == EXIT_OPERATOR
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["FAIL", precision] for precision in ("fp16", "fp16", "fp32", "fp32")
    ]
    assert all("TensorRT-RTX" in line for line in lines)
    assert list(tmp_path.glob("*.engine")) == []


@pytest.mark.skipif(why_no_tensorrt() is None, reason="a GPU is here")
def test_without_a_gpu_the_command_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT cannot be used: .*; .* run on ONNX Runtime"):
        run(folder=tmp_path)
    assert EngineError.exit_code == EXIT_OPERATOR


def test_a_terminal_sees_how_far_it_is_and_a_file_only_what_is_done(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "terminal").open("w") as terminal:
        lines = build.Lines(out, terminal)
        lines.builds("pose", "fp16", "none was built")
        for share in (0.101, 0.102, 0.5):
            lines.progress("pose", share, "Timing")
        lines.refused("fp16", "because")
        lines.crops(None)
        lines.crops("no compiler")
    shown = (tmp_path / "terminal").read_text(encoding="utf-8")
    assert shown.count("10%  Timing") == 1
    assert "50%  Timing" in shown
    said = (tmp_path / "out").read_text(encoding="utf-8")
    assert said.splitlines() == [
        "FAIL  fp16      because",
        "ok    crops     cut on the GPU",
        "note  crops     no compiler",
    ]


def test_the_log_is_told_where_nobody_watches(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    with caplog.at_level("INFO", "edge_pose"):
        watch.builds("pose", "fp16", "none was built")
        watch.progress("pose", 0.5, "Timing")
        watch.refused("fp16", "because")
        watch.crops(None)
        watch.crops("no compiler")
    assert caplog.messages == [
        "Building pose at fp16, which takes minutes on a small GPU: none was built",
        "TensorRT at fp16 is not used: because",
        "The GPU cuts the crops",
        "The CPU cuts the crops: no compiler",
    ]


ENGINES = 4
"""Of what ships: two networks, in halves and in single precision."""


def is_whole(path: Path) -> bool:
    """Read a file as the page on the format says, not as the program does."""
    _, header, engine = path.read_bytes().split(b"\n", 2)
    return bool(json.loads(header)["sha256"] == hashlib.sha256(engine).hexdigest())


@pytest.mark.slow
@pytest.mark.timeout(600)  # a dozen real builds, as long as the machine takes for each
def test_a_build_that_is_killed_at_any_moment_leaves_nothing_that_is_believed(
    tmp_path: Path,
) -> None:
    """Real builds of what ships, killed between start and end; the last one is left to finish."""
    begin_s = time.monotonic()
    subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path / "whole")], check=True)
    whole_s = time.monotonic() - begin_s
    assert len(list((tmp_path / "whole").glob("*.engine"))) == ENGINES
    folder = tmp_path / "killed"
    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    found: set[str] = set()
    seen: list[int] = []
    for number in range(10):
        with subprocess.Popen([sys.executable, "-c", COMMAND, str(folder)]) as builder:
            time.sleep(chance.uniform(0.2, 1.0) * whole_s)
            builder.send_signal(signal.SIGKILL)
        kept = {path.name for path in folder.glob("*.engine")}
        assert found <= kept, "a kill took an engine that was there"
        assert all(is_whole(folder / name) for name in kept)
        found = kept
        seen.append(len(kept))
        if number % 4 == 3:  # begin anew, so that early kills are seen too
            for name in kept:
                (folder / name).unlink()
            found = set()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("ok ") == ENGINES
    assert list(folder.glob("*.part")) == []
    assert min(seen) < ENGINES, "every build was done before it was killed; this test shows nothing"


# A GPU that is here.


@pytest.mark.gpu
@pytest.mark.skipif(why_no_tensorrt() is not None, reason=str(why_no_tensorrt()))
def test_what_ships_runs_on_the_gpu_that_is_here(tmp_path: Path) -> None:
    bundle = open_bundle(packaged())
    with ExitStack() as stack:
        carried = open_engines(bundle, stack, folder=tmp_path, choice="tensorrt")
        assert carried.degraded is None
        assert "TensorRT" in carried.engines.pose.description
        assert carried.deviation.mm < bundle.manifest.tolerance_mm[carried.precision]
    with closing(THIS_MACHINE.gpu()) as gpu:
        assert gpu.name
    assert EngineCache(tmp_path).folder.is_dir()
