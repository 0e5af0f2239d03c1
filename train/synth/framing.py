"""Where cameras stand: close to one person, or high up over a hall.

A close view is a square cut from the picture of a wide camera, as the appliance cuts it: the person
is seen as that camera sees them, off its axis or not, near or far, and the window may cut parts of
the person off.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from edge_pose.errors import ConfigError
from train.synth.camera import Camera, centred_matrix, look_at, project, to_camera, window
from train.synth.site import Site

WIDE_PX: Final = (1280, 960)
LEAST_DEPTH_M: Final = 0.25
MARGIN: Final = (1.25, 2.2)
TRUNCATED_SHARE: Final = 0.22
HALL_DISTANCE_M: Final = (1.8, 14.0)
PERSONAL_SPACE_M: Final = 0.6
PATIENCE: Final = 0.99
"""What is left of the personal space after every try to place somebody."""
_PLACES_TRIED: Final = 2000
"""By then nobody keeps any space; whoever is not placed is not seen by this camera."""
_CAMERAS_TRIED: Final = 50
_ROOM_M: Final = 0.9
"""About a close camera; less where cameras are mounted nearer to people than that."""
_NEARER_M: Final = 0.2


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
    room_m = min(_ROOM_M, site.close_distance_m[0] - _NEARER_M)
    while True:
        azimuth = rng.uniform(-np.pi, np.pi)
        distance_m = log_uniform(rng, *site.close_distance_m)
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
                roll_rad=roll_rad(rng, site),
            ),
            width_px=WIDE_PX[0],
            height_px=WIDE_PX[1],
        )
        points_m = to_camera(wide, focus_m)
        clear = np.linalg.norm(keep_clear_m - position_m, axis=1) > room_m
        if points_m[:, 2].min() > LEAST_DEPTH_M and clear.all():
            break
    return _cut(rng, wide, points_m, size_px)


def roll_rad(rng: np.random.Generator, site: Site) -> float:
    """Draw how far a camera of the site is turned about its own axis."""
    return float(np.radians(site.roll_middle_deg + rng.uniform(-1, 1) * site.roll_deg))


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


def hall_view(
    rng: np.random.Generator,
    site: Site,
    people: int,
    *,
    width_px: int,
    height_px: int,
) -> tuple[Camera, Float64[np.ndarray, "people 2"]]:
    """Hang a camera over a hall, and find places on the floor where it sees so many people.

    Raises:
        ConfigError: the site's cameras look past everybody who stands on the floor.

    """
    for _ in range(_CAMERAS_TRIED):
        camera = hall_camera(rng, site, width_px=width_px, height_px=height_px)
        places_m = places_in_view(rng, camera, people)
        if places_m is not None:
            return camera, places_m
    low_m, high_m = site.hall_height_m
    least_deg, most_deg = site.hall_pitch_deg
    raise ConfigError(
        f"No camera {low_m:g} to {high_m:g} m above the floor that looks {least_deg:g} to "
        f"{most_deg:g} degrees below the horizon sees anybody who stands there; {_CAMERAS_TRIED} "
        "were tried. Name ranges of --camera-height and --camera-pitch that belong together."
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
            roll_rad=roll_rad(rng, site),
        ),
        width_px=width_px,
        height_px=height_px,
    )


def places_in_view(
    rng: np.random.Generator,
    camera: Camera,
    count: int,
) -> Float64[np.ndarray, "people 2"] | None:
    """Find points on the floor where people would be seen and keep out of each other's way.

    A narrow view may hold nobody else at that distance; so with every try they stand closer.
    None where the camera sees too little of the floor.
    """
    places: list[Float64[np.ndarray, 2]] = []
    space_m = PERSONAL_SPACE_M
    size_px = np.array([camera.width_px, camera.height_px])
    for _ in range(_PLACES_TRIED):
        if len(places) == count:
            return np.array(places).reshape(-1, 2)
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
    return None
