"""Pinhole cameras: where they stand, what they see, and the window cut from their picture.

World: metres, z up, floor at z = 0.  Camera: x right, y down, z forward.  Pixel centres are at
integers.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera and the size of its picture."""

    matrix: Float64[np.ndarray, "3 3"]
    camera_from_world: Float64[np.ndarray, "4 4"]
    width_px: int
    height_px: int

    @property
    def position_m(self) -> Float64[np.ndarray, "3"]:
        """Where the camera stands in the world."""
        rotation, shift = self.camera_from_world[:3, :3], self.camera_from_world[:3, 3]
        return -rotation.T @ shift


def look_at(
    position_m: Float64[np.ndarray, "3"],
    target_m: Float64[np.ndarray, "3"],
    *,
    roll_rad: float,
) -> Float64[np.ndarray, "4 4"]:
    """Turn a camera at a position towards a target, then about its own axis."""
    forward = target_m - position_m
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right)
    cosine, sine = np.cos(roll_rad), np.sin(roll_rad)
    roll = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rotation = roll @ np.stack([right, np.cross(forward, right), forward])
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = rotation
    camera_from_world[:3, 3] = -rotation @ position_m
    return camera_from_world


def centred_matrix(
    width_px: int,
    height_px: int,
    *,
    field_of_view_rad: float,
) -> Float64[np.ndarray, "3 3"]:
    """Give the matrix of a camera whose wider side spans the field of view."""
    focal_px = max(width_px, height_px) / 2 / np.tan(field_of_view_rad / 2)
    return np.array(
        [[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]],
    )


def to_camera(camera: Camera, points_m: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Express world points in camera axes."""
    camera_from_world = camera.camera_from_world
    return points_m.astype(np.float64) @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]


def project(camera: Camera, points_m: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
    """Project points given in camera axes."""
    homogeneous = points_m @ camera.matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def window(
    camera: Camera,
    *,
    centre_px: Float64[np.ndarray, "2"],
    side_px: float,
    size_px: int,
) -> Camera:
    """Cut a square window out of a camera's picture and scale it to `size_px`.

    The result is again a pinhole camera, with its principal point off centre.
    """
    scale = size_px / side_px
    corner_px = centre_px - side_px / 2
    window_from_picture = np.array(
        [
            [scale, 0, -corner_px[0] * scale - 0.5],
            [0, scale, -corner_px[1] * scale - 0.5],
            [0, 0, 1],
        ],
    )
    return Camera(
        matrix=window_from_picture @ camera.matrix,
        camera_from_world=camera.camera_from_world,
        width_px=size_px,
        height_px=size_px,
    )
