"""What the networks look at: squares around people, and frames fitted into the detector.

In: a frame's pixels and a box. Out: pixels together with the affine that leads back to the frame.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from edge_pose.types import Crop

SIDE_PX: Final = 256
PADDING: Final = 1.25
"""Side of the square over the longer side of the person's box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A whole frame scaled to fit a network's input, centred and padded."""

    image: UInt8[np.ndarray, "height width 3"]
    image_from_input: Float64[np.ndarray, "2 3"]
    """Affine map from network-input pixels to frame pixels."""


def take_crop(
    image: UInt8[np.ndarray, "height width 3"],
    box_px: Float32[np.ndarray, "4"],
    *,
    side_px: int = SIDE_PX,
    padding: float = PADDING,
) -> Crop:
    """Cut the square around a box; black where it leaves the frame.

    Strong reductions average whole blocks of pixels first, so that a person who fills a 4K frame
    does not alias.
    """
    image_from_crop = square_affine(box_px, side_px=side_px, padding=padding)
    reduction = int(image_from_crop[0, 0])
    if reduction >= 2:  # noqa: PLR2004 below two the bilinear kernel reaches every pixel
        source, image_from_source = _reduce(image, image_from_crop, side_px, reduction)
    else:
        source, image_from_source = image, np.array([1.0, 0.0, 0.0])
    scale, left, top = image_from_source
    source_from_crop = image_from_crop.copy()
    source_from_crop[:, 2] -= (left, top)
    source_from_crop /= scale
    pixels = cv2.warpAffine(
        source,
        source_from_crop,
        (side_px, side_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return Crop(image=np.asarray(pixels, np.uint8), image_from_crop=image_from_crop)


def square_affine(
    box_px: Float32[np.ndarray, "4"], *, side_px: int, padding: float
) -> Float64[np.ndarray, "2 3"]:
    """Map crop pixels to the frame for the square of `padding` times a box's longer side."""
    x0, y0, x1, y1 = (float(value) for value in box_px)
    scale = max(padding * max(x1 - x0, y1 - y0), 1.0) / side_px
    middle = (side_px - 1) / 2.0
    return np.array(
        [
            [scale, 0.0, (x0 + x1) / 2.0 - scale * middle],
            [0.0, scale, (y0 + y1) / 2.0 - scale * middle],
        ]
    )


def letterbox(
    image: UInt8[np.ndarray, "height width 3"], *, width_px: int, height_px: int, pad_value: float
) -> Letterbox:
    """Scale a frame to fit, centre it, fill the rest with a constant."""
    height, width = image.shape[:2]
    scale = min(width_px / width, height_px / height)
    new_width = min(max(round(width * scale), 1), width_px)
    new_height = min(max(round(height * scale), 1), height_px)
    left, top = (width_px - new_width) // 2, (height_px - new_height) // 2
    fitted = np.full((height_px, width_px, 3), round(pad_value), np.uint8)
    fitted[top : top + new_height, left : left + new_width] = cv2.resize(
        image,
        (new_width, new_height),
        interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR,
    )
    across, down = width / new_width, height / new_height
    return Letterbox(
        image=fitted,
        image_from_input=np.array(
            [
                [across, 0.0, (0.5 - left) * across - 0.5],
                [0.0, down, (0.5 - top) * down - 0.5],
            ]
        ),
    )


def apply_affine(
    b_from_a: Float64[np.ndarray, "2 3"], points: Float32[np.ndarray, "*points 2"]
) -> Float32[np.ndarray, "*points 2"]:
    """Map points by an affine."""
    return (points @ b_from_a[:, :2].T + b_from_a[:, 2]).astype(np.float32)


def _reduce(
    image: UInt8[np.ndarray, "height width 3"],
    image_from_crop: Float64[np.ndarray, "2 3"],
    side_px: int,
    reduction: int,
) -> tuple[UInt8[np.ndarray, "rows columns 3"], Float64[np.ndarray, "3"]]:
    """Average blocks of the crop's surroundings; give scale, left and top towards the frame."""
    height, width = image.shape[:2]
    scale = image_from_crop[0, 0]
    first = np.floor(image_from_crop[:, 2] - scale)
    last = np.ceil(image_from_crop[:, 2] + scale * side_px)
    x0, y0 = (int(value) for value in np.clip(first, 0, (width - 1, height - 1)))
    x1, y1 = (int(value) for value in np.clip(last, (x0 + 1, y0 + 1), (width, height)))
    columns, rows = math.ceil((x1 - x0) / reduction), math.ceil((y1 - y0) / reduction)
    x1, y1 = min(x0 + columns * reduction, width), min(y0 + rows * reduction, height)
    region = image[y0:y1, x0:x1]
    missing_x, missing_y = columns * reduction - (x1 - x0), rows * reduction - (y1 - y0)
    if missing_x or missing_y:
        region = cv2.copyMakeBorder(region, 0, missing_y, 0, missing_x, cv2.BORDER_REPLICATE)
    blocks = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
    middle = (reduction - 1) / 2.0
    return np.asarray(blocks, np.uint8), np.array([float(reduction), x0 + middle, y0 + middle])
