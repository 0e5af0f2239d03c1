"""Rotations one at a time: in go angles in radians and directions, out come 3x3 matrices.

Inverse kinematics makes hundreds of single rotations for each body, so these are closed forms.
A matrix `b_from_a` maps directions in a to directions in b.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64

Vector: TypeAlias = Float64[np.ndarray, "3"]
Matrix: TypeAlias = Float64[np.ndarray, "3 3"]

TINY: Final = 1e-9


def about_x(angle_rad: float) -> Matrix:
    """Turn about +X by the right-hand rule."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def about_y(angle_rad: float) -> Matrix:
    """Turn about +Y by the right-hand rule."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def about_z(angle_rad: float) -> Matrix:
    """Turn about +Z by the right-hand rule."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def cross(a: Vector, b: Vector) -> Vector:
    """Cross product of two single vectors, without numpy's overhead for stacks."""
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def length(vector: Vector) -> float:
    """Euclidean length."""
    return math.sqrt(float(vector @ vector))


def unit(vector: Vector) -> Vector:
    """Direction of a vector; the zero vector stays zero."""
    return vector / max(length(vector), TINY)


def across(vector: Vector, axis: Vector) -> Vector:
    """Part of a vector perpendicular to a unit axis."""
    return vector - axis * float(vector @ axis)


def about(axis: Vector, angle_rad: float) -> Matrix:
    """Turn about any axis (Rodrigues' formula)."""
    x, y, z = unit(axis)
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    d = 1.0 - c
    return np.array(
        [
            [c + x * x * d, x * y * d - z * s, x * z * d + y * s],
            [y * x * d + z * s, c + y * y * d, y * z * d - x * s],
            [z * x * d - y * s, z * y * d + x * s, c + z * z * d],
        ]
    )


def basis(first: Vector, second: Vector) -> Matrix:
    """Right-handed frame: first column along `first`, second as near `second` as that allows."""
    x = unit(first)
    y = unit(across(second, x))
    return np.stack([x, y, cross(x, y)], axis=1)


def between(start: Vector, end: Vector) -> Matrix:
    """Smallest turn that takes the direction `start` to the direction `end`."""
    a, b = unit(start), unit(end)
    axis = cross(a, b)
    sine = length(axis)
    if sine < TINY:
        if float(a @ b) > 0.0:
            return np.eye(3)
        axis = across(np.eye(3)[int(np.argmin(np.abs(a)))], a)
    return about(axis, math.atan2(sine, float(a @ b)))


def rotation_vector(matrix: Matrix) -> Vector:
    """Axis times angle of a rotation by less than half a turn."""
    cosine = min(1.0, max(-1.0, (float(np.trace(matrix)) - 1.0) / 2.0))
    angle = math.acos(cosine)
    skew = np.array(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    return skew * (0.5 if angle < TINY else angle / max(2.0 * math.sin(angle), TINY))


def fraction(matrix: Matrix, part: float) -> Matrix:
    """Do only a part of a rotation: 0 is none of it, 1 all of it."""
    vector = rotation_vector(matrix)
    return about(vector, length(vector) * part) if length(vector) > TINY else np.eye(3)


def twist_about(matrix: Matrix, axis: Vector) -> float:
    """Angle of the part of a rotation that turns about a unit axis (swing-twist decomposition)."""
    quaternion_xyz = np.array(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    four_w_squared = 1.0 + float(np.trace(matrix))
    return 2.0 * math.atan2(float(quaternion_xyz @ axis), max(four_w_squared, TINY))
