"""One fixed camera over a floor on which people stand: what it would see, and how far off that is.

In: a camera (height, pitch, roll, field of view) and landmarks of people in its picture.  Out: for
each person where they stand, how tall they are and how they lean, in closed form, and what is left.

A person is a line from the ankles up.  Landmark k lies at the share c_k of the height H of the top
of the head, at (x, y, 0) + c_k (g_x, g_y, H): linear in (x, y, H, g_x, g_y), also as a pixel after
multiplying by the depth.  So a few weighted linear problems of five unknowns give everybody's place
for a given camera, and only the camera's four numbers are left to search (after Krahnstoever and
Mendonça 2005, Lv, Zhao and Nevatia 2006, who use feet and heads; stature and lean as random effects
and the landmarks between are ours).
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float64

from train.synth.camera import Camera, centred_matrix, look_at

ANKLES, KNEES, HIPS, SHOULDERS, HEAD = range(5)
"""The landmarks: middles of left and right, and the top of the head."""
PROPORTIONS: Final = (0.060, 0.290, 0.513, 0.811, 1.0)
"""Heights of the landmarks over that of the top of the head, by our skeleton's definitions: medians
of 134 rendered bodies that stand with straight knees; they vary by 0.013 to 0.02 between bodies.
"""
HEAD_TOP_OVER_STATURE: Final = 0.996
STATURE_M: Final = 1.70
STATURE_SD_M: Final = 0.09
"""Between people."""
LEAN_SD_RAD: Final = 0.05
"""Of somebody who stands, about each level axis; half of those measured lean by less than 3.5°."""
_LEAST_DEPTH_M: Final = 0.3
_PASSES: Final = 3
_TRACE: Final = 1e-6
"""Of a belief about the place, so that somebody on the horizon is no division by zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """How a camera hangs, and its lens: principal point in the middle, straight lines straight."""

    height_m: float
    """Of the optical centre above the floor."""
    pitch_rad: float
    """Below the horizon."""
    roll_rad: float
    """Where it is positive, what is level runs down to the right in the picture."""
    field_of_view_rad: float
    """Across the wider side of the picture."""

    def camera(self, width_px: int, height_px: int) -> Camera:
        """Hang the camera over the origin of a floor, looking along +y."""
        position_m = np.array([0.0, 0.0, self.height_m])
        forward = np.array([0.0, np.cos(self.pitch_rad), -np.sin(self.pitch_rad)])
        return Camera(
            matrix=centred_matrix(width_px, height_px, field_of_view_rad=self.field_of_view_rad),
            camera_from_world=look_at(position_m, position_m + forward, roll_rad=self.roll_rad),
            width_px=width_px,
            height_px=height_px,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is believed about people before any is seen."""

    proportions: Float64[np.ndarray, "landmarks"] = field(
        default_factory=lambda: np.array(PROPORTIONS)
    )
    stature_m: float = STATURE_M
    lean_rad: Float64[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    """In the mean of everybody: to the camera's right, and away from it."""
    stature_sd_m: float = STATURE_SD_M
    lean_sd_rad: float = LEAN_SD_RAD
    blur: float = 1.0
    """How much farther off landmarks are than the network thinks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Landmarks of upright people in the pictures of one camera."""

    landmarks_px: Float64[np.ndarray, "people landmarks 2"]
    sd_px: Float64[np.ndarray, "people landmarks"]
    """How far off each may be; large where the network is unsure."""
    frame: Float64[np.ndarray, "people"]
    """Number of the picture, in the order of the source."""
    width_px: int
    height_px: int

    def __len__(self) -> int:
        """Count the people, everybody as often as they were seen."""
        return len(self.landmarks_px)

    def some(self, which: np.ndarray) -> "Standing":
        """Return those people, by mask or by number; a number may come twice."""
        return Standing(
            landmarks_px=self.landmarks_px[which],
            sd_px=self.sd_px[which],
            frame=self.frame[which],
            width_px=self.width_px,
            height_px=self.height_px,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """People under a camera."""

    feet_m: Float64[np.ndarray, "people 2"]
    """On the floor; the camera hangs over the origin and looks along the second axis."""
    head_m: Float64[np.ndarray, "people"]
    """Height of the top of the head."""
    surprise: Float64[np.ndarray, "people"]
    """Minus the logarithm of how likely it is that somebody who stands is seen so, with all places,
    statures and leans taken together.  Not of the best alone: under that the best camera is one
    from above, where any lean will do.
    """


def place_people(mount: Mount, people: Standing, body: Body) -> Placed:
    """Put everybody where this camera sees them best explained."""
    camera = mount.camera(people.width_px, people.height_px)
    rotation = camera.camera_from_world[:3, :3]
    focal_px = camera.matrix[0, 0]
    rays = (people.landmarks_px - camera.matrix[:2, 2]) / focal_px
    sd = people.sd_px * (body.blur / focal_px)
    shares = body.proportions
    # Each pixel says (r_row - ray * r_depth) · (X - C) = 0 in units of the depth; X is linear.
    toward = rotation[:2] - rays[..., None] * rotation[2]
    rows = np.empty((*rays.shape, 5))
    rows[..., :2] = toward[..., :2]
    rows[..., 2] = shares[:, None] * toward[..., 2]
    rows[..., 3:] = shares[:, None, None] * toward[..., :2]
    wanted = toward[..., 2] * mount.height_m
    expected, deviations = _beliefs(body)
    prior = np.array([_TRACE, _TRACE, *deviations**-2])
    span = np.linalg.norm(rays[:, HEAD] - rays[:, ANKLES], axis=1)
    depth = np.repeat(expected[2] / np.maximum(span, 0.02)[:, None], len(shares), axis=1)
    for _ in range(_PASSES):
        scale = 1 / (sd * depth)[..., None]
        scaled = (rows * scale[..., None]).reshape(len(rays), -1, 5)
        target = (wanted * scale).reshape(len(rays), -1, 1)
        normal = scaled.mT @ scaled
        normal[:, range(5), range(5)] += prior
        right = (scaled.mT @ target)[..., 0] + prior * expected
        found = np.linalg.solve(normal, right[..., None])
        left = (scaled @ found - target)[..., 0]
        found = found[..., 0]
        points = _points(found, shares) - [0, 0, mount.height_m]
        depth = np.maximum(points @ rotation[2], _LEAST_DEPTH_M)
    squares = (left**2).sum(axis=1) + (((found - expected)[:, 2:] / deviations) ** 2).sum(axis=1)
    # Feet are anywhere in the picture, not anywhere on the floor, most of which is far away.
    at_feet = scaled[:, 2 * ANKLES : 2 * ANKLES + 2, :2]
    volumes = np.linalg.slogdet(normal)[1] - 2 * np.linalg.slogdet(at_feet)[1]
    volumes += 2 * np.log(deviations).sum() + 4 * (len(shares) - 1) * np.log(body.blur)
    return Placed(feet_m=found[:, :2], head_m=found[:, 2], surprise=(squares + volumes) / 2)


def _beliefs(body: Body) -> tuple[Float64[np.ndarray, "5"], Float64[np.ndarray, "3"]]:
    """Return what is expected of (x, y, H, g_x, g_y), and the deviations of the last three."""
    head_m = HEAD_TOP_OVER_STATURE * body.stature_m
    expected = np.array([0, 0, head_m, *(body.lean_rad * head_m)])
    lean_m = body.lean_sd_rad * head_m
    return expected, np.array([HEAD_TOP_OVER_STATURE * body.stature_sd_m, lean_m, lean_m])


def _points(
    found: Float64[np.ndarray, "people 5"], shares: Float64[np.ndarray, "landmarks"]
) -> Float64[np.ndarray, "people landmarks 3"]:
    feet = np.pad(found[:, None, :2], ((0, 0), (0, 0), (0, 1)))
    up = np.concatenate([found[:, 3:], found[:, 2:3]], axis=1)
    return feet + shares[:, None] * up[:, None]
