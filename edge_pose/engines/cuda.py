"""CUDA through pycuda: the only file that knows it, so small that other bindings could replace it.

In: work for the GPU, from any thread. Out: its results; the work itself runs on one thread of ours,
which holds the primary context of the GPU, the one that TensorRT uses too.
"""

import atexit
import ctypes
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any, Final, TypeVar

import numpy as np

from edge_pose.engines.nvrtc import compile_kernel
from edge_pose.errors import EXIT_OPERATOR, EdgePoseError

_DRIVER: Final = "libcuda.so.1"
_THREAD_LOCAL: Final = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do with the GPU is no concern of ours."""

_Result = TypeVar("_Result")


class GpuError(EdgePoseError):
    """The GPU cannot be used as it stands; install what the sentence names, or go without."""

    exit_code = EXIT_OPERATOR


def why_no_gpu(driver: Any = None) -> str | None:
    """Say in half a sentence why no NVIDIA GPU can be used here; None where one can."""
    try:
        driver = driver or ctypes.CDLL(_DRIVER)
    except OSError:
        return f"no NVIDIA driver is installed ({_DRIVER} is not there)"
    if code := driver.cuInit(0):
        return f"the NVIDIA driver does not start (CUDA error {code})"
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver cannot count its GPUs (CUDA error {code})"
    return None if count.value else "the NVIDIA driver sees no GPU"


class Gpu:
    """One GPU and the thread that owns it; `cuda` and `driver` are pycuda's and NVIDIA's own."""

    def __init__(
        self,
        index: int = 0,
        *,
        cuda: Any = None,
        driver: Any = None,
        compiler: Callable[[str, str], bytes] = compile_kernel,
    ) -> None:
        self._index = index
        self._compiler = compiler
        self._cuda = cuda
        self._driver = driver
        self.name = f"GPU {index}"
        self.compute_capability = "unknown"
        self.stream: Any = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._owner = threading.Thread(target=self._own, args=(opened,), name="gpu", daemon=True)
        self._owner.start()
        opened.result()
        # A daemon, so that nothing can hang the end of the process; closed before the interpreter
        # goes, because CUDA aborts a process that leaves with a context in use.
        atexit.register(self.close)

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Run work on the owner thread and wait for it; what it raises is raised here."""
        if threading.current_thread() is self._owner:
            return work()
        if not self._owner.is_alive():
            raise RuntimeError("the GPU was closed")
        done: Future[_Result] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                done.set_exception(self._told(error))

        self._jobs.put(job)
        return done.result()

    def close(self) -> None:
        """Give the context back; closing twice is fine."""
        atexit.unregister(self.close)
        self._jobs.put(None)
        self._owner.join()

    def _own(self, opened: "Future[None]") -> None:
        """Hold the context while there is work."""
        context = None
        try:
            try:
                self._cuda = self._cuda or _pycuda()
                self._driver = self._driver or ctypes.CDLL(_DRIVER)
                self._cuda.init()
                device = self._cuda.Device(self._index)
                self.name = str(device.name())
                self.compute_capability = "{}.{}".format(*device.compute_capability())
                context = device.retain_primary_context()
                context.push()
                self.stream = self._cuda.Stream()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever opens
                opened.set_exception(self._told(error))
                return
            opened.set_result(None)
            while (job := self._jobs.get()) is not None:
                job()
        finally:
            self.stream = None  # goes while its context is there
            if context is not None:
                context.pop()

    def _told(self, error: BaseException) -> BaseException:
        """Turn what pycuda raises into a sentence; everything else stays what it is."""
        if self._cuda is not None and isinstance(error, self._cuda.Error):
            return GpuError(f"{self.name} failed: {error}; free its memory, or restart the device")
        return error

    # What follows is called on the owner thread only.

    def buffer(self, shape: tuple[int, ...], dtype: Any) -> "Buffer":
        """Take memory on both sides for one array."""
        return Buffer(self._cuda, shape, dtype)

    def kernel(self, source: str, name: str, parameters: str) -> "Kernel":
        """Compile one kernel of a source; its parameters are given as Python's struct has them."""
        module = self._cuda.module_from_buffer(self._compiler(source, self.compute_capability))
        return Kernel(module, name, parameters)

    def capture(self, enqueue: Callable[[], bool]) -> "Graph | None":
        """Record what is enqueued, or None where the driver will not; nothing is run yet."""
        driver, stream = self._driver, ctypes.c_void_p(self.stream.handle)
        graph, launchable = ctypes.c_void_p(), ctypes.c_void_p()
        if driver.cuStreamBeginCapture_v2(stream, _THREAD_LOCAL):
            return None
        recorded = enqueue()
        code = driver.cuStreamEndCapture(stream, ctypes.byref(graph))
        if code or graph.value is None:
            return None
        code = driver.cuGraphInstantiateWithFlags(
            ctypes.byref(launchable), graph, ctypes.c_ulonglong(0)
        )
        driver.cuGraphDestroy(graph)
        return None if code or not recorded else Graph(driver, launchable, stream)


class Buffer:
    """One array twice: page-locked for the processor, and on the GPU."""

    def __init__(self, cuda: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self._cuda = cuda
        self.host: np.ndarray = cuda.pagelocked_empty(shape, dtype)
        self.host.fill(0)  # rows that nobody asked for are computed too, on something finite
        self._device = cuda.mem_alloc(self.host.nbytes)

    @property
    def address(self) -> int:
        """Where it lies on the GPU."""
        return int(self._device)

    def upload(self, stream: Any) -> None:
        """Enqueue the copy to the GPU."""
        self._cuda.memcpy_htod_async(self._device, self.host, stream)

    def download(self, stream: Any) -> None:
        """Enqueue the copy from the GPU."""
        self._cuda.memcpy_dtoh_async(self.host, self._device, stream)

    def close(self) -> None:
        """Give the memory back; the page-locked half goes with its last reference."""
        self._device.free()


class Kernel:
    """A function that runs on the GPU; dropped on the owner thread, where its context is."""

    def __init__(self, module: Any, name: str, parameters: str) -> None:
        self._module = module  # as long as the function
        self._function = module.get_function(name)
        self._function.prepare(parameters)

    def launch(
        self,
        blocks: tuple[int, int, int],
        threads: tuple[int, int, int],
        stream: Any,
        *arguments: Any,
    ) -> None:
        """Enqueue it once; its arguments are whole numbers, addresses among them, and floats."""
        self._function.prepared_async_call(blocks, threads, stream, *arguments)


class Graph:
    """Recorded work that one call launches."""

    def __init__(self, driver: Any, launchable: ctypes.c_void_p, stream: ctypes.c_void_p) -> None:
        self._driver = driver
        self._launchable = launchable
        self._stream = stream

    def launch(self) -> None:
        """Enqueue all of it."""
        if code := self._driver.cuGraphLaunch(self._launchable, self._stream):
            raise GpuError(
                f"the GPU refused recorded work (CUDA error {code}); start again, and "
                "report this machine if it stays"
            )

    def close(self) -> None:
        """Forget it."""
        self._driver.cuGraphExecDestroy(self._launchable)


def _pycuda() -> Any:
    try:
        return import_module("pycuda.driver")
    except ImportError as error:
        raise GpuError(
            f"pycuda, through which the GPU is used, cannot be loaded ({error}); "
            "`pip install 'edge-pose[gpu]'` builds it where the CUDA toolkit is installed"
        ) from error
