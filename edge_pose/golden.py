"""Does this runtime on this machine give what the workshop measured?  Asked at every start.

In: a bundle and its engines. Out: how far they deviate, or a `BundleError`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_pose.bundle import Bundle
from edge_pose.engines import Engine, Engines
from edge_pose.errors import BundleError
from edge_pose.inference import infer
from edge_pose.manifest import OUTPUTS

_MM_PER_M: Final = 1000.0
_PROBABILITY_TOLERANCE: Final = 0.05
_BELIEVED_SCORE: Final = 0.3
"""Boxes below this score reach nobody, so they may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Largest differences from the golden outputs."""

    px: float
    mm: float
    probability: float


def check_golden(bundle: Bundle, engines: Engines, *, precision: str = "fp32") -> Deviation:
    """Run the golden pictures and refuse engines that answer otherwise than the workshop did."""
    with np.load(bundle.golden_path) as stored:
        golden = dict(stored)
    pose = _outputs(bundle, golden, "pose", engines.pose)
    detector = _outputs(bundle, golden, "detector", engines.detector)
    found = Deviation(
        px=_largest(
            pose["joints_px"] - golden["pose.joints_px"],
            pose["reach_px"] - golden["pose.reach_px"],
            _believed_boxes(golden, detector),
        ),
        mm=_MM_PER_M * _largest(pose["joints_m"] - golden["pose.joints_m"]),
        probability=_largest(
            pose["scores"] - golden["pose.scores"],
            pose["presence"] - golden["pose.presence"],
            detector["scores"] - golden["detector.scores"],
        ),
    )
    _judge(bundle, found, precision, engines.pose.description)
    return found


def _outputs(
    bundle: Bundle, golden: dict[str, np.ndarray], label: str, engine: Engine
) -> dict[str, np.ndarray]:
    network = bundle.manifest.networks.by_label()[label]
    wanted = [f"{label}.images", *(f"{label}.{name}" for name in OUTPUTS[label])]
    if missing := [name for name in wanted if name not in golden]:
        raise BundleError(f"{bundle.golden_path} lacks {', '.join(missing)}; pack the bundle again")
    outputs = infer(engine, network, list(golden[f"{label}.images"]))
    for name in OUTPUTS[label]:
        expected, found = golden[f"{label}.{name}"].shape, outputs[name].shape
        if expected != found:
            raise BundleError(
                f"{label} gives {name} of shape {list(found)} on {engine.description}, "
                f"golden has {list(expected)}; install the bundle again"
            )
    return outputs


def _believed_boxes(golden: dict[str, np.ndarray], detector: dict[str, np.ndarray]) -> np.ndarray:
    """Compare boxes that reach somebody by either account."""
    best = np.maximum(golden["detector.scores"], detector["scores"])
    return np.asarray((detector["boxes_px"] - golden["detector.boxes_px"])[best >= _BELIEVED_SCORE])


def _judge(bundle: Bundle, found: Deviation, precision: str, where: str) -> None:
    manifest = bundle.manifest
    if precision not in manifest.tolerance_px or precision not in manifest.tolerance_mm:
        known = sorted(manifest.tolerance_px.keys() & manifest.tolerance_mm.keys())
        raise BundleError(
            f"{bundle.folder} states no tolerance for {precision}, only for {', '.join(known)}"
        )
    limit_px, limit_mm = manifest.tolerance_px[precision], manifest.tolerance_mm[precision]
    # Written so that a NaN fails.
    if not (
        found.px <= limit_px
        and found.mm <= limit_mm
        and found.probability <= _PROBABILITY_TOLERANCE
    ):
        raise BundleError(
            f"the golden pictures of {bundle.folder} come out {found.px:.2f} px, {found.mm:.1f} mm "
            f"and {found.probability:.2f} in probability away on {where}, allowed are "
            f"{limit_px:g} px, {limit_mm:g} mm and {_PROBABILITY_TOLERANCE:g}; "
            f"install the bundle again or report this machine"
        )


def _largest(*differences: np.ndarray) -> float:
    """NaN when any is NaN, which Python's own max would lose."""
    return float(np.max([np.abs(values).max(initial=0.0) for values in differences]))
