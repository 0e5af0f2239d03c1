"""What the networks look at: squares around people, and frames fitted into the detector.

In: a frame's pixels and a region. Out: pixels together with the affine that leads back to the
frame.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from edge_pose.region import Region
from edge_pose.types import Crop

SIDE_PX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A whole frame scaled to fit a network's input, centred and padded."""

    image: UInt8[np.ndarray, "height width 3"]
    image_from_input: Float64[np.ndarray, "2 3"]
    """Affine map from network-input pixels to frame pixels."""


def take_crop(
    image: UInt8[np.ndarray, "height width 3"],
    region: Region,
    *,
    side_px: int = SIDE_PX,
) -> Crop:
    """Cut a square out of a frame; beyond its rim the outermost pixels go on.

    Strong reductions average pixels first, so that a person who fills a 4K frame does not alias.
    """
    image_from_crop = region.image_from_region(side_px)
    halvings = _halvings(region.side_px / side_px)
    if halvings:
        source, image_from_source = _reduce(image, image_from_crop, side_px, halvings)
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
        borderMode=cv2.BORDER_REPLICATE,
    )
    return Crop(image=np.asarray(pixels, np.uint8), image_from_crop=image_from_crop)


def letterbox(
    image: UInt8[np.ndarray, "height width 3"], *, width_px: int, height_px: int, pad_value: float
) -> Letterbox:
    """Scale a frame to fit, centre it, fill the rest with a constant."""
    height, width = image.shape[:2]
    scale = min(width_px / width, height_px / height)
    halvings = _halvings(1.0 / scale)
    # What does not fill a block at the right and lower rim is less than one pixel of the result.
    width, height = width >> halvings << halvings, height >> halvings << halvings
    small = _halve(image[:height, :width], halvings)
    new_width = min(max(round(width * scale), 1), width_px)
    new_height = min(max(round(height * scale), 1), height_px)
    left, top = (width_px - new_width) // 2, (height_px - new_height) // 2
    fitted = np.full((height_px, width_px, 3), round(pad_value), np.uint8)
    fitted[top : top + new_height, left : left + new_width] = cv2.resize(
        small, (new_width, new_height), interpolation=cv2.INTER_LINEAR
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


def _halvings(scale: float) -> int:
    """How often pixels can be halved until the bilinear kernel reaches every one that is left."""
    return max(math.floor(math.log2(scale)), 0)


def _halve(
    image: UInt8[np.ndarray, "height width 3"], times: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Average blocks of two by two; several times two is several times faster than any other."""
    for _ in range(times):
        height, width = image.shape[:2]
        image = np.asarray(
            cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8
        )
    return image


def _reduce(
    image: UInt8[np.ndarray, "height width 3"],
    image_from_crop: Float64[np.ndarray, "2 3"],
    side_px: int,
    halvings: int,
) -> tuple[UInt8[np.ndarray, "rows columns 3"], Float64[np.ndarray, "3"]]:
    """Halve the crop's surroundings; give scale, left and top of the result towards the frame."""
    height, width = image.shape[:2]
    block = 2**halvings
    rim = np.array([(x, y, 1.0) for x in (-1.0, side_px) for y in (-1.0, side_px)])
    corners = rim @ image_from_crop.T
    first, last = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    x0, y0 = (int(value) for value in np.clip(first, 0, (width - 1, height - 1)))
    x1, y1 = (int(value) for value in np.clip(last, (x0 + 1, y0 + 1), (width, height)))
    columns, rows = math.ceil((x1 - x0) / block), math.ceil((y1 - y0) / block)
    x1, y1 = min(x0 + columns * block, width), min(y0 + rows * block, height)
    region = image[y0:y1, x0:x1]
    missing_x, missing_y = columns * block - (x1 - x0), rows * block - (y1 - y0)
    if missing_x or missing_y:
        region = np.asarray(
            cv2.copyMakeBorder(region, 0, missing_y, 0, missing_x, cv2.BORDER_REPLICATE), np.uint8
        )
    middle = (block - 1) / 2.0
    return _halve(region, halvings), np.array([float(block), x0 + middle, y0 + middle])
