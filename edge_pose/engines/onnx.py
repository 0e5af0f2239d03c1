"""ONNX Runtime on the CPU: the only file that knows it.

A picture that comes alone is shared by all cores: that is soonest.  Pictures that come together are
one core's work each: that is most, because a network of a hundred small layers does not divide well
(docs/log.md).
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edge_pose.engines import Answer
from edge_pose.errors import BundleError

_MOST_THREADS: Final = 4
"""Networks of this size gain little from more, and the camera and the broker want a core too."""
_SPIN_US: Final = 300
"""How long a core that shares a picture waits awake for the next layer: waking it takes longer than
most layers.  Longer would take it from the camera and the broker between pictures.
"""
_CAN_BOUND_SPINNING: Final = (1, 27)
"""The first ONNX Runtime that takes `_SPIN_US`; older ones spin for ever or not at all."""

WHOLE_SUMS: Final = ("session.x64quantprecision", "1")
"""Processors without VNNI add products of bytes in 16 bits, in which sums of INT8 networks do not
fit: joints went 113 mm astray.  With this setting ONNX Runtime takes kernels there that keep whole
sums, slower than single precision; other processors do as without it (docs/log.md).
"""

_UNREADABLE: Final = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)
_ERRORS_ONLY: Final = 3


def default_threads() -> int:
    """Cores this process may use, at most four."""
    return min(len(os.sched_getaffinity(0)), _MOST_THREADS)


class OnnxEngine:
    """One network on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, *, threads: int | None = None, precision: str = "fp32") -> None:
        """Load a network.

        Args:
            path: its file.
            threads: cores that share a picture, or take one each; None takes those at hand.
            precision: its name, for the description.

        Raises:
            BundleError: this is no network that can be read.

        """
        self._precision = precision
        self._threads = default_threads() if threads is None else threads
        self._sharing: onnxruntime.InferenceSession | None = _session(path, self._threads)
        self._outputs = [output.name for output in self._sharing.get_outputs()]
        self._one_core, self._helpers = self._sharing, None
        if self._threads > 1:
            self._one_core = _session(path, 1)
            # Whoever asks for the answers is the last of the threads.
            self._helpers = ThreadPoolExecutor(self._threads - 1, "networks")

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        threads = "1 thread" if self._threads == 1 else f"{self._threads} threads"
        return f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads}, {self._precision}"

    @property
    def at_once(self) -> int:
        """How many pictures are best given together: one, for a core is no faster with more."""
        return 1

    @property
    def inputs(self) -> dict[str, tuple[int | str | None, ...]]:
        """Shapes of the inputs by name, as the file states them."""
        return {node.name: tuple(node.shape) for node in self._open().get_inputs()}

    @property
    def outputs(self) -> dict[str, tuple[int | str | None, ...]]:
        """Shapes of the outputs by name, as the file states them."""
        return {node.name: tuple(node.shape) for node in self._open().get_outputs()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer, with all cores."""
        return self._run(self._open(), inputs)

    def begin(self, inputs: Mapping[str, np.ndarray]) -> Answer:
        """Begin to infer, with one core; whoever asks before a helper has begun does it."""
        self._open()
        if self._helpers is None:
            return lambda: self._run(self._one_core, inputs)
        begun = self._helpers.submit(self._run, self._one_core, inputs)
        return lambda: self._run(self._one_core, inputs) if begun.cancel() else begun.result()

    def close(self) -> None:
        """Free the network; running it afterwards is a bug."""
        if self._helpers is not None:
            self._helpers.shutdown(cancel_futures=True)
        self._sharing = self._one_core = self._helpers = None

    def _open(self) -> onnxruntime.InferenceSession:
        if self._sharing is None:
            raise RuntimeError("the engine was closed")
        return self._sharing

    def _run(
        self, session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        arrays = session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, arrays, strict=True))


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(
            str(path), _options(threads), providers=["CPUExecutionProvider"]
        )
    except _UNREADABLE as error:
        raise BundleError(
            f"{path} is not a network that ONNX Runtime {onnxruntime.__version__} can read: "
            f"{error}; install the bundle again or a newer ONNX Runtime"
        ) from error


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # The arena keeps what the largest batch took, and a batch is one picture. Without it the heap
    # is torn to pieces in the first seconds and holds 100 MB more.
    options.enable_cpu_mem_arena = True
    options.add_session_config_entry(*WHOLE_SUMS)
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    spins = threads > 1 and version >= _CAN_BOUND_SPINNING
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    if spins:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    return options
