"""Unit shapes that scenes are built from, and one placed, coloured instance of a shape."""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, Float64

from train.synth.appearance import Linear

GROUND_M: Final = 8.0
Shape: TypeAlias = Literal["cube", "cylinder", "helmet", "cap"]


class Finish(IntEnum):
    """How a surface is textured; the numbers are the shader's."""

    PLAIN = 0
    TILES = 1
    BRUSHED = 2
    HAZARD = 3
    SPECKLED = 4
    CONCRETE = 5
    GLOWING = 6
    CATCHER = 7
    """Shows the backdrop, darkened where a shadow falls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One instance of a unit shape in the world."""

    shape: Shape = "cube"
    world_from_shape: Float64[np.ndarray, "3 4"]
    """Includes the size along each axis."""
    colour: Linear
    finish: Finish = Finish.PLAIN
    roughness: float = 0.8
    texture_scale: float = 1.0
    person: int = 0
    """Number of the person who wears it; 0 for things that hide people."""
    part: int = 0

    @property
    def is_ground(self) -> bool:
        """Tell floors and long walls, which receive shadows, from things that cast them."""
        return float(np.linalg.norm(self.world_from_shape[:, :3], axis=0).max()) > GROUND_M


def placed(
    turn: Float64[np.ndarray, "3 3"],
    centre_m: Float64[np.ndarray, "3"],
    size_m: Float64[np.ndarray, "3"],
) -> Float64[np.ndarray, "3 4"]:
    """Scale a unit shape, turn it, and put its centre somewhere."""
    return np.hstack([turn * size_m, centre_m[:, None]])


def raised(height_m: float) -> Float64[np.ndarray, "3"]:
    """Point straight up."""
    return np.array([0.0, 0.0, height_m])


def turned(angle_rad: float) -> Float64[np.ndarray, "3 3"]:
    """Rotation about the vertical."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def cube() -> Float32[np.ndarray, "corners 6"]:
    """Triangles of a cube of side 1: position and normal per corner."""
    rows = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            side = np.roll(normal, 1)
            up = np.cross(normal, side)
            square = [
                (normal + x * side + y * up) / 2 for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            rows += [np.hstack([square[corner], normal]) for corner in (0, 1, 2, 0, 2, 3)]
    return np.array(rows, np.float32)


def turned_profile(
    profile: list[tuple[float, float]],
    *,
    segments: int,
) -> Float32[np.ndarray, "corners 6"]:
    """Revolve a profile of (radius, height) about the vertical axis."""
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    rows = []
    for (low_radius, low), (high_radius, high) in pairwise(profile):
        slope = np.array([high - low, low_radius - high_radius])
        slope = slope / max(float(np.linalg.norm(slope)), 1e-9)
        for start, end in pairwise(angles.tolist()):
            quad = [
                [
                    r * np.cos(a),
                    r * np.sin(a),
                    z,
                    slope[0] * np.cos(a),
                    slope[0] * np.sin(a),
                    slope[1],
                ]
                for r, z, a in (
                    (low_radius, low, start),
                    (low_radius, low, end),
                    (high_radius, high, end),
                    (high_radius, high, start),
                )
            ]
            rows += [quad[corner] for corner in (0, 1, 2, 0, 2, 3)]
    return np.array(rows, np.float32)


def _dome() -> list[tuple[float, float]]:
    arc = np.linspace(0.06, np.pi / 2, 10)
    return [
        (1.02, 0.0),
        (1.03, 0.06),
        *zip(np.cos(arc).tolist(), np.sin(arc).tolist(), strict=True),
    ]


def _cap() -> Float32[np.ndarray, "corners 6"]:
    peak = cube()
    peak[:, :3] = peak[:, :3] * [1.1, 0.75, 0.05] + [0, -1.25, 0.05]
    return np.vstack([turned_profile(_dome(), segments=24), peak])


SHAPES: Final[dict[Shape, Float32[np.ndarray, "corners 6"]]] = {
    "cube": cube(),
    "cylinder": turned_profile([(0.0, -0.5), (0.5, -0.5), (0.5, 0.5), (0.0, 0.5)], segments=20),
    "helmet": np.vstack(
        [
            turned_profile(_dome(), segments=30),
            turned_profile([(1.0, 0.04), (1.14, 0.0), (1.13, -0.03), (1.0, 0.0)], segments=30),
        ],
    ),
    "cap": _cap(),
}
