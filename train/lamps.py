"""A lamp, the sun or a welding arc in the picture: a disc without detail, and its glow about it.

In: a picture.  Out: the same with up to three lights in it.  A round bright thing above something
upright is what a detector takes for a head and a body, by a window or in a hall full of posts.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

_MOST: Final = 3
_RADIUS: Final = (0.006, 0.06)
"""Of the picture's longer side."""
_GLOW_RADII: Final = (1.5, 5.0)
"""How far the glow reaches, in radii of the disc."""
_WARMEST_BGR: Final = np.array([0.35, 0.65, 1.0], np.float32)


def with_lamps(
    image: UInt8[np.ndarray, "height width 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Shine so many lights into the camera, at random places."""
    light = image.astype(np.float32)
    for _ in range(int(rng.integers(1, _MOST + 1))):
        light += _lamp(image.shape[:2], rng)
    return np.asarray(light.clip(0, 255), np.uint8)


def _lamp(
    shape: tuple[int, int], rng: np.random.Generator
) -> Float32[np.ndarray, "height width 3"]:
    """Draw one light alone: a white disc, a glow of its colour, at times a streak of the lens."""
    height, width = shape
    radius = max(height, width) * float(np.exp(rng.uniform(*np.log(_RADIUS))))
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    columns, rows = np.arange(width, dtype=np.float32) - x, np.arange(height, dtype=np.float32) - y
    away = np.hypot(columns[None], rows[:, None]) / radius
    disc = 255.0 * np.clip(2.0 - 1.6 * away, 0, 1)
    reach = rng.uniform(*_GLOW_RADII)
    glow = rng.uniform(60, 255) * np.exp(-0.5 * (away / reach) ** 2)
    if rng.random() < 0.3:
        turn = rng.uniform(0, np.pi)
        across = np.abs(columns[None] * np.sin(turn) - rows[:, None] * np.cos(turn)) / radius
        glow += rng.uniform(40, 160) * np.exp(-0.5 * (across / 0.4) ** 2 - away / (4 * reach))
    white = np.float32(rng.uniform(0, 1))
    tint = white + (1 - white) * (_WARMEST_BGR if rng.random() < 0.7 else _WARMEST_BGR[::-1])
    return np.asarray(disc[..., None] + glow[..., None] * tint, np.float32)
