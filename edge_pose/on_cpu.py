"""The networks on ONNX Runtime: single precision, or INT8 where somebody asks for it.

In: a bundle.  Out: engines, open and believed.  INT8 saves a quarter of the pose network's time
where a processor multiplies bytes at once (VNNI, dot products of ARMv8.2) and moves joints about by
a tenth of their error, so nobody gets it unasked; some old processors overflow with it, so the
golden pictures are asked first.

Threads are for the networks alone.  Those of OpenCV would wait for cores on which the networks'
threads still look out for work: a crop of a millisecond took two to five in one frame of twenty.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from edge_pose.bundle import Bundle, form_file
from edge_pose.engines import Engines
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import BundleError, ConfigError
from edge_pose.golden import Deviation, check_golden

SAFEST: Final = "fp32"
_FASTER: Final = "int8"
_FORM: Final = "int8-cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCpu:
    """Engines that answered as the workshop did."""

    engines: Engines
    precision: str
    deviation: Deviation
    refused: str | None
    """How the precision that was asked for answered otherwise, if it did."""


def open_on_cpu(
    bundle: Bundle, stack: ExitStack, *, threads: int | None = None, precision: str = SAFEST
) -> OnCpu:
    """Open the engines while the stack lasts.

    Args:
        bundle: whose networks.
        stack: closes them.
        threads: for each network; None takes the cores at hand.
        precision: of the pose network; where it answers otherwise than the workshop did, single
            precision takes its place.

    Raises:
        BundleError: single precision answers otherwise than the workshop did.
        ConfigError: the bundle has no form for the CPU in that precision.

    """
    refused = None
    if precision != SAFEST:
        if precision != _FASTER or not offers_int8(bundle):
            offered = f"{_FASTER}, {SAFEST}" if offers_int8(bundle) else SAFEST
            raise ConfigError(
                f"model.precision is {precision}, but {bundle.folder} offers {offered} for the "
                "CPU; choose one of them, or auto"
            )
        with ExitStack() as opening:
            try:
                form = bundle.folder / form_file("pose", _FORM)
                found = _open(bundle, opening, form, threads, precision)
            except BundleError as error:
                refused = f"{precision}: {error}"
            else:
                stack.push(opening.pop_all())
                return found
    return _open(bundle, stack, bundle.path_of("pose"), threads, SAFEST, refused)


def offers_int8(bundle: Bundle) -> bool:
    """Tell whether a bundle has the form and says how far it may be off."""
    manifest = bundle.manifest
    return (
        form_file("pose", _FORM) in manifest.sha256
        and _FASTER in manifest.tolerance_px
        and _FASTER in manifest.tolerance_mm
    )


def _open(
    bundle: Bundle,
    stack: ExitStack,
    pose: Path,
    threads: int | None,
    precision: str,
    refused: str | None = None,
) -> OnCpu:
    cv2.setNumThreads(1)
    detector = OnnxEngine(bundle.path_of("detector"), threads=threads)
    stack.callback(detector.close)
    network = OnnxEngine(pose, threads=threads, precision=precision)
    stack.callback(network.close)
    engines = Engines(detector=detector, pose=network)
    return OnCpu(
        engines=engines,
        precision=precision,
        deviation=check_golden(bundle, engines, precision=precision),
        refused=refused,
    )
