"""Which runtime carries a bundle: the fastest whose golden pictures agree, and why no faster one.

In: a bundle.  Out: its engines, open and believed: on TensorRT where there is a GPU, at the best
precision that the bundle offers and the golden pictures allow, else on ONNX Runtime.  On TensorRT
the GPU cuts the crops too, where its kernel compiles and gives the same.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from edge_pose.bundle import Bundle, form_file
from edge_pose.engines import Engine, Engines, FrameEngine
from edge_pose.engines.cuda import Gpu, GpuError, why_no_gpu
from edge_pose.engines.engine_cache import EngineCache
from edge_pose.engines.gpu_crops import GpuCrops
from edge_pose.engines.nvrtc import KernelError
from edge_pose.engines.tensorrt import EngineError, TensorRt, is_installed, load
from edge_pose.engines.tensorrt_engine import TensorRtEngine
from edge_pose.engines.workbench import Watch, Workbench
from edge_pose.errors import BundleError, ConfigError
from edge_pose.golden import Deviation, check_golden, check_golden_at
from edge_pose.inference import scale_and_offset
from edge_pose.on_cpu import SAFEST, open_on_cpu

log = logging.getLogger(__name__)

Choice = Literal["auto", "tensorrt", "onnx"]
Precision = Literal["auto", "int8", "fp16", "fp32"]

_PRECISIONS: Final = ("int8", "fp16", SAFEST)
"""From fast to safe."""
_REFUSALS: Final = (EngineError, GpuError, KernelError, BundleError, ConfigError)
_SURPRISES: Final = (AttributeError, TypeError, RuntimeError, ValueError)
"""How a TensorRT whose Python API is not the one that we know shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Engines that answered as the workshop did."""

    engines: Engines
    precision: str
    deviation: Deviation
    degraded: str | None
    """Why something faster that should have worked is not used; None when nothing is amiss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How this machine's GPU and TensorRT are reached."""

    why_not: Callable[[], str | None]
    gpu: Callable[[], Gpu]
    tensorrt: Callable[[], TensorRt]


def offered(bundle: Bundle) -> tuple[str, ...]:
    """Precisions that a bundle states a tolerance for and has a network for, the fastest first."""
    manifest = bundle.manifest
    return tuple(
        precision
        for precision in _PRECISIONS
        if precision in manifest.tolerance_px
        and precision in manifest.tolerance_mm
        and (
            precision == SAFEST
            or any(form_file(label, precision) in manifest.sha256 for label in _labels(bundle))
        )
    )


def _from(precision: Precision, names: Sequence[str]) -> list[str]:
    """Leave out what is faster than the precision that was asked for."""
    first = 0 if precision == "auto" else _PRECISIONS.index(precision)
    return [name for name in names if _PRECISIONS.index(name) >= first]


def network_for(bundle: Bundle, label: str, precision: str) -> Path:
    """Where the form of a network lies that is closest to a precision and not beyond it."""
    for safer in _PRECISIONS[_PRECISIONS.index(precision) :]:
        if form_file(label, safer) in bundle.manifest.sha256:
            return bundle.folder / form_file(label, safer)
    return bundle.path_of(label)


def why_no_tensorrt() -> str | None:
    """Say why this machine is none for TensorRT; None where it should work."""
    if reason := why_no_gpu():
        return reason
    return None if is_installed() else "a GPU is here, but TensorRT is not installed"


THIS_MACHINE: Final = Machine(why_not=why_no_tensorrt, gpu=Gpu, tensorrt=load)


def open_engines(
    bundle: Bundle,
    stack: ExitStack,
    *,
    folder: Path,
    choice: Choice = "auto",
    threads: int | None = None,
    precision: Precision = "auto",
    watch: Watch | None = None,
    machine: Machine = THIS_MACHINE,
) -> Carried:
    """Open the engines while the stack lasts.

    Args:
        bundle: whose networks.
        stack: closes them.
        folder: where built engines are kept.
        choice: of the runtime.
        threads: of ONNX Runtime, for each network.
        precision: of the pose network, and safer ones where it answers wrong; `auto` begins with
            the fastest on TensorRT, and is single precision on ONNX Runtime.
        watch: is told how building goes.
        machine: how its GPU is reached.

    """
    refused: list[str] = []
    if choice != "onnx":
        if reason := machine.why_not():
            if choice == "tensorrt":
                raise EngineError(
                    f"TensorRT cannot be used: {reason}; without model.runtime = tensorrt the "
                    "networks run on ONNX Runtime"
                )
            log.info("The networks run on ONNX Runtime: %s", reason)
        elif carried := _open_tensorrt(
            bundle, stack, machine, EngineCache(folder), watch or Watch(), precision, refused
        ):
            return carried
        elif choice == "tensorrt":
            raise EngineError(
                f"no precision of {bundle.folder} can be used on TensorRT: {'; '.join(refused)}"
            )
    on_cpu = open_on_cpu(
        bundle, stack, threads=threads, precision=SAFEST if precision == "auto" else precision
    )
    return Carried(
        engines=on_cpu.engines,
        precision=on_cpu.precision,
        deviation=on_cpu.deviation,
        degraded="; ".join(filter(None, (*refused, on_cpu.refused))) or None,
    )


def _open_tensorrt(
    bundle: Bundle,
    stack: ExitStack,
    machine: Machine,
    cache: EngineCache,
    watch: Watch,
    precision: Precision,
    refused: list[str],
) -> Carried | None:
    """Take the first precision that builds, loads and answers right; note why others did not."""
    with ExitStack() as opening:
        try:
            gpu = machine.gpu()
            opening.callback(gpu.close)
            tensorrt = gpu.call(machine.tensorrt)
        except _REFUSALS as error:
            watch.refused("any precision", str(error))
            refused.append(str(error))
            return None
        bench = Workbench(
            tensorrt=tensorrt,
            cache=cache,
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            call=gpu.call,
            watch=watch,
        )
        for name in _from(precision, offered(bundle)):
            with ExitStack() as attempt:
                try:
                    engines = _engines(bundle, bench, gpu, name, attempt)
                    deviation = _check(bundle, engines, name)
                    try:
                        crops = _pose_in_frame(bundle, gpu, engines, name, attempt)
                        engines = replace(engines, pose_in_frame=crops)
                        watch.crops(None)
                    except (*_REFUSALS, *_SURPRISES, OSError) as error:
                        log.debug("Crops on the GPU", exc_info=error)
                        watch.crops(_told(error))
                        refused.append(f"crops are cut on the CPU: {_told(error)}")
                        # What went wrong may have taken the GPU's context with it; this tells.
                        check_golden(bundle, engines, precision=name)
                except (*_REFUSALS, *_SURPRISES) as error:
                    log.debug("TensorRT at %s", name, exc_info=error)
                    watch.refused(name, _told(error))
                    refused.append(f"{name}: {_told(error)}")
                    continue
                stack.push(opening.pop_all())
                stack.push(attempt.pop_all())
                return Carried(
                    engines=engines,
                    precision=name,
                    deviation=deviation,
                    degraded="; ".join(refused) or None,
                )
    return None


def _engines(
    bundle: Bundle, bench: Workbench, gpu: Gpu, precision: str, attempt: ExitStack
) -> Engines:
    loaded: dict[str, Engine] = {}
    for label in _labels(bundle):
        network = network_for(bundle, label, precision)
        made = bench.make(label, network, precision)
        try:
            engine = TensorRtEngine(bench.tensorrt, made.engine, gpu, precision=precision)
        except EngineError:
            if made.took_s is not None:
                raise
            made = bench.make(label, network, precision, fresh=True)
            engine = TensorRtEngine(bench.tensorrt, made.engine, gpu, precision=precision)
        attempt.callback(engine.close)
        loaded[label] = engine
    return Engines(detector=loaded["detector"], pose=loaded["pose"])


def _check(bundle: Bundle, engines: Engines, precision: str) -> Deviation:
    """Ask the golden pictures, then once more at every batch size."""
    deviation = check_golden(bundle, engines, precision=precision)
    assert isinstance(engines.pose, TensorRtEngine)
    check_golden_at(bundle, engines, engines.pose.batches, precision=precision)
    return deviation


def _pose_in_frame(
    bundle: Bundle, gpu: Gpu, engines: Engines, precision: str, attempt: ExitStack
) -> FrameEngine | None:
    """Have the GPU cut the crops, unless its kernel or the golden pictures are against it."""
    assert isinstance(engines.pose, TensorRtEngine)
    scale, offset = scale_and_offset(bundle.manifest.networks.pose.input)
    crops = GpuCrops(engines.pose, gpu, scale=scale, offset=offset)
    with ExitStack() as opening:
        opening.callback(crops.close)
        check_golden_at(
            bundle,
            replace(engines, pose_in_frame=crops),
            engines.pose.batches,
            precision=precision,
        )
        attempt.push(opening.pop_all())
    return crops


def _told(error: Exception) -> str:
    """Name the kind of what nobody expected; our own errors are sentences."""
    return str(error) if isinstance(error, _REFUSALS) else f"{type(error).__name__}: {error}"


def _labels(bundle: Bundle) -> tuple[str, ...]:
    return tuple(bundle.manifest.networks.by_label())
