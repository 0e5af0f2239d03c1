"""The networks on ONNX Runtime: INT8 where it answers right and is faster, else single.

In: a bundle.  Out: engines, open and believed.  INT8 saves a quarter of the time where a processor
multiplies bytes at once (VNNI, dot products of ARMv8.2), costs time where it does not, and some old
ones overflow; so both are asked here at every start: golden pictures, and how long they take.
"""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_pose.bundle import Bundle, form_file
from edge_pose.engines import Engine, Engines
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import BundleError, ConfigError
from edge_pose.golden import Deviation, check_golden
from edge_pose.inference import normalise

log = logging.getLogger(__name__)

SAFEST: Final = "fp32"
_FORMS: Final = {"int8": "int8-cpu", SAFEST: None}
"""Forms of the pose network by precision, from fast to safe; None is the network itself."""
_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCpu:
    """Engines that answered as the workshop did."""

    engines: Engines
    precision: str
    deviation: Deviation
    refused: tuple[str, ...]
    """Precisions that answered otherwise, and how."""


def open_on_cpu(
    bundle: Bundle, stack: ExitStack, *, threads: int | None = None, precision: str = "auto"
) -> OnCpu:
    """Open the engines while the stack lasts.

    Args:
        bundle: whose networks.
        stack: closes them.
        threads: for each network; None takes the cores at hand.
        precision: the only one to try; `auto` takes the fastest that answers right.

    Raises:
        BundleError: single precision answers otherwise than the workshop did.
        ConfigError: the bundle has no form for the CPU in that precision.

    """
    detector = OnnxEngine(bundle.path_of("detector"), threads=threads)
    stack.callback(detector.close)
    offered = [name for name in _FORMS if _is_offered(bundle, name)]
    wanted = [name for name in offered if precision in ("auto", name)]
    if not wanted:
        raise ConfigError(
            f"model.precision is {precision}, but {bundle.folder} offers {', '.join(offered)} for "
            "the CPU; choose one of them, or auto"
        )
    believed: dict[str, tuple[Engine, Deviation]] = {}
    refused: list[str] = []
    with ExitStack() as opening:
        for name in wanted:
            pose = OnnxEngine(_path(bundle, name), threads=threads, precision=name)
            opening.callback(pose.close)
            engines = Engines(detector=detector, pose=pose)
            try:
                believed[name] = (pose, check_golden(bundle, engines, precision=name))
            except BundleError as error:
                if name == wanted[-1]:
                    raise
                refused.append(f"{name}: {error}")
        precision = fastest(bundle, {name: pose for name, (pose, _) in believed.items()})
        chosen, deviation = believed[precision]
        for name, (other, _) in believed.items():
            if name != precision:
                other.close()
        opening.pop_all()
        stack.callback(chosen.close)
    return OnCpu(
        engines=Engines(detector=detector, pose=chosen),
        precision=precision,
        deviation=deviation,
        refused=tuple(refused),
    )


def _is_offered(bundle: Bundle, precision: str) -> bool:
    manifest, form = bundle.manifest, _FORMS[precision]
    return form is None or (
        form_file("pose", form) in manifest.sha256
        and precision in manifest.tolerance_px
        and precision in manifest.tolerance_mm
    )


def _path(bundle: Bundle, precision: str) -> Path:
    form = _FORMS[precision]
    return bundle.path_of("pose") if form is None else bundle.folder / form_file("pose", form)


def fastest(bundle: Bundle, engines: dict[str, Engine]) -> str:
    """Name the engine that takes the least time for one picture, at best, asked in turns."""
    if len(engines) == 1:
        return next(iter(engines))
    network = bundle.manifest.networks.pose
    picture = np.zeros((network.height_px, network.width_px, 3), np.uint8)
    given = {network.input.name: normalise([picture], network.input)}
    best_ns = dict.fromkeys(engines, float("inf"))
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            start_ns = time.perf_counter_ns()
            engine.run(given)
            best_ns[name] = min(best_ns[name], time.perf_counter_ns() - start_ns)
    took = ", ".join(f"{name} {ns / 1e6:.1f} ms" for name, ns in best_ns.items())
    log.info("The pose network takes %s a person here", took)
    return min(best_ns, key=best_ns.__getitem__)
