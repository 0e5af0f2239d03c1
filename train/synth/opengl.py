"""What drawing needs of OpenGL and nothing about people: contexts, programs, uniforms, matrices."""

from pathlib import Path
from typing import Final, Literal, TypeAlias

import moderngl
import numpy as np
from jaxtyping import Float64, UInt8

from edge_pose.errors import ConfigError
from train.synth.camera import Camera

RendererKind: TypeAlias = Literal["any", "gpu", "software"]
SOFTWARE_NAMES: Final = ("llvmpipe", "softpipe", "swrast", "software rasterizer")
NOISE_CELLS: Final = 32
SHADERS: Final = Path(__file__).parent / "shaders"


def open_context(kind: RendererKind) -> moderngl.Context:
    """Open an EGL context without a window and make sure that it is of the kind asked for."""
    # moderngl types each further option as a dictionary; it takes plain values.
    context = moderngl.create_context(require=330, standalone=True, backend="egl")  # type: ignore[arg-type]
    name = context.info["GL_RENDERER"]
    is_software = any(word in name.lower() for word in SOFTWARE_NAMES)
    if kind != "any" and is_software != (kind == "software"):
        context.release()
        raise ConfigError(
            f"OpenGL here is drawn by {name!r}, but --renderer {kind} was asked for; choose "
            "another device with GLCONTEXT_DEVICE_INDEX, another driver with "
            "__EGL_VENDOR_LIBRARY_FILENAMES, or --renderer any.",
        )
    return context


def load_program(
    context: moderngl.Context,
    vertex: str,
    fragment: str,
    *defines: str,
) -> moderngl.Program:
    """Compile two shaders from files, with the libraries of noise and light they share."""
    head = "\n".join(["#version 330", *(f"#define {define}" for define in defines), ""])
    noise, lighting = ((SHADERS / f"{name}.glsl").read_text() for name in ("noise", "lighting"))
    return context.program(
        vertex_shader=head + noise + (SHADERS / f"{vertex}.glsl").read_text(),
        fragment_shader=head + noise + lighting + (SHADERS / f"{fragment}.glsl").read_text(),
    )


def set_uniforms(program: moderngl.Program, **values: object) -> None:
    """Write the uniforms that the compiler kept: integers as such, matrices transposed."""
    for name, value in values.items():
        uniform = program.get(name, None)
        if not isinstance(uniform, moderngl.Uniform):
            continue
        array = np.asarray(value)
        if np.issubdtype(array.dtype, np.integer):
            uniform.write(array.astype(np.int32).tobytes())
        else:
            is_matrix = array.shape == (4, 4)
            uniform.write((array.T if is_matrix else array).astype(np.float32).tobytes())


def clip_from_world(camera: Camera, *, near_m: float, far_m: float) -> Float64[np.ndarray, "4 4"]:
    """Express a pinhole camera with pixel centres at integers as OpenGL's projection."""
    matrix, width, height = camera.matrix, camera.width_px, camera.height_px
    clip_from_camera = np.zeros((4, 4))
    clip_from_camera[0, :3] = 2 * matrix[0] / width
    clip_from_camera[0, 2] += 1 / width - 1
    clip_from_camera[1, :3] = -2 * matrix[1] / height
    clip_from_camera[1, 2] += 1 - 1 / height
    clip_from_camera[2, 2:] = (
        (far_m + near_m) / (far_m - near_m),
        -2 * far_m * near_m / (far_m - near_m),
    )
    clip_from_camera[3, 2] = 1
    return clip_from_camera @ camera.camera_from_world


def clip_from_world_along(
    direction: Float64[np.ndarray, "3"],
    *,
    centre_m: Float64[np.ndarray, "3"],
    radius_m: float,
    depth_m: float,
) -> Float64[np.ndarray, "4 4"]:
    """Look along a light at everything within a radius, without perspective."""
    side = np.array([1.0, 0, 0]) if abs(direction[2]) > 0.95 else np.array([0, 0, 1.0])
    right = np.cross(side, direction)
    right = right / np.linalg.norm(right)
    axes = np.stack([right, np.cross(direction, right), -direction])
    axes *= np.array([1 / radius_m, 1 / radius_m, 1 / depth_m])[:, None]
    transform = np.eye(4)
    transform[:3, :3] = axes
    transform[:3, 3] = -axes @ centre_m
    return transform


def noise_tables(
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "cells cells cells"], UInt8[np.ndarray, "_ _ _ 4"]]:
    """Make the tiling tables of noise.glsl: random bytes, and their fractal sum with its slope."""
    coarse = rng.random((NOISE_CELLS,) * 3)
    fine = coarse
    for axis in range(3):
        between = (fine + np.roll(fine, -1, axis)) / 2
        fine = np.stack([fine, between], axis=axis + 1)
        fine = fine.reshape([2 * NOISE_CELLS if a <= axis else NOISE_CELLS for a in range(3)])
    fractal = 0.65 * fine + 0.35 * rng.random(fine.shape)
    steps = [np.roll(fractal, -1, axis) - np.roll(fractal, 1, axis) for axis in (2, 1, 0)]
    stored = np.stack([*(0.5 + 0.25 * step for step in steps), fractal], axis=-1)
    return _bytes(coarse), _bytes(stored)


def _bytes(share: Float64[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    return np.clip(share * 255, 0, 255).astype(np.uint8)
