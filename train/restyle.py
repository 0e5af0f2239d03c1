"""Source crops as the target's camera would show them: its colours, its sharpness, its noise.

In: RGB crops of a labelled source and of an unlabelled target.  Out: the source crop with every
edge where it was, so that its labels stay true; only statistics of whole crops come over, nothing
of what the target shows.

Beyond the picture's edge the rim's pixels go on (`train.pose_augment`), turned with the crop, and a
crop does not say where they begin, so they count like all others.  They are the rim's own colours,
and target crops are cut in the same way.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from scipy.sparse import csr_array

_MOST_STRETCH: Final = 4.0
"""Of a colour's spread, either way: a grey source has no colours, only rounding, to amplify."""
_GAINS: Final = (1 / 8, 4.0)
"""Of an amplitude: more would make marks of a rendered crop's codec stand out as blocks; less,
where detail is fine, is below rounding, and where it is coarse, leaves little of the person.
"""
_RINGS_PER_OCTAVE: Final = 3
_FIRST_RING: Final = 4
"""Radius in half waves a crop: what is slower is how a scene is laid out, in a few numbers."""


def in_colours_of(
    source: UInt8[np.ndarray, "side side 3"],
    target: UInt8[np.ndarray, "rows columns 3"],
    *,
    share: float,
) -> UInt8[np.ndarray, "side side 3"]:
    """Move mean and standard deviation of L*, a*, b* by `share` of the way to the target's.

    After Reinhard et al. 2001, "Color transfer between images", who work in a space of
    the cones; CIE Lab likewise keeps lightness apart from colour.  RGB in and out.
    """
    mean, spread, lab = _lab(source)
    wanted_mean, wanted_spread, _ = _lab(target)
    stretch = wanted_spread / np.maximum(spread, 1e-3)
    stretch = 1 + share * (np.clip(stretch, 1 / _MOST_STRETCH, _MOST_STRETCH) - 1)
    shift = mean + share * (wanted_mean - mean) - stretch * mean
    lab = cv2.transform(lab, np.column_stack([np.diag(stretch), shift]))
    rgb = np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
    rgb *= 255
    return _whole_levels(rgb)


def with_spectrum_of(
    source: UInt8[np.ndarray, "side side 3"],
    target: UInt8[np.ndarray, "side side 3"],
    *,
    share: float,
) -> UInt8[np.ndarray, "side side 3"]:
    """Give each ring of frequencies the target's mean amplitude, `share` of the way on a log scale.

    FDA (Yang & Soatto 2020, arXiv:2004.05498) puts the target's own low-frequency amplitudes, one
    by one, into the source, and with them something of what the target shows; here all frequencies
    but the mean change, by a factor that depends on the radius alone: an isotropic filter.
    RGB in and out; the side must be even.
    """
    planes, rings = _cosines(source), _rings(len(source))
    steps = _log_profile(_cosines(target), rings) - _log_profile(planes, rings)
    logs = [rings.T @ step for step in share * np.clip(steps, *np.log(_GAINS))]
    planes *= np.exp(logs).reshape(planes.shape)
    mixed = cv2.merge([cv2.idct(plane) for plane in planes])
    rgb = cv2.cvtColor(mixed, cv2.COLOR_YCrCb2RGB)
    return _whole_levels(np.asarray(rgb, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restyle:
    """How often and how far a source crop takes over each of its target's two styles."""

    probability: float
    """Of each of the two, drawn apart."""
    largest_share: float
    """Shares are drawn evenly from 0 to this."""

    def restyled(
        self,
        source: UInt8[np.ndarray, "side side 3"],
        target: UInt8[np.ndarray, "side side 3"],
        rng: np.random.Generator,
    ) -> UInt8[np.ndarray, "side side 3"]:
        """Draw whether and how much of each style to take; the very source where none is drawn."""
        for effect in (in_colours_of, with_spectrum_of):
            if rng.random() < self.probability:
                source = effect(source, target, share=rng.uniform(0, self.largest_share))
        return source


def _lab(
    image: UInt8[np.ndarray, "rows columns 3"],
) -> tuple[
    Float32[np.ndarray, "3"], Float32[np.ndarray, "3"], Float32[np.ndarray, "rows columns 3"]
]:
    """Return mean, standard deviation and pixels: L* from 0 to 100, a* and b* about 0."""
    # Not RGB2Lab: for floats it interpolates in a coarse table, half a level off.
    lab = np.asarray(cv2.cvtColor(cv2.LUT(image, _light()), cv2.COLOR_LRGB2Lab), np.float32)
    mean, spread = (np.asarray(value, np.float32)[:, 0] for value in cv2.meanStdDev(lab))
    return mean, spread, lab


@cache
def _light() -> Float32[np.ndarray, "levels"]:
    """Return the light that each of 256 levels stands for, 0 to 1, by the curve of sRGB."""
    level = np.linspace(0, 1, 256)
    toe, body = level / 12.92, ((level + 0.055) / 1.055) ** 2.4
    return np.where(level <= 0.04045, toe, body).astype(np.float32)


def _cosines(image: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "3 side side"]:
    """Return the cosine transforms of luminance and the two differences of colour, in levels.

    They are Fourier's amplitudes, with their signs for a phase, of the crop mirrored at its rim:
    no jump from one rim to the opposite one, which would pass for detail.
    Codecs and sensors keep colour coarser than light, so in R, G and B, which are mostly light, the
    target's blur of colour would not be seen, and unequal gains would fringe edges with colour.
    """
    mixed = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2YCrCb)
    return np.stack([cv2.dct(plane) for plane in cv2.split(mixed)])


@cache
def _rings(side_px: int) -> csr_array:
    """Return how much each coefficient [side²] of a cosine transform belongs to each ring.

    Rings are hats over the logarithm of the frequency, so that neighbours pass softly into each
    other; the weights of a coefficient sum to 1, those of the mean to 0.
    """
    radius = np.hypot(*np.mgrid[:side_px, :side_px]).ravel()
    octaves = np.log2(np.maximum(radius, _FIRST_RING) / _FIRST_RING)
    at = octaves * _RINGS_PER_OCTAVE
    low = np.floor(at).astype(np.intp)
    weights = np.concatenate([low + 1 - at, at - low]).astype(np.float32)
    weights[[0, side_px**2]] = 0
    places = np.tile(np.arange(side_px**2), 2)
    return csr_array((weights, (np.concatenate([low, low + 1]), places)))


def _log_profile(
    planes: Float32[np.ndarray, "3 side side"], rings: csr_array
) -> Float32[np.ndarray, "3 rings"]:
    """Return the logarithm of the mean amplitude of each plane in each ring."""
    amplitudes = np.abs(planes).reshape(len(planes), -1)
    means = np.stack([rings @ plane for plane in amplitudes]) / rings.sum(1)
    return np.log(np.maximum(means, np.finfo(np.float32).tiny))


def _whole_levels(image: Float32[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """Round to whole levels, 0 to 255."""
    np.rint(image, out=image)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)
