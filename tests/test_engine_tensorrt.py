"""TensorRT: real engines built without a GPU by TensorRT-RTX, and run on one made of NumPy."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bundles import pose_network
from edge_pose.bundle import open_bundle, packaged
from edge_pose.engines import Engine
from edge_pose.engines.build_progress import Phases
from edge_pose.engines.cuda import Gpu, GpuError, why_no_gpu
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.engines.tensorrt import EngineError, TensorRt, load
from edge_pose.engines.tensorrt_engine import TensorRtEngine
from edge_pose.runtime import network_for
from export.half import halved
from export.quantise import fold
from gpus import BATCHES, FakeCuda, FakeTensorRt

TARGET = "SM86"
LABELS = ("detector", "pose")


@pytest.fixture(scope="module")
def rtx() -> TensorRt:
    return load()


def test_a_gpu_that_rtx_does_not_load_engines_on_is_told_before_one_is_built(rtx: TensorRt) -> None:
    for served in ("7.5", "8.6", "12.0", "13.0", "unknown"):
        rtx.serve(served)
    for card in ("8.7", "9.0", "10.0"):
        with pytest.raises(EngineError, match=rf"capability 7\.5, .*has {card}; install"):
            rtx.serve(card)


def shipped(label: str) -> bytes:
    return open_bundle(packaged()).path_of(label).read_bytes()


def quantised(*, zero_point: int = 0, body: type[np.floating] = np.float32) -> bytes:
    """Two convolutions with Q/DQ as TensorRT takes it: symmetric, a scale for each filter."""
    draw = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {
        "scale": np.array(0.05, body),
        "zero": np.array(zero_point, np.int8),
    }
    nodes = []
    here = "image"
    for layer, (inputs, outputs) in enumerate(((3, 16), (16, 8))):
        shape = (outputs, inputs, 3, 3)
        constants |= {
            f"bytes{layer}": draw.integers(-127, 128, shape).astype(np.int8),
            f"scales{layer}": draw.uniform(0.001, 0.01, outputs).astype(body),
            f"zeros{layer}": np.zeros(outputs, np.int8),
            f"bias{layer}": draw.normal(size=outputs).astype(body),
        }
        make = helper.make_node
        nodes += [
            make("QuantizeLinear", [here, "scale", "zero"], [f"q{layer}"]),
            make("DequantizeLinear", [f"q{layer}", "scale", "zero"], [f"x{layer}"]),
            make(
                "DequantizeLinear",
                [f"bytes{layer}", f"scales{layer}", f"zeros{layer}"],
                [f"w{layer}"],
                axis=0,
            ),
            make("Conv", [f"x{layer}", f"w{layer}", f"bias{layer}"], [f"c{layer}"], pads=[1] * 4),
            make("Relu", [f"c{layer}"], [f"r{layer}"]),
        ]
        here = f"r{layer}"
    element = helper.np_dtype_to_tensor_dtype(np.dtype(body))
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("image", element, ("batch", 3, 32, 32))],
        [helper.make_tensor_value_info(here, element, ("batch", 8, 32, 32))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


# Real engines, for GPUs that are not here.


@pytest.mark.parametrize("label", LABELS)
def test_every_network_that_ships_builds_in_both_precisions(rtx: TensorRt, label: str) -> None:
    """Halves must show: an engine that is as large was built from something else."""
    single = shipped(label)
    half = halved(fold(open_bundle().path_of(label))).SerializeToString()
    large, small = (
        len(rtx.build(network, where=label, target=TARGET).engine) for network in (single, half)
    )
    assert 1_000_000 < small < 0.8 * large


def test_the_form_in_halves_that_ships_builds_and_is_smaller(rtx: TensorRt) -> None:
    bundle = open_bundle()
    single, half = (
        len(rtx.build(path.read_bytes(), where=path.name, target=TARGET).engine)
        for path in (bundle.path_of("pose"), network_for(bundle, "pose", "fp16"))
    )
    assert 1_000_000 < half < 0.95 * single, "what stays whole is an eighth of the work"


@pytest.mark.parametrize("body", [np.float32, np.float16])
def test_a_quantised_network_builds_in_both_bodies(rtx: TensorRt, body: type[np.floating]) -> None:
    assert rtx.build(quantised(body=body), where="quantised", target=TARGET).engine


def test_every_target_builds(rtx: TensorRt) -> None:
    network = quantised()
    assert {"SM75", "SM86", "SM121"} <= set(rtx.targets)
    for target in rtx.targets:
        assert rtx.build(network, where="quantised", target=target).engine


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda: b"not a network", "here.onnx is not a network that TensorRT"),
        (lambda: shipped("pose")[:100_000], "here.onnx is not a network that TensorRT"),
        (lambda: quantised(zero_point=3), "here.onnx"),
    ],
    ids=["no network", "cut off", "a zero that is not zero"],
)
def test_a_damaged_network_is_refused_in_a_sentence(
    rtx: TensorRt, network: Callable[[], bytes], said: str
) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        rtx.build(network(), where="here.onnx", target=TARGET)
    assert "it gives no reason" not in str(caught.value)
    assert rtx.build(quantised(), where="next", target=TARGET).engine


def test_a_gpu_that_cannot_be_built_for_is_refused_with_those_that_can(rtx: TensorRt) -> None:
    with pytest.raises(EngineError, match=r"cannot build for SM87 on this machine; it knows SM"):
        rtx.build(quantised(), where="here.onnx", target="SM87")


def test_progress_goes_up_and_can_end_the_build(rtx: TensorRt) -> None:
    shares: list[float] = []

    def watch(share: float, what: str) -> bool:
        assert what
        shares.append(share)
        return True

    rtx.build(quantised(), where="here.onnx", target=TARGET, progress=watch)
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] < 0.5 < shares[-1] <= 1.0
    with pytest.raises(EngineError, match=r"cannot build here\.onnx"):
        rtx.build(quantised(), where="here.onnx", target=TARGET, progress=lambda *_: False)


def test_phases_within_phases_make_one_share() -> None:
    phases = Phases()
    phases.start("build", None, 4)
    assert phases.step("build", 0) == pytest.approx(1 / 4)
    phases.start("time", "build", 2)
    phases.start("kernels", "time", 10)
    assert phases.step("kernels", 4) == pytest.approx(1 / 4 + 1 / 16)
    phases.finish("kernels")
    assert phases.step("time", 0) == pytest.approx(1 / 4 + 1 / 8)
    phases.finish("time")
    assert phases.step("unheard of", 3) == pytest.approx(1 / 4 + 1 / 8)
    assert phases.step("build", 3) == pytest.approx(1.0)


# A GPU made of NumPy.


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def gpu(cuda: FakeCuda) -> Iterator[Gpu]:
    with closing(Gpu(cuda=cuda, driver=cuda)) as opened:
        yield opened


@pytest.fixture(scope="module")
def network() -> bytes:
    return pose_network(64).SerializeToString()


def pictures(count: int) -> np.ndarray:
    draw = np.random.default_rng(7)
    values = np.full((count, 3, 64, 64), -1.0, np.float32)
    for value in values:
        x, y = draw.integers(0, 30, 2)
        value[draw.integers(3), y : y + 20, x : x + 25] = 2.0
    return values


@pytest.mark.parametrize("can_record", [True, False])
def test_any_number_of_pictures_comes_out_as_on_onnx_runtime(
    cuda: FakeCuda,
    gpu: Gpu,
    network: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    can_record: bool,
) -> None:
    path = tmp_path_factory.mktemp("network") / "pose.onnx"
    path.write_bytes(network)
    cuda.can_record = can_record
    tensorrt = FakeTensorRt(cuda)
    with (
        closing(TensorRtEngine(tensorrt, network, gpu, precision="fp16")) as engine,
        closing(OnnxEngine(path, threads=1)) as reference,
    ):
        assert isinstance(engine, Engine)
        assert engine.batches == BATCHES
        assert engine.description == "TensorRT 10.3.0, Orin (SM 8.7), fp16"
        batches: list[int] = []
        tensorrt.spoil = lambda batch, _outputs: batches.append(batch)
        for count in (1, 3, 2, 4, 11, 1):
            given = {"image": pictures(count)}
            found, expected = engine.run(given), reference.run(given)
            assert found.keys() == expected.keys()
            for name, values in expected.items():
                assert found[name].dtype == np.float32
                np.testing.assert_allclose(found[name], values, atol=1e-5)
    assert batches == [1, 4, 2, 4, 4, 4, 4, 1]
    assert cuda.launched == (8 if can_record else 0)


def test_what_comes_out_stays_what_it_was_when_the_next_goes_in(
    cuda: FakeCuda, gpu: Gpu, network: bytes
) -> None:
    with closing(TensorRtEngine(FakeTensorRt(cuda), network, gpu, precision="fp32")) as engine:
        first = engine.run({"image": pictures(1)})
        kept = {name: values.copy() for name, values in first.items()}
        engine.run({"image": pictures(2)[1:]})
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)


def test_threads_may_call_and_everything_is_given_back(cuda: FakeCuda, network: bytes) -> None:
    """The fake checks that all of it happens on the one thread that holds the context."""
    gpu = Gpu(cuda=cuda, driver=cuda)
    engine = TensorRtEngine(FakeTensorRt(cuda), network, gpu, precision="fp32")
    answers: list[dict[str, np.ndarray]] = []
    callers = [
        threading.Thread(target=lambda: answers.append(engine.run({"image": pictures(2)})))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 4
    assert cuda.memory
    engine.close()
    engine.close()
    assert not cuda.memory
    assert not cuda.graphs
    with pytest.raises(RuntimeError, match="the engine was closed"):
        engine.run({"image": pictures(1)})
    gpu.close()
    gpu.close()
    assert cuda.popped == 1
    with pytest.raises(RuntimeError, match="the GPU was closed"):
        gpu.call(lambda: 1)


def test_too_little_memory_is_a_sentence_and_gives_the_rest_back(
    cuda: FakeCuda, gpu: Gpu, network: bytes
) -> None:
    cuda.room_bytes = 300_000
    with pytest.raises(GpuError, match=r"Orin failed: .* out of memory; free its memory"):
        TensorRtEngine(FakeTensorRt(cuda), network, gpu, precision="fp32")
    assert not cuda.memory
    assert not cuda.graphs


def test_an_engine_that_does_not_load_holds_nothing(
    cuda: FakeCuda, gpu: Gpu, network: bytes
) -> None:
    tensorrt = FakeTensorRt(cuda)
    tensorrt.unloadable = 1
    with pytest.raises(EngineError, match="does not load"):
        TensorRtEngine(tensorrt, network, gpu, precision="fp32")
    assert not cuda.memory


def test_what_work_raises_reaches_whoever_asked_for_it(gpu: Gpu) -> None:
    with pytest.raises(ZeroDivisionError):
        gpu.call(lambda: 1 // 0)
    assert gpu.call(lambda: gpu.call(lambda: 7)) == 7


def test_a_gpu_that_cannot_be_opened_is_a_sentence(cuda: FakeCuda) -> None:
    cuda.init = lambda: (_ for _ in ()).throw(cuda.Error("no device"))  # type: ignore[method-assign]
    with pytest.raises(GpuError, match="GPU 0 failed: no device"):
        Gpu(cuda=cuda, driver=cuda)
    assert cuda.popped == 0


class Driver:
    """Stands for NVIDIA's driver where it is asked what there is."""

    def __init__(self, start: int, count: int) -> None:
        self._start = start
        self._count = count

    def cuInit(self, _flags: int) -> int:  # noqa: N802 - NVIDIA's name
        """Start."""
        return self._start

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802 - NVIDIA's name
        """Count."""
        count._obj.value = self._count  # type: ignore[attr-defined]  # noqa: SLF001 - byref's own
        return 0


def test_why_there_is_no_gpu_is_said() -> None:
    assert why_no_gpu(Driver(0, 1)) is None
    assert why_no_gpu(Driver(0, 0)) == "the NVIDIA driver sees no GPU"
    assert why_no_gpu(Driver(100, 0)) == "the NVIDIA driver does not start (CUDA error 100)"
