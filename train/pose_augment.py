"""From a labelled person in a picture to one training crop, disturbed together with its labels.

In: a picture, a box, the reach of the body, joints in picture pixels and, for rendered people, in
camera axes.  Out: `TrainingCrop`, with 2D in crop pixels and 3D relative to the pelvis in the axes
of the crop's own ray, turned and mirrored with the picture.

The appliance looks first at the square about a box and from then on at the region of the body, so
crops of both kinds are made.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from edge_pose import skeleton
from edge_pose.region import Region, region_of_body, region_of_box
from train.boards import hide
from train.student import INPUT_SIZE_PX

OUTSIDE_WEIGHT: Final = 0.3
"""2D weight of known joints beyond the picture's edge, which nobody can see."""
_LEFT_OVER: Final = (0.35, 0.85)
"""Of the person's box, when the picture ends inside it."""
_CUT_BELOW: Final = 0.7
_LEAST_PICTURE_PX: Final = 24
_NOISE_PX: Final = 32
"""Noise repeats after so many rows; drawing all of it would cost more than cutting the crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A labelled person in a picture; `joints_m` only where somebody knows or thinks something."""

    image: UInt8[np.ndarray, "height width 3"]
    """BGR."""
    box_px: Float32[np.ndarray, "4"]
    """Of what is visible."""
    reach_px: Float32[np.ndarray, "2 2"]
    """Middle of the hips, and the point straight above as far away as the whole body reaches."""
    joints_px: Float32[np.ndarray, "joints 2"]
    weight_2d: Float32[np.ndarray, "joints"]
    joints_m: Float32[np.ndarray, "joints 3"] | None = None
    """Camera axes."""
    is_opinion: bool = False
    """`joints_m` is what a network thinks (`train.hold`), which is no truth."""
    visible: Bool[np.ndarray, "joints"] | None = None
    camera_matrix: Float64[np.ndarray, "3 3"] | None = None
    presence: bool = True
    foreground: UInt8[np.ndarray, "height width"] | None = None
    """Share of each pixel that shows people, 0 to 255; only where somebody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCrop:
    """What the network sees and what it should say; weights of 0 mean that nobody knows."""

    image: UInt8[np.ndarray, "3 side side"]
    """RGB."""
    joints_px: Float32[np.ndarray, "joints 2"]
    weight_2d: Float32[np.ndarray, "joints"]
    joints_m: Float32[np.ndarray, "joints 3"]
    reach_px: Float32[np.ndarray, "2 2"]
    has_3d: bool
    visible: Bool[np.ndarray, "joints"]
    presence: bool
    focal_px: float = math.inf
    """Of the camera, in pixels of the crop; infinite where nobody knows it."""
    foreground: UInt8[np.ndarray, "side side"] | None = None
    """Share of each pixel that shows people, 0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far crops are disturbed; all zero for evaluation."""

    first_look: float = 0.0
    """Share of crops cut as for a first look, about the box."""
    scale: float = 0.0
    """Standard deviation of the logarithm of the crop's side."""
    shift: float = 0.0
    """Standard deviation of the crop's centre in sides."""
    turn_rad: float = 0.0
    """Standard deviation of the picture's turn, applied to every second crop."""
    mirror: bool = False
    light: float = 0.0
    """Strength of changes of light, colour, blur and noise, 0 to 1."""
    cover: float = 0.0
    """Share of crops in which something stands before the person."""
    truncate: float = 0.0
    """Share of crops in which the picture ends inside the person."""


TRAINING: Final = Augmentation(
    first_look=0.1,
    scale=0.13,
    shift=0.04,
    turn_rad=0.3,
    mirror=True,
    light=0.6,
    cover=0.35,
    truncate=0.25,
)
SETTLING: Final = Augmentation(
    first_look=0.1,
    scale=0.08,
    shift=0.025,
    turn_rad=0.12,
    mirror=True,
    light=0.4,
    cover=0.35,
    truncate=0.2,
)
"""For the last stretch: close to what the appliance will cut."""


def make_crop(person: Person, augmentation: Augmentation, rng: np.random.Generator) -> TrainingCrop:
    """Cut one crop around a person, as the appliance would, disturbed by `augmentation`."""
    person, region = person_and_region(person, augmentation, rng)
    shift_px = region.side_px * augmentation.shift * rng.standard_normal(2)
    turn_rad = augmentation.turn_rad * rng.standard_normal() * float(rng.random() < 0.5)
    region = Region(
        centre_px=(
            region.centre_px[0] + float(shift_px[0]),
            region.centre_px[1] + float(shift_px[1]),
        ),
        side_px=region.side_px * float(np.exp(augmentation.scale * rng.standard_normal())),
        turn_rad=region.turn_rad + turn_rad,
    )
    mirrored = augmentation.mirror and bool(rng.random() < 0.5)
    crop = cut_crop(person, region, mirrored=mirrored)
    if augmentation.light > 0:
        lit = disturb_light(_pixels(crop.image), augmentation.light, rng)
        crop = replace(crop, image=_planes(lit))
    return covered(crop, rng) if rng.random() < augmentation.cover else crop


def covered(crop: TrainingCrop, rng: np.random.Generator) -> TrainingCrop:
    """Put something before the person of a crop."""
    image, visible, foreground = hide(
        _pixels(crop.image), crop.joints_px, crop.visible, crop.foreground, rng
    )
    return replace(crop, image=_planes(image), visible=visible, foreground=foreground)


def person_and_region(
    person: Person, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Person, Region]:
    """End the picture inside the person, or not; choose the look about the box or at the body."""
    if rng.random() < augmentation.truncate:
        person = _truncate(person, rng)
    is_first = rng.random() < augmentation.first_look
    return person, region_of_box(person.box_px) if is_first else region_of_body(person.reach_px)


def cut_crop(
    person: Person, region: Region, *, mirrored: bool = False, size_px: int = INPUT_SIZE_PX
) -> TrainingCrop:
    """Cut a region with its labels, or its mirror image with labels to match."""
    affine = region.image_from_region(size_px)
    scale = region.side_px / size_px
    middle = (size_px - 1) / 2
    picture_from_crop, offset = affine[:, :2], affine[:, 2]
    centre = np.asarray(region.centre_px)
    if mirrored:
        picture_from_crop = picture_from_crop @ np.diag([-1.0, 1.0])
        offset = centre - picture_from_crop @ np.array([middle, middle])
    crop_from_picture = np.linalg.inv(picture_from_crop)
    affine = np.column_stack([picture_from_crop, offset])
    image = _warp(person.image, affine, scale, size_px, cv2.BORDER_REPLICATE)
    foreground = None
    if person.foreground is not None:
        foreground = _warp(person.foreground, affine, scale, size_px, cv2.BORDER_CONSTANT)
    joints_px = (person.joints_px - offset) @ crop_from_picture.T
    joints_m = np.zeros((skeleton.NUM_JOINTS, 3))
    focal_px = math.inf
    if person.joints_m is not None and person.camera_matrix is not None:
        turn_axes = np.eye(3)
        turn_axes[:2, :2] = crop_from_picture * scale
        relative_m = person.joints_m - person.joints_m[skeleton.ROOT]
        ray_axes = ray_from_camera(centre, person.camera_matrix)
        joints_m = relative_m @ (turn_axes @ ray_axes).T
        # Beside the camera's axis a pixel is a smaller angle; ray_axes[2, 2] is that cosine.
        focal_px = float(person.camera_matrix[0, 0] / ray_axes[2, 2] / scale)
    weight_2d = person.weight_2d
    visible = person.visible if person.visible is not None else weight_2d > 0
    if mirrored:
        order = np.array(skeleton.MIRROR)
        joints_px, joints_m = joints_px[order], joints_m[order]
        weight_2d, visible = weight_2d[order], visible[order]
    return TrainingCrop(
        image=_planes(image),
        joints_px=joints_px.astype(np.float32),
        weight_2d=weight_2d.astype(np.float32),
        joints_m=joints_m.astype(np.float32),
        reach_px=((person.reach_px - offset) @ crop_from_picture.T).astype(np.float32),
        has_3d=person.joints_m is not None and not person.is_opinion,
        visible=np.asarray(visible, bool),
        presence=person.presence,
        focal_px=focal_px,
        foreground=foreground,
    )


def _planes(
    image: UInt8[np.ndarray, "side side 3"],
) -> UInt8[np.ndarray, "3 side side"]:
    """Turn BGR pixels into RGB planes, as the network reads them."""
    return np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))


def _pixels(
    planes: UInt8[np.ndarray, "3 side side"],
) -> UInt8[np.ndarray, "side side 3"]:
    """Undo `_planes`."""
    return np.ascontiguousarray(planes[::-1].transpose(1, 2, 0))


def ray_from_camera(
    point_px: Float64[np.ndarray, "2"], camera_matrix: Float64[np.ndarray, "3 3"]
) -> Float64[np.ndarray, "3 3"]:
    """Return the smallest rotation that takes the ray through a pixel to the optical axis."""
    ray = np.linalg.solve(camera_matrix, np.array([*point_px, 1.0]))
    ray /= np.linalg.norm(ray)
    axis = np.cross(ray, [0.0, 0.0, 1.0])
    skew = np.array(
        [[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]], np.float64
    )
    return np.eye(3) + skew + skew @ skew / (1.0 + ray[2])


def _warp(
    image: UInt8[np.ndarray, "height width *channels"],
    picture_from_crop: Float64[np.ndarray, "2 3"],
    scale: float,
    size_px: int,
    border: int,
) -> UInt8[np.ndarray, "side side *channels"]:
    reduction = int(scale)
    if reduction >= 2:
        height, width = image.shape[:2]
        size = (max(width // reduction, 1), max(height // reduction, 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        picture_from_crop = picture_from_crop.copy()
        picture_from_crop[:, 2] = (picture_from_crop[:, 2] + 0.5) / reduction - 0.5
        picture_from_crop[:, :2] /= reduction
    warped = cv2.warpAffine(
        image,
        picture_from_crop,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return np.asarray(warped, np.uint8)


def disturb_light(
    image: UInt8[np.ndarray, "height width 3"], strength: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Change exposure, contrast, colour, sharpness and noise as cameras and halls do."""
    level = np.linspace(0, 1, 256)[:, None] * np.ones(3)
    level = level ** np.exp(0.3 * strength * rng.standard_normal())
    level = (level - 0.5) * np.exp(0.2 * strength * rng.standard_normal()) + 0.5
    level += 0.08 * strength * rng.standard_normal()
    level *= 1 + 0.07 * strength * rng.standard_normal(3)
    x = cv2.LUT(image, np.clip(255 * level, 0, 255).astype(np.uint8)[None])
    saturation = 0.0 if rng.random() < 0.08 else np.exp(0.3 * strength * rng.standard_normal())
    grey = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    x = cv2.addWeighted(x, float(saturation), grey, 1 - float(saturation), 0)
    if rng.random() < 0.25 * strength:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        strip = rng.standard_normal((_NOISE_PX, *x.shape[1:]), np.float32) * rng.uniform(1, 10)
        noise = np.tile(strip.astype(np.int16), (-(-len(x) // _NOISE_PX), 1, 1))[: len(x)]
        x = np.clip(x + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.15 * strength:
        size = int(rng.integers(80, 180))
        small = cv2.resize(x, (size, size), interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, image.shape[1::-1])
    return np.asarray(x, np.uint8)


def _truncate(person: Person, rng: np.random.Generator) -> Person:
    """End the picture inside the person, below or beside, as tables and close cameras do."""
    height, width = person.image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in person.box_px)
    share = rng.uniform(*_LEFT_OVER)
    rows, columns = slice(0, height), slice(0, width)
    if rng.random() < _CUT_BELOW:
        rows = slice(0, round(y0 + share * (y1 - y0)))
    elif rng.random() < 0.5:
        columns = slice(0, round(x0 + share * (x1 - x0)))
    else:
        columns = slice(max(round(x1 - share * (x1 - x0)), 0), width)
    image = person.image[rows, columns]
    if min(image.shape[:2]) < _LEAST_PICTURE_PX:
        return person
    offset = np.array([columns.start, 0], np.float32)
    size = np.array(image.shape[1::-1], np.float32)
    joints_px = person.joints_px - offset
    inside = ((joints_px >= -0.5) & (joints_px <= size - 0.5)).all(axis=1)
    visible = person.visible if person.visible is not None else person.weight_2d > 0
    matrix = person.camera_matrix
    if matrix is not None:
        matrix = matrix.copy()
        matrix[:2, 2] -= offset
    return replace(
        person,
        image=np.ascontiguousarray(image),
        foreground=None if person.foreground is None else person.foreground[rows, columns],
        box_px=np.clip(person.box_px - np.tile(offset, 2), 0, np.tile(size - 1, 2)),
        reach_px=person.reach_px - offset,
        joints_px=joints_px,
        weight_2d=person.weight_2d * np.where(inside, 1, OUTSIDE_WEIGHT).astype(np.float32),
        visible=visible & inside,
        camera_matrix=matrix,
    )
