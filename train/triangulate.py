"""From what several calibrated cameras saw of one point to where it was.

In: pinhole cameras with radial-tangential distortion and one pixel position a camera.  Out: the
point in world metres, which cameras agree on it, by how many pixels they miss it, and how far it
may be off.  Pixel centres are at integers, camera axes are x right, y down, z forward.

The linear solution is the DLT of Hartley and Zisserman, *Multiple View Geometry*, 2nd ed., section
12.2, on undistorted rays; its rows are reweighted by depth over focal length (Hartley and Sturm
1997, "Triangulation", section 4), so that what it minimises is pixels.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float64

REWEIGHTINGS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A calibrated camera in a world shared with others."""

    matrix: Float64[np.ndarray, "3 3"]
    distortion: Float64[np.ndarray, "5"]
    """OpenCV's k1, k2, p1, p2, k3."""
    camera_from_world: Float64[np.ndarray, "3 4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Triangulated:
    """A point that at least the wanted number of cameras agree on."""

    point_m: Float64[np.ndarray, "3"]
    agreeing: Bool[np.ndarray, "views"]
    reprojection_px: Float64[np.ndarray, "views"]
    """How far each camera's own sighting is from the point's projection; NaN where it had none."""
    deviation_m: float
    """Standard deviation of the position for one pixel of noise in each agreeing camera."""


def in_camera(camera: Camera, points_m: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Express world points in the camera's axes."""
    turn, shift = camera.camera_from_world[:, :3], camera.camera_from_world[:, 3]
    return points_m @ turn.T + shift


def project(camera: Camera, points_m: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
    """Tell where the camera sees world points, distortion included."""
    pixels, _ = cv2.projectPoints(
        in_camera(camera, points_m), np.zeros(3), np.zeros(3), camera.matrix, camera.distortion
    )
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def ray_of(camera: Camera, pixel_px: Float64[np.ndarray, "2"]) -> Float64[np.ndarray, "2"]:
    """Undo lens and distortion: x/z and y/z of the ray through a pixel."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-10)
    ray = cv2.undistortPoints(
        pixel_px.reshape(1, 1, 2), camera.matrix, camera.distortion, criteria=criteria
    )
    return np.asarray(ray, np.float64).reshape(2)


def intersect(
    cameras: list[Camera], rays: Float64[np.ndarray, "views 2"]
) -> Float64[np.ndarray, "3"] | None:
    """Find the point that misses the rays by the fewest pixels; None if they do not meet."""
    matrices = np.stack([camera.camera_from_world for camera in cameras])
    focal_px = np.array([(camera.matrix[0, 0] + camera.matrix[1, 1]) / 2 for camera in cameras])
    rows = np.stack(
        [
            rays[:, :1] * matrices[:, 2] - matrices[:, 0],
            rays[:, 1:] * matrices[:, 2] - matrices[:, 1],
        ],
        axis=1,
    )
    weights = focal_px.copy()
    point = np.zeros(4)
    for _ in range(REWEIGHTINGS):
        _, _, axes = np.linalg.svd((rows * weights[:, None, None]).reshape(-1, 4))
        if abs(axes[-1, 3]) < np.finfo(np.float64).eps:
            return None
        point = axes[-1] / axes[-1, 3]
        depths_m = matrices[:, 2] @ point
        if np.any(depths_m <= 0):
            return None
        weights = focal_px / depths_m
    return np.asarray(point[:3])


def metres_per_px(
    cameras: list[Camera], point_m: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "views"]:
    """Tell how wide one pixel of each camera is at the point's depth."""
    return np.array(
        [
            2 * in_camera(camera, point_m[None])[0, 2] / (camera.matrix[0, 0] + camera.matrix[1, 1])
            for camera in cameras
        ]
    )


def deviation_of(cameras: list[Camera], point_m: Float64[np.ndarray, "3"]) -> float:
    """Propagate one pixel of independent noise in each camera to the position, in metres."""
    information = np.zeros((3, 3))
    for camera in cameras:
        x, y, z = in_camera(camera, point_m[None])[0]
        slopes = np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]])
        jacobian = camera.matrix[:2, :2] @ slopes @ camera.camera_from_world[:, :3]
        information += jacobian.T @ jacobian
    return float(np.sqrt(np.trace(np.linalg.inv(information))))


def triangulate(
    cameras: list[Camera],
    pixels_px: Float64[np.ndarray, "views 2"],
    *,
    gate_m: float,
    wanted_views: int = 3,
) -> Triangulated | None:
    """Find the point most cameras agree on within `gate_m`; None if below `wanted_views` do.

    NaN stands for a camera that did not see it.  Every pair of cameras proposes a point (with at
    most a handful of cameras all pairs are tried, nothing is drawn by chance); the proposal with
    the most agreeing cameras wins, then the one with the smaller error; it is fitted again to those
    that agree until they no longer change.
    """
    seen = np.flatnonzero(np.isfinite(pixels_px).all(axis=1))
    if len(seen) < wanted_views:
        return None
    rays = np.full_like(pixels_px, np.nan)
    for view in seen:
        rays[view] = ray_of(cameras[view], pixels_px[view])
    best: tuple[int, float, Triangulated] | None = None
    for pair in combinations(seen, 2):
        chosen = np.isin(np.arange(len(cameras)), pair)
        fitted = _settle(cameras, pixels_px, rays, chosen, gate_m)
        if fitted is None or fitted.agreeing.sum() < wanted_views:
            continue
        if fitted.agreeing.sum() == len(seen):
            return fitted
        rank = (int(fitted.agreeing.sum()), -float(fitted.reprojection_px[fitted.agreeing].mean()))
        if best is None or rank > best[:2]:
            best = (*rank, fitted)
    return None if best is None else best[2]


def _settle(
    cameras: list[Camera],
    pixels_px: Float64[np.ndarray, "views 2"],
    rays: Float64[np.ndarray, "views 2"],
    chosen: Bool[np.ndarray, "views"],
    gate_m: float,
) -> Triangulated | None:
    for _ in range(len(cameras) + 1):
        inside = [camera for camera, kept in zip(cameras, chosen, strict=True) if kept]
        if len(inside) < 2:
            return None
        point_m = intersect(inside, rays[chosen])
        if point_m is None:
            return None
        errors_px = np.full(len(cameras), np.nan)
        for view in np.flatnonzero(np.isfinite(rays).all(axis=1)):
            if in_camera(cameras[view], point_m[None])[0, 2] > 0:
                seen_px = project(cameras[view], point_m[None])[0]
                errors_px[view] = np.linalg.norm(seen_px - pixels_px[view])
        agreeing = errors_px * metres_per_px(cameras, point_m) <= gate_m
        if np.array_equal(agreeing, chosen):
            return Triangulated(
                point_m=point_m,
                agreeing=agreeing,
                reprojection_px=errors_px,
                deviation_m=deviation_of(inside, point_m),
            )
        chosen = agreeing
    return None
