"""The camera that explains everybody best: landmarks in, height, pitch, roll and lens out.

Somebody who bends, kneels or was invented is an outlier as a whole, in a mixture with those who
stand.  How much people lean and differ, and how far off the network is, is found along the way.
The search begins on a grid of pitches and lenses, because a near wide lens and a far narrow one
nearly agree and a single beginning may end at the wrong one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize

from train.mounting.geometry import (
    LEAN_SD_RAD,
    STATURE_SD_M,
    Body,
    Mount,
    Standing,
    place_people,
)

_PITCHES_DEG: Final = (10.0, 30.0, 50.0, 70.0)
_FIELDS_OF_VIEW_DEG: Final = (50.0, 75.0, 100.0)
_HEIGHTS_M: Final = (2.5, 5.0)
_BEGINNINGS: Final = 2
"""How many of the grid are followed to the end."""
_EXPECTED: Final = np.array([0, 0, 0, np.radians(78), np.log(STATURE_SD_M), np.log(LEAN_SD_RAD), 0])
_DEVIATIONS: Final = np.array([np.inf, np.inf, np.inf, np.radians(25.0), 0.1, 0.15, 0.5])
"""Weak beliefs about the unknowns (`_numbers`); lenses of 35 to 120 degrees are not unusual."""
_BOUNDS: Final = (
    (np.log(0.5), np.log(40.0)),
    (np.radians(-10.0), np.radians(89.0)),
    (np.radians(-80.0), np.radians(80.0)),
    (np.radians(12.0), np.radians(150.0)),
    (np.log(0.03), np.log(0.2)),
    (np.log(0.01), np.log(0.2)),
    (np.log(0.1), np.log(6.0)),
)
_SCALES: Final = np.array([0.1, 0.05, 0.05, 0.1, 0.2, 0.2, 0.1])
_STEP: Final = 1e-4
OUTLIER: Final = 14.0
"""Surprise (`Placed`) from which on somebody rather does not stand."""

Numbers = Float64[np.ndarray, "7"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A camera, and what was found about its people beside it."""

    mount: Mount
    body: Body
    cost: float


def fit_mount(
    people: Standing,
    body: Body | None = None,
    *,
    begin: Fit | None = None,
    weights: Float64[np.ndarray, "people"] | None = None,
    scales: Float64[np.ndarray, "7 7"] | None = None,
) -> Fit:
    """Find the camera.

    Args:
        people: who stands, and where in the picture.
        body: what is believed about bodies.
        begin: where to look from; without it, everywhere.
        weights: how often everybody counts; once by default.
        scales: `spread_of` a similar fit, which makes the search short.

    Returns:
        The camera with the least robust sum of surprises that was found.

    """
    believed = body or Body()
    counts = np.ones(len(people)) if weights is None else weights

    def cost(numbers: Numbers) -> float:
        return _cost(numbers, people, believed, counts)

    if begin is not None:
        beginnings = [_numbers(begin)]
    else:
        grid = [
            np.array([np.log(height), np.radians(pitch), 0.0, np.radians(view), *_EXPECTED[4:]])
            for height, pitch, view in product(_HEIGHTS_M, _PITCHES_DEG, _FIELDS_OF_VIEW_DEG)
        ]
        few = [_search(cost, numbers, np.diag(_SCALES), most=5) for numbers in grid]
        beginnings = [numbers for _, numbers in sorted(few, key=lambda pair: pair[0])[:_BEGINNINGS]]
    spread = np.diag(_SCALES) if scales is None else scales
    ends = [_search(cost, numbers, spread, most=100) for numbers in beginnings]
    least, numbers = min(ends, key=lambda pair: pair[0])
    mount, found = _read(numbers, believed)
    return Fit(mount=mount, body=found, cost=least)


def spread_of(fit: Fit, people: Standing) -> Float64[np.ndarray, "7 7"]:
    """Return a root of the inverse of the cost's second derivatives: how far a search may step."""
    middle = _numbers(fit)
    steps = np.diag(_SCALES) * 0.2
    counts = np.ones(len(people))

    def cost(numbers: Numbers) -> float:
        return _cost(numbers, people, fit.body, counts)

    second = np.empty((7, 7))
    for i, a in enumerate(steps):
        for j, b in enumerate(steps[: i + 1]):
            corners = (cost(middle + a + b) - cost(middle + a - b) - cost(middle - a + b)) + cost(
                middle - a - b
            )
            second[i, j] = second[j, i] = corners / (4 * a[i] * b[j])
    values, vectors = np.linalg.eigh(second * np.outer(_SCALES, _SCALES))
    return _SCALES[:, None] * vectors / np.sqrt(np.maximum(values, 1.0))


def standing_shares(fit: Fit, people: Standing) -> Float64[np.ndarray, "people"]:
    """Return how likely it is that each of them stands, once the camera is known."""
    surprise = place_people(fit.mount, people, fit.body).surprise
    return 1 / (1 + np.exp(np.clip(surprise - OUTLIER, -50, 50)))


def _cost(
    numbers: Numbers, people: Standing, body: Body, counts: Float64[np.ndarray, "people"]
) -> float:
    mount, believed = _read(numbers, body)
    each = -np.logaddexp(-place_people(mount, people, believed).surprise, -OUTLIER)
    return float(counts @ each + (((numbers - _EXPECTED) / _DEVIATIONS) ** 2).sum() / 2)


def _search(
    cost: Callable[[Numbers], float],
    numbers: Numbers,
    spread: Float64[np.ndarray, "7 7"],
    *,
    most: int,
) -> tuple[float, Numbers]:
    """Step in directions in which the cost is as steep in one as in another."""

    def inside(steps: Numbers) -> Numbers:
        return np.clip(numbers + spread @ steps, *np.transpose(_BOUNDS))

    found = minimize(
        lambda steps: cost(inside(steps)),
        np.zeros(7),
        method="L-BFGS-B",
        options={"maxiter": most, "eps": _STEP, "ftol": 1e-7},
    )
    return float(found.fun), inside(found.x)


def mount_numbers(mount: Mount) -> Float64[np.ndarray, "4"]:
    """Return the logarithm of the height, pitch, roll and field of view: what is searched."""
    angles = (mount.pitch_rad, mount.roll_rad, mount.field_of_view_rad)
    return np.array([np.log(mount.height_m), *angles])


def _numbers(fit: Fit) -> Numbers:
    body = fit.body
    logarithms = np.log([body.stature_sd_m, body.lean_sd_rad, body.blur])
    return np.concatenate([mount_numbers(fit.mount), logarithms])


def _read(numbers: Numbers, body: Body) -> tuple[Mount, Body]:
    height, pitch, roll, view, stature, lean, blur = (float(number) for number in numbers)
    mount = Mount(
        height_m=float(np.exp(height)), pitch_rad=pitch, roll_rad=roll, field_of_view_rad=view
    )
    return mount, replace(
        body,
        stature_sd_m=float(np.exp(stature)),
        lean_sd_rad=float(np.exp(lean)),
        blur=float(np.exp(blur)),
    )
