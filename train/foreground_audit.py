"""Masks made wrong on purpose, so that one can measure what wrong masks cost.

In: masks with numbers, the share of them to spoil and a seed.  Out: masks, of which that share is
wrong in one of the ways in which real ones are.  A mask with the same number is always spoiled in
the same way, and what is spoiled at 10 % is so at 20 %, too: curves over the share compare like
with like.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from edge_pose.errors import ConfigError

SHARES: Final = (0.0, 0.1, 0.2, 0.3)
"""Of masks that are wrong: the points of the curve."""

_SHIFT: Final = (0.35, 0.8)
"""Of √area of the mask: a tracker's box that lags, a mask stored with another frame's number."""
_RIM: Final = (0.06, 0.15)
"""Of √area: a segmenter that sees too little, or takes the shadow along."""
_LOST: Final = (0.35, 0.65)
"""Of the area: legs behind a table, or in trousers of the colour of the floor."""


def shifted(
    mask: UInt8[np.ndarray, "height width"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width"]:
    """Move the mask; what leaves the picture is lost."""
    away_px = rng.uniform(*_SHIFT) * _extent_px(mask)
    angle = rng.uniform(0, 2 * np.pi)
    move = np.array([[1, 0, away_px * np.cos(angle)], [0, 1, away_px * np.sin(angle)]])
    return np.asarray(cv2.warpAffine(mask, move, mask.shape[::-1]), np.uint8)


def eroded(
    mask: UInt8[np.ndarray, "height width"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width"]:
    """Take away the rim, and with it thin arms."""
    return np.asarray(cv2.erode(mask, _disc(rng.uniform(*_RIM) * _extent_px(mask))), np.uint8)


def dilated(
    mask: UInt8[np.ndarray, "height width"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width"]:
    """Add a rim of background."""
    return np.asarray(cv2.dilate(mask, _disc(rng.uniform(*_RIM) * _extent_px(mask))), np.uint8)


def cut(
    mask: UInt8[np.ndarray, "height width"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width"]:
    """Lose a part on one side, along a straight line."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    weights = mask[rows, columns].astype(np.float64)
    order = np.argsort(along)
    lost = np.cumsum(weights[order]) < rng.uniform(*_LOST) * weights.sum()
    left = mask.copy()
    left[rows[order[lost]], columns[order[lost]]] = 0
    return left


def empty(
    mask: UInt8[np.ndarray, "height width"],
    rng: np.random.Generator,  # noqa: ARG001  # one of a table of functions
) -> UInt8[np.ndarray, "height width"]:
    """See nobody."""
    return np.zeros_like(mask)


Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SPOILS: Final[Mapping[str, Spoil]] = MappingProxyType(
    {"shifted": shifted, "eroded": eroded, "dilated": dilated, "cut": cut, "empty": empty}
)
FAULTS: Final = (*SPOILS, "swapped")
"""Ways to be wrong; `swapped` is another picture's mask."""


def swapped(
    mask: UInt8[np.ndarray, "height width"], stranger: UInt8[np.ndarray, "_ _"]
) -> UInt8[np.ndarray, "height width"]:
    """Put another picture's mask in the place of this one."""
    return np.asarray(cv2.resize(stranger, mask.shape[::-1]), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Decides whose mask is spoiled, and how."""

    share: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.share <= 1:
            raise ConfigError(
                f"the audit is to spoil the share {self.share:g} of the masks; give 0 to 1."
            )

    def fault(self, number: int) -> str | None:
        """Return what is wrong with mask `number`, None for nothing."""
        rng = np.random.default_rng([self.seed, number])
        if rng.random() >= self.share:
            return None
        return FAULTS[int(rng.integers(len(FAULTS)))]

    def spoil(
        self,
        mask: UInt8[np.ndarray, "height width"],
        number: int,
        stranger: Callable[[np.random.Generator], UInt8[np.ndarray, "_ _"] | None],
    ) -> UInt8[np.ndarray, "height width"]:
        """Return mask `number` as it is, or spoiled; `stranger` draws another picture's mask."""
        fault = self.fault(number)
        if fault is None:
            return mask
        rng = np.random.default_rng([self.seed, number, 1])
        if fault in SPOILS:
            return SPOILS[fault](mask, rng)
        other = stranger(rng)
        return empty(mask, rng) if other is None else swapped(mask, other)


def _extent_px(mask: UInt8[np.ndarray, "height width"]) -> float:
    return float(np.sqrt(mask.sum(dtype=np.float64) / 255))


def _disc(radius_px: float) -> UInt8[np.ndarray, "side side"]:
    side = 2 * max(round(radius_px), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
