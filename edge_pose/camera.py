"""The camera's geometry: pixels to rays and back, one lens for every picture size.

In: a calibration file, a focal length, an angle of view, or nothing at all. Out: `Intrinsics` for
the size asked for.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.errors import ConfigError
from edge_pose.types import Intrinsics

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

IntrinsicsFor = Callable[[int, int], Intrinsics]
"""Width and height in pixels to the camera that takes pictures of that size."""

ASSUMED_ANGLE_DEG: Final = 60.0
"""Angle across the longer side of the picture when nobody says better.

A 2/3-inch industrial sensor (8.8 mm wide) behind an 8 mm lens sees 58 degrees; webcams and phones
are mostly a little wider. Depth grows with the focal length, so a 70-degree lens taken for 60 puts
people 21 % too far away, a 50-degree lens 19 % too near; therefore poses made this way are
published as assumed.
"""

_SAME_ASPECT: Final = 0.01
_REQUIRED: Final = ("fx", "fy", "cx", "cy", "width", "height")
_DISTORTION: Final = 5
_MOST: Final = 1e9


def from_focal(*, fx_px: float, width_px: int, height_px: int) -> Intrinsics:
    """Square pixels and the axis through the middle of the picture."""
    return _pinhole(fx_px, width_px, height_px, assumed=False)


def from_angle(*, hfov_deg: float, width_px: int, height_px: int) -> Intrinsics:
    """Build the camera from the angle between the left and the right edge of its picture."""
    return _pinhole(_focal(hfov_deg, width_px), width_px, height_px, assumed=False)


def assume(width_px: int, height_px: int) -> Intrinsics:
    """Guess a camera of which only the picture size is known."""
    focal_px = _focal(ASSUMED_ANGLE_DEG, max(width_px, height_px))
    return _pinhole(focal_px, width_px, height_px, assumed=True)


def scale_to(intrinsics: Intrinsics, width_px: int, height_px: int) -> Intrinsics:
    """Move a calibration to another picture size.

    Another aspect ratio means that the sensor was cut, and where is not known: a centred cut is
    taken, and the result counts as assumed.
    """
    if (width_px, height_px) == (intrinsics.width_px, intrinsics.height_px):
        return intrinsics
    across, down = width_px / intrinsics.width_px, height_px / intrinsics.height_px
    scale = max(across, down)
    same_aspect = abs(across / down - 1.0) <= _SAME_ASPECT
    if same_aspect:
        scale_x, scale_y = across, down
    else:
        scale_x = scale_y = scale
    matrix = intrinsics.matrix.copy()
    # The middle of the picture is at (width - 1) / 2 because pixel centres are at integers.
    old_middle = np.array([intrinsics.width_px - 1, intrinsics.height_px - 1]) / 2.0
    new_middle = np.array([width_px - 1, height_px - 1]) / 2.0
    matrix[:2, 2] = new_middle + (matrix[:2, 2] - old_middle) * (scale_x, scale_y)
    matrix[0, 0] *= scale_x
    matrix[1, 1] *= scale_y
    return Intrinsics(
        matrix=matrix,
        width_px=width_px,
        height_px=height_px,
        assumed=intrinsics.assumed or not same_aspect,
        distortion=intrinsics.distortion,
    )


def lens(
    *, calibration: Path | None = None, fx_px: float | None = None, hfov_deg: float | None = None
) -> IntrinsicsFor:
    """Choose how the camera is known; at most one of the three may be given."""
    given = [
        name
        for name, value in (("file", calibration), ("fx", fx_px), ("hfov", hfov_deg))
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigError(
            f"the camera's geometry is given {len(given)} times ({', '.join(given)}); keep one"
        )
    if calibration is not None:
        return partial(scale_to, read_calibration(calibration))
    if fx_px is not None:
        if not fx_px > 0 or not math.isfinite(fx_px):
            raise ConfigError(f"fx is {fx_px}, wanted a focal length in pixels above 0")
        return _FocalLength(fx_px)
    if hfov_deg is not None:
        if not 1.0 <= hfov_deg <= 170.0:  # noqa: PLR2004 a pinhole cannot see wider
            raise ConfigError(f"hfov is {hfov_deg}, wanted degrees between 1 and 170")
        return partial(_from_angle_at, hfov_deg)
    return assume


def read_calibration(path: Path) -> Intrinsics:
    """Read JSON or TOML with fx, fy, cx, cy, width, height and optionally a distortion.

    The distortion is a list of k1, k2, p1, p2, k3 as OpenCV's calibration gives it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"calibration {path} cannot be read: {error.strerror}; check its name"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"calibration {path} is not {path.suffix or 'TOML'}: {error}") from error
    return _from_table(table, path)


def project(
    points_m: Float64[np.ndarray, "*points 3"], intrinsics: Intrinsics
) -> Float64[np.ndarray, "*points 2"]:
    """Camera axes to picture pixels."""
    if intrinsics.distortion is not None:
        import cv2

        flat = points_m.reshape(-1, 1, 3)
        pixels, _ = cv2.projectPoints(
            flat, np.zeros(3), np.zeros(3), intrinsics.matrix, intrinsics.distortion
        )
        return np.asarray(pixels, np.float64).reshape(*points_m.shape[:-1], 2)
    rays = points_m[..., :2] / points_m[..., 2:]
    return _matrix_times(intrinsics.matrix, rays)


def rays(
    points_px: Float32[np.ndarray, "*points 2"] | Float64[np.ndarray, "*points 2"],
    intrinsics: Intrinsics,
) -> Float64[np.ndarray, "*points 2"]:
    """Where each pixel's ray meets the plane z = 1."""
    points = np.asarray(points_px, np.float64)
    if intrinsics.distortion is not None:
        import cv2

        flat = points.reshape(-1, 1, 2)
        straight = cv2.undistortPoints(flat, intrinsics.matrix, intrinsics.distortion)
        return np.asarray(straight, np.float64).reshape(points.shape)
    matrix = intrinsics.matrix
    y = (points[..., 1] - matrix[1, 2]) / matrix[1, 1]
    x = (points[..., 0] - matrix[0, 2] - matrix[0, 1] * y) / matrix[0, 0]
    return np.stack([x, y], axis=-1)


def backproject(
    points_px: Float32[np.ndarray, "*points 2"] | Float64[np.ndarray, "*points 2"],
    depths_m: Float64[np.ndarray, "*points"],
    intrinsics: Intrinsics,
) -> Float64[np.ndarray, "*points 3"]:
    """Picture pixels with depths to camera axes."""
    at_one = rays(points_px, intrinsics)
    return np.concatenate([at_one, np.ones((*at_one.shape[:-1], 1))], axis=-1) * depths_m[..., None]


def camera_from_ray(
    point_px: Float64[np.ndarray, "2"], intrinsics: Intrinsics
) -> Float64[np.ndarray, "3 3"]:
    """Return the smallest rotation that takes (0, 0, 1) to a pixel's ray (Rodrigues' formula)."""
    x, y = rays(point_px, intrinsics)
    x, y, z = np.array([x, y, 1.0]) / math.sqrt(x * x + y * y + 1.0)
    k = 1.0 / (1.0 + z)
    return np.array(
        [[1.0 - k * x * x, -k * x * y, x], [-k * x * y, 1.0 - k * y * y, y], [-x, -y, z]]
    )


@dataclass(slots=True)
class _FocalLength:
    """A focal length in pixels holds for the first picture size; later sizes are scaled from it."""

    fx_px: float
    first: Intrinsics | None = field(default=None, init=False)

    def __call__(self, width_px: int, height_px: int) -> Intrinsics:
        if self.first is None:
            self.first = from_focal(fx_px=self.fx_px, width_px=width_px, height_px=height_px)
        return scale_to(self.first, width_px, height_px)


def _from_angle_at(hfov_deg: float, width_px: int, height_px: int) -> Intrinsics:
    return from_angle(hfov_deg=hfov_deg, width_px=width_px, height_px=height_px)


def _focal(angle_deg: float, side_px: int) -> float:
    return side_px / 2.0 / math.tan(math.radians(angle_deg) / 2.0)


def _pinhole(focal_px: float, width_px: int, height_px: int, *, assumed: bool) -> Intrinsics:
    matrix = np.array(
        [[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]],
        np.float64,
    )
    return Intrinsics(matrix=matrix, width_px=width_px, height_px=height_px, assumed=assumed)


def _matrix_times(
    matrix: Float64[np.ndarray, "3 3"], at_one: Float64[np.ndarray, "*points 2"]
) -> Float64[np.ndarray, "*points 2"]:
    return at_one @ matrix[:2, :2].T + matrix[:2, 2]


def _from_table(table: object, path: Path) -> Intrinsics:
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"calibration {path} is {type(table).__name__}; wanted an object with "
            f"{', '.join(_REQUIRED)} and optionally distortion"
        )
    unknown = set(table) - {*_REQUIRED, "distortion"}
    missing = set(_REQUIRED) - set(table)
    if unknown or missing:
        raise ConfigError(
            f"calibration {path}: "
            + "; ".join(
                f"{word} {', '.join(sorted(names))}"
                for word, names in (("missing", missing), ("unknown", unknown))
                if names
            )
            + f"; wanted {', '.join(_REQUIRED)} and optionally distortion"
        )
    fx, fy, cx, cy, width, height = (_number(table, key, path) for key in _REQUIRED)
    if min(fx, fy, width, height) <= 0:
        raise ConfigError(f"calibration {path}: fx, fy, width and height must be above 0")
    return Intrinsics(
        matrix=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64),
        width_px=int(width),
        height_px=int(height),
        assumed=False,
        distortion=_distortion(table.get("distortion"), path),
    )


def _number(table: Mapping[str, object], key: str, path: Path) -> float:
    value = table[key]
    if not _is_number(value):
        raise ConfigError(f"calibration {path}: {key} is {value!r}, wanted a number in pixels")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    """Tell whether one can reckon with it; not a number is not within the limits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _MOST


def _distortion(value: object, path: Path) -> Float64[np.ndarray, "5"] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    if len(numbers) != _DISTORTION or not all(map(_is_number, numbers)):
        raise ConfigError(
            f"calibration {path}: distortion is {value!r}, wanted five numbers k1, k2, p1, p2, k3"
        )
    return np.array(numbers, np.float64)
