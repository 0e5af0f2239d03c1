"""Where cameras stand: close to one person, or high up over a hall.

A close view is a square cut from the picture of a wide camera, as the appliance cuts it: the person
is seen as that camera sees them, off its axis or not, near or far, and the window may cut parts of
the person off.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from train.synth.camera import Camera, centred_matrix, look_at, project, to_camera, window
from train.synth.site import Site

WIDE_PX: Final = (1280, 960)
LEAST_DEPTH_M: Final = 0.25
MARGIN: Final = (1.25, 2.2)
TRUNCATED_SHARE: Final = 0.22
CLOSE_DISTANCE_M: Final = (1.1, 7.0)
HALL_DISTANCE_M: Final = (1.8, 14.0)
PERSONAL_SPACE_M: Final = 0.6
PATIENCE: Final = 0.99
"""What is left of the personal space after every try to place somebody."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw so that every doubling is as likely as the next."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def close_camera(
    rng: np.random.Generator,
    site: Site,
    *,
    focus_m: Float[np.ndarray, "vertices 3"],
    size_px: int,
    keep_clear_m: Float64[np.ndarray, "people 3"],
) -> Camera:
    """Stand anywhere around the points in focus, and cut the window that shows them."""
    middle_m = ((focus_m.min(axis=0) + focus_m.max(axis=0)) / 2).astype(np.float64)
    while True:
        azimuth = rng.uniform(-np.pi, np.pi)
        distance_m = log_uniform(rng, *CLOSE_DISTANCE_M)
        field_of_view_rad = np.radians(rng.uniform(*site.field_of_view_deg))
        position_m = middle_m + distance_m * np.array([np.cos(azimuth), np.sin(azimuth), 0])
        position_m[2] = rng.uniform(*site.camera_height_m)
        reach_m = np.linalg.norm(middle_m - position_m) * np.tan(field_of_view_rad / 2)
        target_m = middle_m + rng.uniform(-0.45, 0.45, 3) * reach_m
        wide = Camera(
            matrix=centred_matrix(*WIDE_PX, field_of_view_rad=field_of_view_rad),
            camera_from_world=look_at(
                position_m,
                target_m,
                roll_rad=np.radians(rng.uniform(-1, 1) * site.roll_deg),
            ),
            width_px=WIDE_PX[0],
            height_px=WIDE_PX[1],
        )
        points_m = to_camera(wide, focus_m)
        clear = np.linalg.norm(keep_clear_m - position_m, axis=1) > 0.9
        if points_m[:, 2].min() > LEAST_DEPTH_M and clear.all():
            break
    return _cut(rng, wide, points_m, size_px)


def _cut(
    rng: np.random.Generator,
    wide: Camera,
    points_m: Float64[np.ndarray, "vertices 3"],
    size_px: int,
) -> Camera:
    points_px = project(wide, points_m)
    low_px, high_px = points_px.min(axis=0), points_px.max(axis=0)
    extent_px = float((high_px - low_px).max())
    side_px = extent_px * rng.uniform(*MARGIN)
    is_truncated = rng.random() < TRUNCATED_SHARE
    slack_px = 0.45 * extent_px if is_truncated else (side_px - extent_px) / 2
    return window(
        wide,
        centre_px=(low_px + high_px) / 2 + rng.uniform(-1, 1, 2) * slack_px,
        side_px=side_px,
        size_px=size_px,
    )


def hall_camera(rng: np.random.Generator, site: Site, *, width_px: int, height_px: int) -> Camera:
    """Look from the origin along +y, down onto the floor of a hall."""
    pitch_rad = np.radians(rng.uniform(*site.hall_pitch_deg))
    position_m = np.array([0, 0, rng.uniform(*site.hall_height_m)])
    forward = np.array([0, np.cos(pitch_rad), -np.sin(pitch_rad)])
    field_of_view_rad = np.radians(rng.uniform(*site.field_of_view_deg))
    return Camera(
        matrix=centred_matrix(width_px, height_px, field_of_view_rad=field_of_view_rad),
        camera_from_world=look_at(
            position_m,
            position_m + forward,
            roll_rad=np.radians(rng.uniform(-1, 1) * site.roll_deg),
        ),
        width_px=width_px,
        height_px=height_px,
    )


def places_in_view(
    rng: np.random.Generator,
    camera: Camera,
    count: int,
) -> Float64[np.ndarray, "people 2"]:
    """Find points on the floor where people would be seen and keep out of each other's way.

    A narrow view may hold nobody else at that distance; so with every try they stand closer.
    """
    places: list[Float64[np.ndarray, 2]] = []
    space_m = PERSONAL_SPACE_M
    size_px = np.array([camera.width_px, camera.height_px])
    while len(places) < count:
        distance_m = log_uniform(rng, *HALL_DISTANCE_M)
        bearing = rng.uniform(-0.9, 0.9)
        place_m = np.array([np.sin(bearing), np.cos(bearing)]) * distance_m
        chest_m = to_camera(camera, np.array([[*place_m, 1.1]]))
        if chest_m[0, 2] < 0.8:
            continue
        chest_px = project(camera, chest_m)[0]
        seen = bool(np.all(chest_px > 0) and np.all(chest_px < size_px))
        apart = all(np.linalg.norm(place_m - other) > space_m for other in places)
        if seen and apart:
            places.append(place_m)
        space_m *= PATIENCE
    return np.array(places).reshape(-1, 2)
