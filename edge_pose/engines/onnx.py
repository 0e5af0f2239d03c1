"""ONNX Runtime on the CPU: the only file that knows it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edge_pose.errors import BundleError

_MOST_THREADS: Final = 4
"""Networks of this size gain nothing from more, and the camera and the broker want a core too."""

_AT_ONCE: Final = 2
"""A CPU is no faster with more."""

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
        """Load a network; `threads` of None takes the cores at hand, `precision` is its name."""
        self._precision = precision
        self._threads = default_threads() if threads is None else threads
        try:
            self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
                str(path), _options(self._threads), providers=["CPUExecutionProvider"]
            )
        except _UNREADABLE as error:
            raise BundleError(
                f"{path} is not a network that ONNX Runtime {onnxruntime.__version__} can read: "
                f"{error}; install the bundle again or a newer ONNX Runtime"
            ) from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        threads = "1 thread" if self._threads == 1 else f"{self._threads} threads"
        return f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads}, {self._precision}"

    @property
    def at_once(self) -> int:
        """How many pictures are best given together."""
        return _AT_ONCE

    @property
    def inputs(self) -> dict[str, tuple[int | str | None, ...]]:
        """Shapes of the inputs by name, as the file states them."""
        return {node.name: tuple(node.shape) for node in self._open().get_inputs()}

    @property
    def outputs(self) -> dict[str, tuple[int | str | None, ...]]:
        """Shapes of the outputs by name, as the file states them."""
        return {node.name: tuple(node.shape) for node in self._open().get_outputs()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer."""
        arrays = self._open().run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, arrays, strict=True))

    def close(self) -> None:
        """Free the network; running it afterwards is a bug."""
        self._session = None

    def _open(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise RuntimeError("the engine was closed")
        return self._session


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # The arena keeps what the largest batch took, and batches are small (edge_pose/inference.py);
    # without it the heap is torn to pieces in the first seconds and holds 100 MB more.
    options.enable_cpu_mem_arena = True
    # Spinning threads would take the second core from the camera and the broker.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
