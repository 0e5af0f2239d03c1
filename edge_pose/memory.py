"""Who left, where, and what they wore: so that whoever comes back gets their number back.

In: people who left, and later somebody who enters.  Out: the number of the one who left nearest to
there, unless they look different.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.appearance import Appearance, alikeness
from edge_pose.clock import NS_PER_S

LONGEST_FORECAST_S: Final = 0.5
"""Nobody keeps their velocity for longer."""
STRANGER: Final = 0.7
"""Appearances less alike than this are two people's: the same cloth in three quarters of the light
is 0.83 or more.
"""
_LEAST_SPEED: Final = 0.25
"""Body lengths a second: what moves less stands, and its box trembles."""
_MOST_MEMORIES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """All that is kept of somebody who was here."""

    number: int | None
    """None for somebody who was never confirmed."""
    box_px: Float32[np.ndarray, "4"]
    velocity_px_s: Float64[np.ndarray, "2"]
    appearance: Appearance | None
    left_ns: int
    over_rim: bool
    """Walked out of the picture, instead of behind something in it."""


class Memory:
    """The last people who left, for a while."""

    def __init__(self, *, remember_s: float, reach: float) -> None:
        """Start with nobody; `reach` as in `TrackSettings`."""
        self._remember_s = remember_s
        self._reach = reach
        self._departures: list[Departure] = []

    def __len__(self) -> int:
        """Count who is remembered."""
        return len(self._departures)

    def keep(self, departure: Departure) -> None:
        """Remember one more; the oldest goes when there are very many."""
        self._departures = [*self._departures, departure][-_MOST_MEMORIES:]

    def forget(self, at_ns: int) -> None:
        """Let go of those who left too long ago."""
        self._departures = [
            departure
            for departure in self._departures
            if seconds(departure.left_ns, at_ns) <= self._remember_s
        ]

    def clear(self) -> None:
        """Forget everybody."""
        self._departures = []

    def rescale(self, scale: Float64[np.ndarray, "2"]) -> None:
        """Carry everybody over to a new frame size."""
        self._departures = [
            replace(
                departure,
                box_px=(departure.box_px * np.tile(scale, 2)).astype(np.float32),
                velocity_px_s=departure.velocity_px_s * scale,
            )
            for departure in self._departures
        ]

    def recall(
        self, box_px: Float32[np.ndarray, "4"], appearance: Appearance | None, at_ns: int
    ) -> int | None:
        """Take back the number of whoever left nearest to here and looks no different."""
        near = self._nearness(box_px, appearance, at_ns)
        if not near or min(near) >= 1.0:
            return None
        return self._departures.pop(int(np.argmin(near))).number

    def depends_on_looks(self, box_px: Float32[np.ndarray, "4"], at_ns: int) -> bool:
        """Tell whether somebody left near here who would be known by what they wear."""
        return any(
            near < 1.0 and departure.appearance is not None
            for near, departure in zip(
                self._nearness(box_px, None, at_ns), self._departures, strict=True
            )
        )

    def _nearness(
        self, box_px: Float32[np.ndarray, "4"], appearance: Appearance | None, at_ns: int
    ) -> list[float]:
        return [
            nearness(departure, box_px, appearance, at_ns, reach=self._reach)
            for departure in self._departures
        ]


def nearness(
    departure: Departure,
    box_px: Float32[np.ndarray, "4"],
    appearance: Appearance | None,
    at_ns: int,
    *,
    reach: float,
) -> float:
    """Distance from the place left, or from where the way led on; below 1 is near.

    Whoever hides may come out elsewhere the later they do.  Whoever walked over the picture's rim
    comes back over it, where they left.  Infinite for somebody who looks different, and for whoever
    was still here at that time.
    """
    if departure.left_ns > at_ns:
        return math.inf
    if (
        departure.appearance is not None
        and appearance is not None
        and alikeness(departure.appearance, appearance) < STRANGER
    ):
        return math.inf
    left_length_px, length_px = _length(departure.box_px), _length(box_px)
    place = (departure.box_px[:2] + departure.box_px[2:]) / 2.0
    here = (box_px[:2] + box_px[2:]) / 2.0
    away_px = float(np.linalg.norm(here - place))
    if departure.over_rim:
        reach_px = reach * math.sqrt(left_length_px * length_px)
    else:
        away_s = seconds(departure.left_ns, at_ns)
        reach_px = reach * (1.0 + 0.5 * away_s) * max(left_length_px, length_px)
        onward = place + departure.velocity_px_s * min(away_s, 2.0 * LONGEST_FORECAST_S)
        away_px = min(away_px, float(np.linalg.norm(here - onward)))
    return away_px / max(reach_px, 1e-6)


def seconds(from_ns: int, to_ns: int) -> float:
    """Time between two stamps; none when it runs backwards."""
    return max(to_ns - from_ns, 0) / NS_PER_S


def leaves(
    box_px: Float32[np.ndarray, "4"],
    velocity_px_s: Float64[np.ndarray, "2"],
    frame_size_px: tuple[int, int],
) -> bool:
    """Tell whether somebody is about to walk over a rim of the picture."""
    least_px_s = _LEAST_SPEED * _length(box_px)
    soon_px = box_px + np.tile(velocity_px_s * LONGEST_FORECAST_S, 2)
    low = (velocity_px_s < -least_px_s) & (soon_px[:2] < 0.0)
    high = (velocity_px_s > least_px_s) & (soon_px[2:] > np.array(frame_size_px) - 1.0)
    return bool((low | high).any())


def _length(box_px: Float32[np.ndarray, "4"]) -> float:
    return float(max(box_px[2] - box_px[0], box_px[3] - box_px[1]))
