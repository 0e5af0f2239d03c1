"""What flows through the appliance: one frozen dataclass per thing, units and frames in the names.

Pixel centres are at integers.  Camera axes: x right, y down, z forward; metres.  `b_from_a` maps a
to b.  Boxes are x0, y0, x1, y1.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from edge_pose.region import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture from a source, stamped at the moment it was grabbed."""

    image: UInt8[np.ndarray, "height width 3"]
    """BGR, as OpenCV reads it."""
    sequence: int
    """Index of the frame in its source, from 0; gaps are frames that were skipped."""
    captured_ns: int
    """Monotonic clock; for a file played as fast as it goes, the frame's own time in the file."""
    captured_at_ms: int
    """UTC milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A person found in a frame."""

    box_px: Float32[np.ndarray, "4"]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """A pinhole camera for one picture size."""

    matrix: Float64[np.ndarray, "3 3"]
    width_px: int
    height_px: int
    assumed: bool
    """True when nobody measured the focal length; published with every pose made from it."""
    distortion: Float64[np.ndarray, "5"] | None = None
    """k1, k2, p1, p2, k3 of OpenCV's lens model; None: straight lines stay straight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a square is read from a frame: bilinearly, from the means of blocks of its pixels.

    Beyond the outermost blocks they go on; so do the frame's outermost pixels in a block that the
    frame does not fill.
    """

    blocks_from_crop: Float64[np.ndarray, "2 3"]
    """Affine map from crop pixels to blocks, whose middles are at integers."""
    first_px: tuple[int, int]
    """The upper left pixel of the first block: x, y in the frame."""
    blocks: tuple[int, int]
    """How many there are, across and down."""
    block_px: int
    """Side of a block; 1 where nothing needs to be averaged."""


@runtime_checkable
class Look(Protocol):
    """The square of a frame that the pose network looks at, with or without its pixels at hand."""

    @property
    def image_from_crop(self) -> Float64[np.ndarray, "2 3"]:
        """Affine map from crop pixels to frame pixels."""
        ...

    @property
    def side_px(self) -> int:
        """Side of the square in crop pixels."""
        ...

    def around(
        self, points_px: Float32[np.ndarray, "points 2"]
    ) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[int, int]]:
        """Give BGR pixels about points of the crop, and at which x, y of it they begin.

        They hold what lies between the points and in the crop; they may hold more.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A square that was cut out of a frame; a `Look` with all its pixels."""

    image: UInt8[np.ndarray, "side side 3"]
    image_from_crop: Float64[np.ndarray, "2 3"]
    """Affine map from crop pixels to frame pixels."""

    @property
    def side_px(self) -> int:
        """Side of the square."""
        return len(self.image)

    def around(
        self, _points_px: Float32[np.ndarray, "points 2"]
    ) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[int, int]]:
        """Give all pixels, which are there anyway."""
        return self.image, (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativePose:
    """What the pose network says about one crop."""

    joints_px: Float32[np.ndarray, "joints 2"]
    """In frame pixels."""
    joints_m: Float32[np.ndarray, "joints 3"]
    """Relative to the pelvis, in camera axes (already turned from the crop's own ray)."""
    scores: Float32[np.ndarray, "joints"]
    """Calibrated probability that the joint lies within 5 % of the crop's side of `joints_px`."""
    presence: float
    """Probability that the crop shows a person at all."""
    region: Region
    """Where the whole body is, for the next look."""
    appearance: Float32[np.ndarray, "colours"] | None = None
    """See `edge_pose/appearance.py`; None when too little of the torso shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose3D:
    """One tracked person in one frame, as it is published."""

    track: int
    score: float
    box_px: Float32[np.ndarray, "4"]
    joints_m: Float32[np.ndarray, "joints 3"]
    """Camera frame, metres."""
    joints_px: Float32[np.ndarray, "joints 2"]
    scores: Float32[np.ndarray, "joints"]
    predicted: Bool[np.ndarray, "joints"]
    """True where the value comes from motion or anatomy rather than from this frame's pixels."""
    stale: bool
    """True when this person was not seen in this frame and the pose is carried over."""
    captured_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How the appliance is doing, as of one frame; published with it."""

    fps: float
    """Frames processed per second, averaged over the last second or so."""
    infer_ms: float
    """From taking the frame to having its poses."""
    total_ms: float | None
    """From the grab to having the poses; None when a file is played as fast as it goes."""
    skipped: int
    """Frames that a newer one replaced before they were looked at, since the start."""
    reconnects: int
    """How often the camera came back, since the start."""
