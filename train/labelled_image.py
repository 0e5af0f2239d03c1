"""What teachers say about a picture: the picture, the people in it, and boxes that came with it.

In: what `train.teacher` saw.  Out: the same, as `train.label_shard` keeps it, pictures and masks as
files of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.errors import SourceError
from train.sources import GivenBox

JPEG_QUALITY: Final = 92


def no_boxes() -> Float32[np.ndarray, "0 4"]:
    """Return a list of boxes with none in it."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPerson:
    """What the teacher says about one person; an opinion, not truth."""

    joints_px: Float32[np.ndarray, "25 2"]
    confidence: Float32[np.ndarray, "25"]
    """0 where there is no label."""
    box_px: Float32[np.ndarray, "4"]
    """Tight box of what is visible of the person in the picture."""
    reach_px: Float32[np.ndarray, "2 2"]
    """Middle of the hips, and the point straight above as far away as the whole body reaches."""
    mask_png: bytes
    quality: float
    disagreement_px: float

    def mask(self) -> UInt8[np.ndarray, "height width"]:
        """Return the soft foreground mask, of the picture's size."""
        return _decode(self.mask_png, cv2.IMREAD_GRAYSCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """A real picture and the people the teachers see in it."""

    jpeg: bytes
    key: str
    source: str
    licence: str
    group: str
    width_px: int
    height_px: int
    people: tuple[LabelledPerson, ...]
    detected_px: Float32[np.ndarray, "detected 4"]
    """All boxes of the people teacher, also of people without a pose label."""
    detected_scores: Float32[np.ndarray, "detected"]
    given: tuple[GivenBox, ...]
    overlooked_px: Float32[np.ndarray, "overlooked 4"] = field(default_factory=no_boxes)
    """Boxes of people whose heads came with the picture and whom no teacher boxed."""
    rejected: Mapping[str, int] = field(default_factory=dict)

    def image(self) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture, BGR."""
        return _decode(self.jpeg, cv2.IMREAD_COLOR)


def encode_picture(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Return the picture as JPEG, as it is kept."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def encode_mask(mask: UInt8[np.ndarray, "height width"]) -> bytes:
    """Return a mask as PNG, as it is kept."""
    return _encode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def _encode(ending: str, image: np.ndarray, options: Sequence[int]) -> bytes:
    success, content = cv2.imencode(ending, image, options)
    assert success, f"OpenCV cannot encode {ending}"
    return content.tobytes()


def _decode(content: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if image is None:
        raise SourceError("a picture in the label cache is broken; delete the folder, label again")
    return np.asarray(image, np.uint8)
