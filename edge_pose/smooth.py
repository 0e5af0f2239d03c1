"""One person's joints without jitter and with little lag: One-Euro filters on the true time.

Each person owns a `PoseFilter`; when the person is gone, so is the filter. Formulas: G. Casiez, N.
Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.clock import NS_PER_S

_LONGEST_GAP_S: Final = 0.5
"""After a longer pause the past says nothing about the present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEuroSettings:
    """Cut-off = `min_cutoff_hz` + `beta` * speed, with speeds in metres a second."""

    min_cutoff_hz: float
    beta: float
    derivative_cutoff_hz: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothSettings:
    """How strongly each part of a pose is smoothed."""

    joints: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=2.0, beta=4.0)
    )
    direction: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=2.0, beta=4.0)
    )
    """The pelvis across the view."""
    depth: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=0.5, beta=1.0)
    )
    """The pelvis along the view, where one camera knows least."""
    pixels: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=3.0, beta=6.0)
    )


@dataclass(slots=True)
class OneEuro:
    """A filter of points, each with one cut-off for its axes, so turning them changes nothing."""

    settings: OneEuroSettings
    _value: Float64[np.ndarray, "points axes"] | None = field(default=None, init=False)
    _slope: Float64[np.ndarray, "points axes"] | None = field(default=None, init=False)
    _at_ns: int = field(default=0, init=False)

    def step(
        self,
        values: Float64[np.ndarray, "points axes"],
        at_ns: int,
        *,
        metres_per_unit: float = 1.0,
    ) -> Float64[np.ndarray, "points axes"]:
        """Filter one moment's values; the first, and any after a long or backward jump, pass."""
        elapsed_s = (at_ns - self._at_ns) / NS_PER_S
        if self._value is None or self._slope is None or not 0.0 <= elapsed_s <= _LONGEST_GAP_S:
            self._value, self._slope = values.copy(), np.zeros_like(values)
        elif elapsed_s > 0.0:
            slope = (values - self._value) / elapsed_s
            settings = self.settings
            self._slope = self._slope + _share(settings.derivative_cutoff_hz, elapsed_s) * (
                slope - self._slope
            )
            speed = np.sqrt(np.square(self._slope).sum(axis=1, keepdims=True)) * metres_per_unit
            cutoff_hz = settings.min_cutoff_hz + settings.beta * speed
            self._value = self._value + _share(cutoff_hz, elapsed_s) * (values - self._value)
        self._at_ns = at_ns
        return self._value


class PoseFilter:
    """The filters of one person: pelvis across and along the view, joints about it, and pixels."""

    def __init__(self, settings: SmoothSettings) -> None:
        """Start without a past."""
        self._joints = OneEuro(settings.joints)
        self._direction = OneEuro(settings.direction)
        self._depth = OneEuro(settings.depth)
        self._pixels = OneEuro(settings.pixels)

    def place(self, root_m: Float64[np.ndarray, "3"], at_ns: int) -> Float64[np.ndarray, "3"]:
        """Filter the pelvis: its ray, and its depth's logarithm, as noise grows with depth."""
        depth_m = float(root_m[2])
        ray = self._direction.step(root_m[None, :2] / depth_m, at_ns, metres_per_unit=depth_m)[0]
        log_depth = self._depth.step(
            np.array([[math.log(depth_m)]]), at_ns, metres_per_unit=depth_m
        )
        smooth_m = math.exp(float(log_depth[0, 0]))
        return np.array([ray[0] * smooth_m, ray[1] * smooth_m, smooth_m])

    def shape(
        self, joints_m: Float32[np.ndarray, "joints 3"], at_ns: int
    ) -> Float64[np.ndarray, "joints 3"]:
        """Filter the joints relative to the pelvis."""
        return self._joints.step(joints_m.astype(np.float64), at_ns)

    def pixels(
        self, joints_px: Float32[np.ndarray, "joints 2"], at_ns: int, *, metres_per_px: float
    ) -> Float32[np.ndarray, "joints 2"]:
        """Filter the joints in the picture; a pixel counts as what it covers at their distance."""
        smooth = self._pixels.step(
            joints_px.astype(np.float64), at_ns, metres_per_unit=metres_per_px
        )
        return smooth.astype(np.float32)


def _share(
    cutoff_hz: float | Float64[np.ndarray, "points 1"], elapsed_s: float
) -> float | Float64[np.ndarray, "points 1"]:
    """Return the share of the new value: 1 / (1 + tau / dt), tau = 1 / (2 pi f)."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff_hz * elapsed_s))
