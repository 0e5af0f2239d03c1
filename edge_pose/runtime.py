"""Which runtime carries a bundle: the fastest whose golden pictures agree, and why no faster one.

In: a bundle.  Out: its engines, open and believed: on TensorRT where there is a GPU, at the best
precision that the bundle offers and the golden pictures allow, else on ONNX Runtime.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge_pose.bundle import Bundle, form_file
from edge_pose.engines import Engine, Engines
from edge_pose.engines.cuda import Gpu, GpuError, why_no_gpu
from edge_pose.engines.engine_cache import EngineCache
from edge_pose.engines.tensorrt import EngineError, TensorRt, is_installed, load
from edge_pose.engines.tensorrt_engine import TensorRtEngine
from edge_pose.engines.workbench import Watch, Workbench
from edge_pose.errors import BundleError, ConfigError
from edge_pose.golden import Deviation, check_golden
from edge_pose.on_cpu import SAFEST, open_on_cpu

log = logging.getLogger(__name__)

Choice = Literal["auto", "tensorrt", "onnx"]
Precision = Literal["auto", "int8", "fp16", "fp32"]

_PRECISIONS: Final = ("int8", "fp16", SAFEST)
"""From fast to safe."""
_REFUSALS: Final = (EngineError, GpuError, BundleError, ConfigError)
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
        precision: the only one to use, `auto` for the fastest that answers right.
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
    on_cpu = open_on_cpu(bundle, stack, threads=threads, precision=precision)
    return Carried(
        engines=on_cpu.engines,
        precision=on_cpu.precision,
        deviation=on_cpu.deviation,
        degraded="; ".join((*refused, *on_cpu.refused)) or None,
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
        for name in offered(bundle):
            if precision not in ("auto", name):
                continue
            with ExitStack() as attempt:
                try:
                    engines = _engines(bundle, bench, gpu, name, attempt)
                    deviation = _check(bundle, engines, name)
                except (*_REFUSALS, *_SURPRISES) as error:
                    surprise = "" if isinstance(error, _REFUSALS) else f"{type(error).__name__}: "
                    log.debug("TensorRT at %s", name, exc_info=error)
                    watch.refused(name, f"{surprise}{error}")
                    refused.append(f"{name}: {surprise}{error}")
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
    return Engines(**loaded)


def _check(bundle: Bundle, engines: Engines, precision: str) -> Deviation:
    """Ask the golden pictures at every batch size: each has code of its own on the GPU."""
    deviation = check_golden(bundle, engines, precision=precision)
    assert isinstance(engines.pose, TensorRtEngine)
    for batch in engines.pose.batches:
        at_batch = replace(engines, pose=_AtBatch(engines.pose, batch))
        check_golden(bundle, at_batch, precision=precision)
    return deviation


class _AtBatch:
    """An engine that is always given as many pictures at once as one of its sizes takes."""

    def __init__(self, engine: TensorRtEngine, batch: int) -> None:
        self._engine = engine
        self._batch = batch
        self.at_once = batch
        self.description = f"{engine.description}, {batch} at once"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer each picture as the last of a full batch of copies."""
        rows = max(map(len, inputs.values()))
        answers = [
            self._engine.run(
                {
                    name: np.repeat(values[row : row + 1], self._batch, axis=0)
                    for name, values in inputs.items()
                }
            )
            for row in range(rows)
        ]
        return {
            name: np.concatenate([answer[name][-1:] for answer in answers]) for name in answers[0]
        }

    def close(self) -> None:
        """Nothing to give back: the engine belongs to somebody else."""


def _labels(bundle: Bundle) -> tuple[str, ...]:
    return tuple(bundle.manifest.networks.by_label())
