"""A GPU made of NumPy and a TensorRT made of ONNX Runtime, behind the interfaces of the real ones.

Everything that must happen on the owner thread with its context current is checked to happen there;
memory, recorded work and contexts are counted, so that a test can ask whether all was given back.
"""

import ctypes
import itertools
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnxruntime

import kernels
from edge_pose.engines.build_progress import Progress
from edge_pose.engines.nvrtc import KernelError
from edge_pose.engines.tensorrt import Built, EngineError, Tensor, TensorRt

BATCHES: Final = (1, 2, 4)


@dataclass
class FakeCuda:
    """Stands for `pycuda.driver` and for NVIDIA's driver at once."""

    can_record: bool = True
    can_compile: bool = True
    room_bytes: int = 1 << 40
    owner: threading.Thread | None = None
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    recording: list[Callable[[], None]] | None = None
    graphs: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    launched: int = 0
    cuts: list[tuple[int, int, int]] = field(default_factory=list)
    """Blocks of each launch of a kernel."""
    uploaded_bytes: list[int] = field(default_factory=list)
    popped: int = 0
    numbers: Any = field(default_factory=lambda: itertools.count(1 << 40))

    class Error(Exception):
        """Base of what pycuda raises."""

    def check(self) -> None:
        """Fail when the context is not current here."""
        assert threading.current_thread() is self.owner

    def do(self, work: Callable[[], None]) -> None:
        """Run or record what was enqueued."""
        self.check()
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    # pycuda.driver

    def init(self) -> None:
        """Start."""

    def Device(self, _index: int) -> "FakeCuda":  # noqa: N802 - pycuda's name
        """Be the only device."""
        return self

    def name(self) -> str:
        """Name it."""
        return "Orin"

    def compute_capability(self) -> tuple[int, int]:
        """Say which it is."""
        return 8, 7

    def retain_primary_context(self) -> "FakeCuda":
        """Be the context."""
        return self

    def push(self) -> None:
        """Make it current here."""
        assert self.owner is None
        self.owner = threading.current_thread()

    def pop(self) -> None:
        """Make it current nowhere."""
        self.check()
        self.owner = None
        self.popped += 1

    def Stream(self) -> "FakeCuda":  # noqa: N802 - pycuda's name
        """Be the stream."""
        self.check()
        return self

    handle = 77

    def synchronize(self) -> None:
        """Everything was run when it was enqueued."""
        self.check()
        assert self.recording is None

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Give what lay there before."""
        self.check()
        return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else 165, dtype)

    def mem_alloc(self, size: int) -> "FakeMemory":
        """Take memory while there is room."""
        self.check()
        self.room_bytes -= size
        if self.room_bytes < 0:
            raise self.Error("cuMemAlloc failed: out of memory")
        address = next(self.numbers)
        self.memory[address] = np.zeros(size, np.uint8)
        return FakeMemory(self, address)

    def memcpy_htod_async(self, to: "FakeMemory", source: np.ndarray, _stream: object) -> None:
        """Copy in."""
        assert source.flags.c_contiguous
        self.uploaded_bytes.append(source.nbytes)
        self.do(lambda: np.copyto(self.memory[to.address], source.view(np.uint8).ravel()))

    def memcpy_dtoh_async(self, to: np.ndarray, source: "FakeMemory", _stream: object) -> None:
        """Copy out."""
        self.do(lambda: np.copyto(to.view(np.uint8).ravel(), self.memory[source.address]))

    def module_from_buffer(self, code: bytes) -> "FakeModule":
        """Load what `compile` gave."""
        self.check()
        return FakeModule(self, code.decode())

    # NVRTC

    def compile(self, source: str, compute_capability: str) -> bytes:
        """Take the source for the code: a C++ compiler makes it run."""
        self.check()
        assert compute_capability == "{}.{}".format(*self.compute_capability())
        if not self.can_compile:
            raise KernelError("NVRTC is not here")
        return source.encode()

    # libcuda.so.1

    def put(self, handle: Any) -> int:
        """Write a new handle where a pointer points."""
        number = next(self.numbers)
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = number
        return number

    def cuStreamBeginCapture_v2(self, stream: Any, _mode: int) -> int:  # noqa: N802
        """Begin to record."""
        assert stream.value == self.handle
        if self.can_record:
            self.recording = []
        return 0 if self.can_record else 801

    def cuStreamEndCapture(self, _stream: Any, graph: Any) -> int:  # noqa: N802
        """End recording."""
        assert self.recording is not None
        self.graphs[self.put(graph)], self.recording = self.recording, None
        return 0

    def cuGraphInstantiateWithFlags(self, to: Any, graph: Any, _flags: Any) -> int:  # noqa: N802
        """Make it something to launch."""
        self.graphs[self.put(to)] = self.graphs[graph.value]
        return 0

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: N802
        """Forget a recording."""
        del self.graphs[graph.value]
        return 0

    cuGraphExecDestroy = cuGraphDestroy  # noqa: N815

    def cuGraphLaunch(self, graph: Any, _stream: Any) -> int:  # noqa: N802
        """Run a recording."""
        self.launched += 1
        for work in self.graphs[graph.value]:
            self.do(work)
        return 0


@dataclass
class FakeMemory:
    """Stands for `pycuda.driver.DeviceAllocation`."""

    cuda: FakeCuda
    address: int

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        """Give it back; twice is an error."""
        self.cuda.check()
        del self.cuda.memory[self.address]


@dataclass
class FakeModule:
    """Stands for `pycuda.driver.Module` and for the one function in it."""

    cuda: FakeCuda
    source: str
    parameters: str = ""

    def get_function(self, name: str) -> "FakeModule":
        """Be the function."""
        assert f"__global__ void {name}(" in self.source
        return self

    def prepare(self, parameters: str) -> None:
        """Hear of which types the parameters are."""
        self.parameters = parameters

    def prepared_async_call(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        stream: object,
        *arguments: float,
    ) -> None:
        """Enqueue the kernel, on the fake memory that its pointers name."""
        assert stream is self.cuda
        struct.pack(self.parameters, *arguments)
        self.cuda.cuts.append(grid)
        self.cuda.do(lambda: kernels.launch(self.source, grid, block, *map(self._real, arguments)))

    def _real(self, argument: float) -> float | np.ndarray:
        return self.cuda.memory.get(argument, argument) if isinstance(argument, int) else argument


class FakeTensorRt(TensorRt):
    """Its engines are the networks themselves, run by ONNX Runtime on memory of the fake GPU."""

    def __init__(self, cuda: FakeCuda, *, version: str = "10.3.0") -> None:
        self.name = "TensorRT"
        self.version = version
        self.cuda = cuda
        self.built: list[str] = []
        self.timings: list[bytes] = []
        self.unloadable = 0
        """So many engines will not load."""
        self.spoil: Callable[[int, dict[str, np.ndarray]], None] = lambda _batch, _outputs: None
        """Changes what comes out of a batch."""

    def build(
        self,
        network: bytes,
        *,
        where: str,
        target: str | None = None,
        timing: bytes = b"",
        progress: Progress = lambda _share, _what: True,
    ) -> Built:
        """Take the network for the engine."""
        self.cuda.check()
        assert target is None
        if not progress(0.5, "Pretending"):
            raise EngineError(f"{where} was interrupted")
        self.built.append(where.rpartition("/")[2])
        self.timings.append(timing)
        return Built(engine=network, timing=timing + b"t")

    def deserialize(self, engine: bytes) -> tuple[Any, Any]:
        """Load, or say that it will not."""
        self.cuda.check()
        if self.unloadable:
            self.unloadable -= 1
            raise EngineError("TensorRT does not load it")
        return object(), FakeEngine(self, onnxruntime.InferenceSession(engine))

    def tensors(self, engine: Any) -> dict[str, Tensor]:
        """Name what goes in and out."""
        float32 = np.dtype(np.float32)
        inputs = {node.name: Tensor(is_input=True, dtype=float32) for node in engine.inputs}
        return inputs | {
            node.name: Tensor(is_input=False, dtype=float32) for node in engine.outputs
        }

    def context(self, engine: Any) -> Any:
        """Make a context."""
        self.cuda.check()
        return FakeContext(engine)


class FakeEngine:
    """Stands for `ICudaEngine`."""

    def __init__(self, tensorrt: FakeTensorRt, session: onnxruntime.InferenceSession) -> None:
        self.tensorrt = tensorrt
        self.session = session
        self.inputs, self.outputs = session.get_inputs(), session.get_outputs()
        self.taken: set[int] = set()
        self.any_number = not isinstance(self.inputs[0].shape[0], int)
        self.num_optimization_profiles = len(BATCHES) if self.any_number else 1

    def get_tensor_shape(self, _name: str) -> tuple[int, ...]:
        """-1 where any number may go in."""
        return tuple(size if isinstance(size, int) else -1 for size in self.inputs[0].shape)

    def get_tensor_profile_shape(self, _name: str, index: int) -> list[tuple[int, ...]]:
        """Least, best and most are one."""
        assert self.any_number
        return [(BATCHES[index], *self.inputs[0].shape[1:])] * 3


class FakeContext:
    """Stands for `IExecutionContext`; two of them may not share a profile."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.cuda = engine.tensorrt.cuda
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, _stream: int) -> bool:
        """Take a profile."""
        taken = index in self.engine.taken
        self.engine.taken.add(index)
        self.index = index
        return not taken

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        """Fix the shape, which the profile must allow."""
        assert shape[0] == (BATCHES[self.index] if self.engine.any_number else 1)
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Tell what follows from the input's shape."""
        if name == self.engine.inputs[0].name:
            return self.shape
        (node,) = (node for node in self.engine.outputs if node.name == name)
        return tuple(size if isinstance(size, int) else self.shape[0] for size in node.shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        """Note where it lies."""
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        """Enqueue the network."""
        assert stream == self.cuda.handle
        self.cuda.do(self._run)
        return True

    def _run(self) -> None:
        (given,) = (node.name for node in self.engine.inputs)
        picture = self.cuda.memory[self.addresses[given]].view(np.float32).reshape(self.shape)
        assert np.isfinite(picture).all()
        names = [node.name for node in self.engine.outputs]
        values = self.engine.session.run(names, {given: picture})
        outputs = dict(zip(names, map(np.copy, values), strict=True))
        self.engine.tensorrt.spoil(self.shape[0], outputs)
        for name, array in outputs.items():
            np.copyto(self.cuda.memory[self.addresses[name]], array.view(np.uint8).ravel())
