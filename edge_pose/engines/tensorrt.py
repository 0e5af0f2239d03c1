"""TensorRT: builds engines; with tensorrt_engine.py, which runs them, all that knows TensorRT.

In: the bytes of an ONNX network. Out: the bytes of an engine for one GPU.  Both flavours are known,
from 10.3 to 11.4 and RTX 1.7.  Precision is what stands in the network: all is built strongly
typed, the one way that every version has.  What differs between versions is asked of the module.
"""

import logging
from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from edge_pose.engines.build_progress import Phases, Progress
from edge_pose.errors import EXIT_OPERATOR, EdgePoseError

log = logging.getLogger(__name__)

BATCHES: Final = (1, 2, 4, 8)
"""How many pictures an engine takes at once where any number may go in; others are filled up."""
WORKSPACE_BYTES: Final = 512 << 20
"""What a layer may take for itself; a Jetson's 8 GB are everybody's."""
OPTIONS: Final = (
    f"strongly typed, no TF32, workspace {WORKSPACE_BYTES}, batches {BATCHES}, bytes widened"
)
"""What an engine depends on besides its network; a change here rebuilds all."""

_WHOLE: Final = "TensorRT"
_FLAVOURS: Final = (("tensorrt", _WHOLE), ("tensorrt_rtx", "TensorRT-RTX"))


class EngineError(EdgePoseError):
    """TensorRT cannot make or run this engine; a slower runtime may do."""

    exit_code = EXIT_OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build gives."""

    engine: bytes
    timing: bytes
    """What the builder measured, for the next build on this GPU; empty where it keeps nothing."""


def is_installed() -> bool:
    """Tell whether there is a TensorRT, without loading it."""
    return any(find_spec(module) for module, _ in _FLAVOURS)


@cache
def load() -> "TensorRt":
    """Load the TensorRT that is installed, the full one before RTX; once, for it has one logger."""
    for module, name in _FLAVOURS:
        if find_spec(module) is None:
            continue
        try:
            return TensorRt(import_module(module), name)
        except (ImportError, OSError) as error:
            raise EngineError(
                f"{name} is installed but cannot be loaded ({error}); install the libraries of the "
                "same version, or remove it"
            ) from error
    raise EngineError(
        "TensorRT is not installed; it comes with JetPack, whose packages "
        "a virtual environment sees with --system-site-packages"
    )


class TensorRt:
    """One flavour of TensorRT."""

    def __init__(self, module: Any, name: str) -> None:
        self._trt = module
        self.name = name
        self.version: str = module.__version__
        self._logger, self._said = _logger(module)
        if hasattr(module, "init_libnvinfer_plugins"):
            module.init_libnvinfer_plugins(self._logger, "")

    @property
    def targets(self) -> tuple[str, ...]:
        """GPUs that need not be here to be built for, such as `SM86`."""
        known = getattr(self._trt, "ComputeCapability", None)
        return tuple(sorted(name for name in dir(known) if name.startswith("SM"))) if known else ()

    def serve(self, compute_capability: str) -> None:
        """Make sure that it serves a GPU: RTX builds engines for others, but does not load them.

        Raises:
            EngineError: it does not; TensorRT itself serves every GPU that it has a driver for.

        """
        if self.name == _WHOLE:
            return
        known = [target.removeprefix("SM") for target in self.targets]
        asked = compute_capability.replace(".", "")
        if asked.isdecimal() and asked not in known and int(asked) < max(map(int, known)):
            served = ", ".join(f"{digits[:-1]}.{digits[-1]}" for digits in sorted(known, key=int))
            raise EngineError(
                f"{self.name} {self.version} serves GPUs of compute capability {served}, and this "
                f"one has {compute_capability}; install TensorRT instead"
            )

    @property
    def keeps_timing(self) -> bool:
        """RTX measures nothing while it builds; its timing cache is an empty shell."""
        return self.name == _WHOLE

    def build(
        self,
        network: bytes,
        *,
        where: str,
        target: str | None = None,
        timing: bytes = b"",
        progress: Progress = lambda _share, _what: True,
    ) -> Built:
        """Build for the GPU whose context is current, or for a `target`; `where` is for errors."""
        trt = self._trt
        self._said.clear()
        builder = trt.Builder(self._logger)
        flags = trt.NetworkDefinitionCreationFlag
        # By name: its number was 1 until TensorRT 10 and is 0 since, where it always holds.
        strongly_typed = 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
        definition = builder.create_network(strongly_typed)
        parser = trt.OnnxParser(definition, self._logger)
        if not parser.parse(network):
            reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise EngineError(
                f"{where} is not a network that {self.name} {self.version} can read: "
                f"{reasons or self._reason()}; export the bundle again for this version"
            )
        held = _widen_bytes(trt, definition)
        config = self._configure(builder, definition, target)
        if hasattr(trt, "IProgressMonitor"):
            config.progress_monitor = _monitor(trt, progress)
        measured = None
        if self.keeps_timing:
            measured = config.create_timing_cache(timing)
            config.set_timing_cache(measured, ignore_mismatch=False)
        engine = builder.build_serialized_network(definition, config)
        del held
        if engine is None:
            raise EngineError(
                f"{self.name} {self.version} cannot build {where}: {self._reason()}; free memory "
                "and try again, or export the bundle again for this version"
            )
        return Built(
            engine=bytes(engine),
            timing=bytes(measured.serialize()) if measured is not None else b"",
        )

    def deserialize(self, engine: bytes) -> tuple[Any, Any]:
        """Give TensorRT's runtime and its engine; failure is None there, not an exception."""
        self._said.clear()
        runtime = self._trt.Runtime(self._logger)
        loaded = runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise EngineError(
                f"{self.name} {self.version} does not load an engine of {len(engine)} bytes: "
                f"{self._reason()}; `edge-pose build` builds it again"
            )
        return runtime, loaded

    def tensors(self, engine: Any) -> "dict[str, Tensor]":
        """Return the inputs and outputs of an engine, in its order."""
        trt = self._trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return {
            name: Tensor(
                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                dtype=np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
            )
            for name in names
        }

    def context(self, engine: Any) -> Any:
        """Make an execution context that takes memory only for the profile it will run."""
        return engine.create_execution_context(
            self._trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        )

    def _configure(self, builder: Any, definition: Any, target: str | None) -> Any:
        trt = self._trt
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        # What is float32 in the network is so for a reason: no ten-bit mantissas behind its back.
        config.clear_flag(trt.BuilderFlag.TF32)
        if target is not None:
            if target not in self.targets:
                known = ", ".join(self.targets) or "none but the one that is here"
                raise EngineError(
                    f"{self.name} {self.version} cannot build for {target} on this machine; "
                    f"it knows {known}"
                )
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
        picture = definition.get_input(0)
        first, *rest = tuple(picture.shape)
        for batch in BATCHES if first < 0 else ():
            profile = builder.create_optimization_profile()
            profile.set_shape(picture.name, *[(batch, *rest)] * 3)
            config.add_optimization_profile(profile)
        return config

    def _reason(self) -> str:
        return "; ".join(self._said) or "it gives no reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """What TensorRT knows of an input or output."""

    is_input: bool
    dtype: "np.dtype[Any]"


def _monitor(trt: Any, progress: Progress) -> Any:
    phases = Phases()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # its base is known at run time only
        """TensorRT calls this from threads of its own."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress(phases.step(phase_name, step), phase_name)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


def _logger(trt: Any) -> "tuple[Any, deque[str]]":
    """Make a logger that keeps the newest errors for our sentences, and logs the rest."""
    said: deque[str] = deque(maxlen=2)
    error = int(trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc] # its base is known at run time only
        """TensorRT calls this from threads of its own."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= error:
                said.append(msg.strip())
            log.debug("TensorRT: %s", msg)

    return Logger(), said


def _widen_bytes(trt: Any, definition: Any) -> list[np.ndarray]:
    """Put floats for weights that are stored as bytes and cast; return what must outlive the build.

    A byte is also what TensorRT takes a quantised number for, and such a one it allows only before
    a DequantizeLinear; bytes that are are left alone.
    """
    layers = [definition.get_layer(index) for index in range(definition.num_layers)]
    readers: dict[str, list[tuple[Any, int]]] = {}
    for layer in layers:
        for index in range(layer.num_inputs):
            tensor = layer.get_input(index)
            if tensor is not None:
                readers.setdefault(tensor.name, []).append((layer, index))
    held: list[np.ndarray] = []
    for layer in layers:
        if layer.type != trt.LayerType.CONSTANT or layer.get_output(0).dtype != trt.DataType.INT8:
            continue
        layer.__class__ = trt.IConstantLayer  # how TensorRT's Python API reaches a layer's own
        for cast, _ in readers.get(layer.get_output(0).name, []):
            if cast.type != trt.LayerType.CAST:
                continue
            wide = np.ascontiguousarray(
                np.asarray(layer.weights), dtype=trt.nptype(cast.get_output(0).dtype)
            )
            held.append(wide)
            constant = definition.add_constant(layer.get_output(0).shape, trt.Weights(wide))
            for reader, index in readers.get(cast.get_output(0).name, []):
                reader.set_input(index, constant.get_output(0))
    return held
