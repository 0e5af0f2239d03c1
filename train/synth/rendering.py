"""What is drawn and what comes of it: people, things and light go in, a picture with labels out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from train.synth.appearance import Appearance
from train.synth.garments import Surfaces
from train.synth.lighting import Light
from train.synth.things import Thing


@dataclass(frozen=True, slots=True, kw_only=True)
class DressedBody:
    """One person ready to be drawn."""

    number: int
    """From 1, unique in the picture."""
    surfaces: Surfaces
    appearance: Appearance


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything in front of a camera."""

    people: Sequence[DressedBody]
    things: Sequence[Thing]
    light: Light
    centre_m: Float64[np.ndarray, "3"]
    """Middle of what the shadow map covers."""
    radius_m: float
    backdrop: UInt8[np.ndarray, "height width 3"]
    """RGB, as large as the picture; shown where nothing stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A picture and what is known about each of its pixels."""

    image: UInt8[np.ndarray, "height width 3"]
    """RGB."""
    soft: UInt8[np.ndarray, "height width"]
    """Share of the pixel that shows people, 255 for all of it."""
    person: UInt8[np.ndarray, "height width"]
    part: UInt8[np.ndarray, "height width"]
    depth_m: Float32[np.ndarray, "height width"]
    """Along the camera's axis, of people and things; 0 where there is only backdrop."""
