"""One camera's mounting with an honest interval, or one sentence why there is none.

In: sightings of one fixed camera.  Out: `Estimate`.

An interval holds two kinds of doubt.  The chance of who was seen: blocks of successive pictures are
drawn again with replacement, since one person fills many pictures.  And what no picture tells: how
tall the people of this line are in the mean, at which heights the network puts its joints, and
whether all lean one way because they face one machine.  Each replicate believes something else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from tqdm import tqdm

from edge_pose.errors import SourceError
from train.mounting.fit import Fit, fit_mount, mount_numbers, spread_of, standing_shares
from train.mounting.geometry import PROPORTIONS, STATURE_M, Body, Standing, place_people
from train.mounting.sightings import Sightings
from train.mounting.standing import find_standing

LEAST_PEOPLE: Final = 40
_LEAST_SPREAD: Final = 1.25
"""Of distances: the ninth tenth over the first."""
_BLOCKS: Final = 50
_MEAN_STATURE_SD_M: Final = 0.05
"""Of the people of one line; of a single person it would be 0.09."""
_SHARE_SD: Final = 0.02
"""Of each landmark's height over that of the head, in the mean of a camera.  This and the next are
as large as it takes to hold the errors on 14 rendered cameras, other than those of the log.
"""
_COMMON_LEAN_SD_RAD: Final = 0.02
"""Heads are 6 cm before the ankles, which does not cancel out where everybody faces one machine;
and bodies seen steeply from above are drawn too upright in the picture.
"""
_MOVED: Final = 30.0
"""Squared distance between two parts of the pictures in their deviations; 4 would be usual."""
_DOUBLE: Final = 2.0
"""Deviations of parts are believed half: people are not independent, nor quite as modelled."""
_WIDEST_DEG: Final = (30.0, 80.0)
"""Intervals of pitch and field of view that tell nothing."""
NAMES: Final = ("height_m", "pitch_deg", "roll_deg", "field_of_view_deg")

Four = Float64[np.ndarray, "4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One camera: height m, pitch, roll and field of view in degrees, in the order of `NAMES`."""

    source: str
    pictures: int
    seen: int
    """People in all pictures together."""
    standing: int
    """Of them, upright and whole in the picture."""
    value: Four
    low: Four
    """Lower end of the 95 % interval; likewise the next."""
    high: Four


def estimate_mounting(
    seen: Sightings,
    source: str,
    *,
    stature_m: float = STATURE_M,
    replicates: int = 100,
    seed: int = 0,
) -> Estimate:
    """Estimate how one camera hangs.

    Args:
        seen: everybody in its pictures.
        source: what to call it in messages.
        stature_m: mean of the people there, in shoes or not: it is known to 5 cm at best.
        replicates: fits that the interval is taken from.
        seed: of what is drawn for them.

    Raises:
        SourceError: too few people stand, all at one distance, the camera moved, or the interval is
            so wide that it tells nothing.

    """
    people = find_standing(seen)
    if len(people) < LEAST_PEOPLE:
        raise SourceError(
            f"{source} shows {len(people)} people who stand upright and whole in {seen.pictures} "
            f"pictures, and {LEAST_PEOPLE} are needed to tell how it hangs; give more pictures"
        )
    fit = fit_mount(people, Body(stature_m=stature_m))
    _check_distances(fit, people, source)
    spread = spread_of(fit, people)
    _check_moved(fit, people, spread, source)
    drawn = _replicates(fit, people, spread, replicates, np.random.default_rng(seed))
    deviations = 1.96 * drawn.std(axis=0, ddof=1)
    middle = mount_numbers(fit.mount)
    low, value, high = (_readable(middle + side * deviations) for side in (-1, 0, 1))
    widths = (high - low)[[1, 3]]
    if (widths > _WIDEST_DEG).any():
        raise SourceError(
            f"the people in {source} leave {widths[0]:.0f} degrees of pitch and {widths[1]:.0f} of "
            "field of view open; give pictures in which more people stand, near and far"
        )
    return Estimate(
        source=source,
        pictures=seen.pictures,
        seen=len(seen.frame),
        standing=len(people),
        value=value,
        low=low,
        high=high,
    )


def _replicates(
    fit: Fit,
    people: Standing,
    spread: Float64[np.ndarray, "7 7"],
    count: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "replicates 4"]:
    block = _blocks(people, _BLOCKS)
    number = int(block.max()) + 1
    found = []
    for _ in tqdm(range(count), unit="fit", leave=False):
        times = np.bincount(rng.integers(number, size=number), minlength=number)
        believed = Body(
            proportions=PROPORTIONS + _SHARE_SD * rng.standard_normal(len(PROPORTIONS)),
            stature_m=fit.body.stature_m + _MEAN_STATURE_SD_M * rng.standard_normal(),
            lean_rad=_COMMON_LEAN_SD_RAD * rng.standard_normal(2),
        )
        weights = times[block].astype(np.float64)
        again = fit_mount(people, believed, begin=fit, weights=weights, scales=spread)
        found.append(mount_numbers(again.mount))
    return np.array(found)


def _blocks(people: Standing, most: int) -> np.ndarray:
    """Divide the pictures into stretches; return the number of everybody's, [people] int."""
    rank = np.unique(people.frame, return_inverse=True)[1]
    return np.asarray(rank * min(most, int(rank.max()) + 1) // (int(rank.max()) + 1))


def _check_distances(fit: Fit, people: Standing, source: str) -> None:
    placed = place_people(fit.mount, people, fit.body)
    standing = standing_shares(fit, people) > 0.5
    if standing.sum() < LEAST_PEOPLE:
        raise SourceError(
            f"only {standing.sum()} people in {source} look as if they stood on one floor, and "
            f"{LEAST_PEOPLE} are needed to tell how the camera hangs; give more pictures"
        )
    distances_m = np.hypot(np.linalg.norm(placed.feet_m[standing], axis=1), fit.mount.height_m)
    near_m, far_m = np.percentile(distances_m, [10, 90])
    if far_m < _LEAST_SPREAD * near_m:
        raise SourceError(
            f"nearly everybody in {source} stands at one distance ({far_m / near_m:.2f} times from "
            f"near to far, wanted {_LEAST_SPREAD}), which does not tell a near wide lens from a "
            "far narrow one; give pictures in which people also stand nearer or farther"
        )


def _check_moved(
    fit: Fit, people: Standing, spread: Float64[np.ndarray, "7 7"], source: str
) -> None:
    """Compare the first half of the people with the second; each half is looked at afresh.

    Begun at the common camera, the fewer would all be outliers and say nothing.
    """
    half = np.median(people.frame)
    parts = [people.some(people.frame < half), people.some(people.frame >= half)]
    if min(map(len, parts)) < LEAST_PEOPLE // 2:
        return
    one, other = (fit_mount(part, fit.body) for part in parts)
    apart = mount_numbers(one.mount) - mount_numbers(other.mount)
    allowed = (spread @ spread.T)[:4, :4] * _DOUBLE**2 * sum(len(people) / len(p) for p in parts)
    if apart @ np.linalg.solve(allowed, apart) > _MOVED:
        pitch, roll = np.degrees(np.abs(apart[1:3]))
        raise SourceError(
            f"the camera of {source} seems to have moved: between the first and the second half of "
            f"its people pitch differs by {pitch:.0f} and roll by {roll:.0f} degrees; give each "
            "position as a source of its own"
        )


def _readable(numbers: Four) -> Four:
    return np.array([np.exp(numbers[0]), *np.degrees(numbers[1:])])
