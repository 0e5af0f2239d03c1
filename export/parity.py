"""Whether two runtimes say the same about the same crops: in pixels and millimetres, by joint.

In: answers of two engines (or of PyTorch, which `TorchEngine` makes one) to the same pictures.
Out: `Differences`, their summary, and a verdict by the manifest's tolerance for a precision.  A
value that is not finite counts as infinitely far: a network that overflows never passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import nn

from edge_pose.bundle import Bundle
from edge_pose.errors import BundleError
from edge_pose.track_settings import TrackSettings

_MM_PER_M: Final = 1000.0
PERCENTILES: Final = (50, 95, 99)
JUDGED_PERCENTILE: Final = 99
"""One crop in a hundred may differ more: where two places are equally likely, the answer jumps."""
_SURE: Final = TrackSettings().joint_score_min
"""What a network guesses, and says so, a runtime may guess elsewhere."""

Picture = UInt8[np.ndarray, "side side 3"]
Answers = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How far answers are from those of the reference, crop by crop."""

    px: Float[np.ndarray, "crops joints"]
    mm: Float[np.ndarray, "crops joints"]
    probability: Float[np.ndarray, "crops"]
    """The largest among the joints' scores and the person's presence."""
    sure: Bool[np.ndarray, "crops joints"]
    """Whether the reference is sure enough of a joint to publish it as seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One unit's differences in a few numbers."""

    mean: float
    joint_mean: float
    """Of the joint that is worst in the mean."""
    percentiles: tuple[float, ...]
    """Of `PERCENTILES`, over all crops and joints."""
    judged: float
    """Of the joint that is worst by it, among crops in which the reference is sure of it, the
    percentile that the tolerance limits; infinite where it is sure of nothing."""
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a joint may be off."""

    px: float
    mm: float


class TorchEngine:
    """A pose network in PyTorch behind the seam of engines, as a reference."""

    def __init__(
        self, network: nn.Module, calibration: Mapping[str, Sequence[float]], name: str
    ) -> None:
        """Keep the network, and the `slope` and `offset` that make scores of its logits."""
        self._network = network.eval()
        self._slope = torch.tensor(calibration["slope"])
        self._offset = torch.tensor(calibration["offset"])
        self._name = name

    @property
    def description(self) -> str:
        """Runtime, version and device in one line."""
        return f"PyTorch {torch.__version__}, CPU, {self._name}, fp32"

    @property
    def at_once(self) -> int:
        """How many pictures are best given together."""
        return 2

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer."""
        (image,) = inputs.values()
        out = self._network(torch.from_numpy(image))
        answers = {
            "joints_px": out["joints_px"],
            "joints_m": out["joints_m"],
            "scores": torch.sigmoid(out["score_logits"] * self._slope + self._offset),
            "presence": torch.sigmoid(out["presence_logits"]),
            "reach_px": out["reach_px"],
        }
        return {name: answer.numpy() for name, answer in answers.items()}

    def close(self) -> None:
        """Nothing is held."""


def differences(reference: Answers, candidate: Answers) -> Differences:
    """Compare the answers of two pose networks."""
    return Differences(
        px=_distance(reference, candidate, "joints_px"),
        mm=_distance(reference, candidate, "joints_m") * _MM_PER_M,
        probability=np.maximum(
            _apart(reference, candidate, "scores").max(axis=1),
            _apart(reference, candidate, "presence"),
        ),
        sure=reference["scores"] >= _SURE,
    )


def spread_of(
    values: Float[np.ndarray, "crops joints"], sure: Bool[np.ndarray, "crops joints"]
) -> Spread:
    """Summarise one unit's differences; judged are those of joints that are sure."""
    finite = np.where(np.isfinite(values), values, np.finfo(np.float64).max)
    judged = [
        np.percentile(of_joint[known], JUDGED_PERCENTILE, method="higher")
        for of_joint, known in zip(finite.T, sure.T, strict=True)
        if known.any()
    ]
    return Spread(
        mean=float(values.mean()),
        joint_mean=float(values.mean(axis=0).max()),
        percentiles=tuple(map(float, np.percentile(finite, PERCENTILES, method="higher"))),
        judged=float(max(judged, default=np.inf)),
        largest=float(values.max()),
    )


def tolerance_of(bundle: Bundle, precision: str) -> Tolerance:
    """Read how far a bundle lets a precision be off."""
    limits_px, limits_mm = bundle.manifest.tolerance_px, bundle.manifest.tolerance_mm
    if precision not in limits_px or precision not in limits_mm:
        known = ", ".join(sorted(limits_px.keys() & limits_mm.keys()))
        raise BundleError(
            f"{bundle.folder} states no tolerance for {precision}, only for {known}; "
            "pack it with one"
        )
    return Tolerance(px=limits_px[precision], mm=limits_mm[precision])


def is_within(found: Differences, tolerance: Tolerance) -> bool:
    """Tell whether every joint keeps the tolerance in all but the worst hundredth of crops.

    And is a number in all of them.
    """
    return (
        bool(np.isfinite(found.px).all() and np.isfinite(found.mm).all())
        and spread_of(found.px, found.sure).judged <= tolerance.px
        and spread_of(found.mm, found.sure).judged <= tolerance.mm
    )


def worst(found: Differences, most: int) -> list[int]:
    """Find the crops that differ most, by the joint that is farthest off in pixels."""
    return [int(crop) for crop in np.argsort(-found.px.max(axis=1), kind="stable")[:most]]


def _distance(
    reference: Answers, candidate: Answers, name: str
) -> Float[np.ndarray, "crops joints"]:
    return np.linalg.norm(_apart(reference, candidate, name), axis=2)


def _apart(reference: Answers, candidate: Answers, name: str) -> Float[np.ndarray, "..."]:
    expected, found = reference[name], candidate[name]
    if expected.shape != found.shape:
        raise BundleError(
            f"one network gives {name} of shape {list(found.shape)}, the reference "
            f"{list(expected.shape)}; compare networks of one contract"
        )
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return np.where(np.isnan(apart), np.inf, apart)
