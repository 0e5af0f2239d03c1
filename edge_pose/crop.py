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
from edge_pose.types import Crop, Sampling

SIDE_PX: Final = 256

Window = tuple[int, int, int, int]
"""A part of a crop: x0, y0, x1, y1 in its pixels, the last two just beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A whole frame scaled to fit a network's input, centred and padded."""

    image: UInt8[np.ndarray, "height width 3"]
    image_from_input: Float64[np.ndarray, "2 3"]
    """Affine map from network-input pixels to frame pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncutCrop:
    """A square that an engine cuts by itself; a `Look` whose pixels stay in the frame."""

    frame_image: UInt8[np.ndarray, "height width 3"]
    region: Region
    side_px: int = SIDE_PX

    @property
    def image_from_crop(self) -> Float64[np.ndarray, "2 3"]:
        """Affine map from crop pixels to frame pixels."""
        return self.region.image_from_region(self.side_px)

    @property
    def sampling(self) -> Sampling:
        """How the whole square is read."""
        height, width = self.frame_image.shape[:2]
        return sampling_of(self.region, side_px=self.side_px, frame_size_px=(width, height))

    def around(
        self, points_px: Float32[np.ndarray, "points 2"]
    ) -> tuple[UInt8[np.ndarray, "rows columns 3"], tuple[int, int]]:
        """Cut what lies about the points and nothing else; one pixel where none is in the crop."""
        last = self.side_px - 1
        low, high = np.floor(points_px.min(axis=0)) - 1.0, np.ceil(points_px.max(axis=0)) + 2.0
        x0, y0 = (int(value) for value in np.clip(low, 0, last))
        x1, y1 = (int(value) for value in np.clip(high, (x0 + 1, y0 + 1), last + 1))
        height, width = self.frame_image.shape[:2]
        sampling = sampling_of(
            self.region,
            side_px=self.side_px,
            frame_size_px=(width, height),
            window=(x0, y0, x1, y1),
        )
        return _read(self.frame_image, sampling, x1 - x0, y1 - y0), (x0, y0)


def take_crop(
    image: UInt8[np.ndarray, "height width 3"],
    region: Region,
    *,
    side_px: int = SIDE_PX,
) -> Crop:
    """Cut a square out of a frame; beyond its rim the outermost pixels go on.

    Strong reductions average pixels first, so that a person who fills a 4K frame does not alias.
    """
    height, width = image.shape[:2]
    image_from_crop = region.image_from_region(side_px)
    sampling = _sampling(
        image_from_crop, _block_px(region, side_px), (side_px, side_px), (width, height)
    )
    return Crop(image=_read(image, sampling, side_px, side_px), image_from_crop=image_from_crop)


def sampling_of(
    region: Region,
    *,
    side_px: int,
    frame_size_px: tuple[int, int],
    window: Window | None = None,
) -> Sampling:
    """Tell how a square, or a window of it, is read from a frame of a size (width, height)."""
    left, top, right, bottom = window or (0, 0, side_px, side_px)
    image_from_window = region.image_from_region(side_px)
    image_from_window[:, 2] = image_from_window @ (left, top, 1.0)
    size_px = (right - left, bottom - top)
    return _sampling(image_from_window, _block_px(region, side_px), size_px, frame_size_px)


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


def _block_px(region: Region, side_px: int) -> int:
    """Side of the blocks from which a square is read."""
    return int(2 ** _halvings(region.side_px / side_px))


def _sampling(
    image_from_crop: Float64[np.ndarray, "2 3"],
    block_px: int,
    size_px: tuple[int, int],
    frame_size_px: tuple[int, int],
) -> Sampling:
    """Lay blocks about all that a crop of a size (width, height) reaches, and a pixel around it."""
    width, height = frame_size_px
    if block_px == 1:
        return Sampling(
            blocks_from_crop=image_from_crop, first_px=(0, 0), blocks=frame_size_px, block_px=1
        )
    rim = np.array([(x, y, 1.0) for x in (-1.0, size_px[0]) for y in (-1.0, size_px[1])])
    corners = rim @ image_from_crop.T
    first, last = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    x0, y0 = (int(value) for value in np.clip(first, 0, (width - 1, height - 1)))
    x1, y1 = (int(value) for value in np.clip(last, (x0 + 1, y0 + 1), (width, height)))
    middle = (block_px - 1) / 2.0
    blocks_from_crop = image_from_crop.copy()
    blocks_from_crop[:, 2] -= (x0 + middle, y0 + middle)
    return Sampling(
        blocks_from_crop=blocks_from_crop / float(block_px),
        first_px=(x0, y0),
        blocks=(math.ceil((x1 - x0) / block_px), math.ceil((y1 - y0) / block_px)),
        block_px=block_px,
    )


def _read(
    image: UInt8[np.ndarray, "height width 3"], sampling: Sampling, width_px: int, height_px: int
) -> UInt8[np.ndarray, "height_px width_px 3"]:
    """Sample a frame."""
    source = image if sampling.block_px == 1 else _reduce(image, sampling)
    pixels = cv2.warpAffine(
        source,
        sampling.blocks_from_crop,
        (width_px, height_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(pixels, np.uint8)


def _reduce(
    image: UInt8[np.ndarray, "height width 3"], sampling: Sampling
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Make a pixel of every block."""
    height, width = image.shape[:2]
    (x0, y0), (columns, rows), block = sampling.first_px, sampling.blocks, sampling.block_px
    x1, y1 = min(x0 + columns * block, width), min(y0 + rows * block, height)
    region = image[y0:y1, x0:x1]
    missing_x, missing_y = columns * block - (x1 - x0), rows * block - (y1 - y0)
    if missing_x or missing_y:
        region = np.asarray(
            cv2.copyMakeBorder(region, 0, missing_y, 0, missing_x, cv2.BORDER_REPLICATE), np.uint8
        )
    return _halve(region, block.bit_length() - 1)
