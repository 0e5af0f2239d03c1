"""Light over a scene, from a dark hall over office lamps to the sun behind the person."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from train.synth.appearance import Linear
from train.synth.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One distant light that casts shadows, three lamps, sky and ground."""

    direction: Float64[np.ndarray, "3"]
    """From the scene towards the light, unit length."""
    colour: Linear
    sky: Linear
    ground: Linear
    lamp_positions_m: Float64[np.ndarray, "3 3"]
    lamp_colours: Float64[np.ndarray, "3 3"]
    exposure: float
    shadow_softness: float


def draw_light(
    rng: np.random.Generator,
    site: Site,
    *,
    at_m: Float64[np.ndarray, "3"],
    away: Float64[np.ndarray, "3"],
) -> Light:
    """Light the place around `at_m`; `away` points from the camera to it, level."""
    moods = np.array([site.low_light_share, 0.15, 0.15])
    dark, backlit, outdoors = rng.random() < np.cumsum(moods)
    outdoors, backlit = outdoors and not backlit, backlit and not dark
    turn = rng.uniform(-0.7, 0.7) if backlit else rng.uniform(-np.pi, np.pi)
    height = rng.uniform(0.15, 0.7) if backlit else rng.uniform(0.5, 1.4)
    azimuth = np.arctan2(away[1], away[0]) + turn
    level = np.cos(height)
    warmth = rng.uniform(-1, 1)
    ambient = (
        rng.uniform(0.02, 0.12)
        if dark
        else rng.uniform(0.4, 0.9)
        if outdoors
        else rng.uniform(0.15, 0.6)
    )
    strength = (
        rng.uniform(0.05, 0.5)
        if dark
        else rng.uniform(1.5, 3.5)
        if outdoors or backlit
        else rng.uniform(0.3, 2.2)
    )
    lamp = 0.4 if outdoors else 1.0
    offsets_m = np.stack([rng.uniform(-4, 4, 3), rng.uniform(-4, 4, 3), rng.uniform(2, 3.5, 3)], 1)
    return Light(
        direction=np.array([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(height)]),
        colour=np.array([1 + 0.18 * warmth, 1, 1 - 0.22 * warmth]) * strength,
        sky=np.array([1 - 0.08 * warmth, 1, 1 + 0.1 * warmth]) * ambient,
        ground=np.array([0.9, 0.85, 0.8]) * ambient * rng.uniform(0.3, 0.8),
        lamp_positions_m=offsets_m + at_m * [1, 1, 0],
        lamp_colours=np.clip(1 + 0.2 * rng.standard_normal((3, 3)), 0.3, 2)
        * rng.uniform(0, 2.5, (3, 1))
        * lamp,
        exposure=rng.uniform(0.7, 1.3),
        shadow_softness=rng.uniform(0.5, 4),
    )
