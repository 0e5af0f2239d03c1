"""What one person looks like: skin, hair, clothes and equipment in the colours of a site."""

import colorsys
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from train.synth.garments import LONGEST_HAIR_M, Layer
from train.synth.site import Colour, Site

Linear: TypeAlias = Float64[np.ndarray, "3"]
"""A colour in linear light."""

SKIN_TONES: Final[tuple[Colour, ...]] = (
    (0.96, 0.93, 0.89),
    (0.95, 0.91, 0.86),
    (0.97, 0.92, 0.82),
    (0.92, 0.85, 0.73),
    (0.84, 0.74, 0.59),
    (0.63, 0.49, 0.34),
    (0.51, 0.36, 0.26),
    (0.38, 0.25, 0.20),
    (0.23, 0.19, 0.16),
    (0.16, 0.14, 0.13),
)
"""Ten even steps from light to dark, after E. Monk's skin tone scale."""
HAIR: Final[tuple[Colour, ...]] = (
    (0.05, 0.04, 0.04),
    (0.20, 0.12, 0.07),
    (0.35, 0.22, 0.12),
    (0.60, 0.45, 0.25),
    (0.50, 0.50, 0.50),
)
IRISES: Final[tuple[Colour, ...]] = ((0.25, 0.15, 0.08), (0.3, 0.45, 0.6), (0.3, 0.4, 0.25))
NEVER: Final = 9.0
"""A limit beyond the end of every limb."""

TROUSERS_SWELL: Final = ((0.6, 0.0, 0.0, 1.0), (0.2, 0.0, 0.0, 0.0))
SHIRT_SWELL: Final = ((1.0, 1.0, 0.2, 0.7), (0.0, 0.0, 0.1, 0.0))
VEST_SWELL: Final = ((1.0, 0.8, 0.0, 0.7), (0.0, 0.0, 0.0, 0.0))
LONG_HAIR_SWELL: Final = ((1.0, 0.8, 0.0, 0.0), (0.0, 0.35, 0.75, 0.0))
"""On the back it lies over all that is worn there."""
EVERYWHERE: Final = ((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0))


class Pattern(IntEnum):
    """What is printed on the upper body; the numbers are the shader's."""

    PLAIN = 0
    STRIPES = 1
    YOKE = 2
    BANDS = 3
    CHECKS = 4
    PRINT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """One layer as worn by one person.  Limits are ways along limb or trunk: elbow 1, wrist 2."""

    layer: Layer
    offset_m: float = 0.0
    swell: tuple[tuple[float, ...], tuple[float, ...]] = EVERYWHERE
    """How far each group of bones moves outwards, as shares of the offset."""
    colour: Linear
    second_colour: Linear
    pattern: Pattern = Pattern.PLAIN
    sleeve: float = NEVER
    hem: float = -NEVER
    leg_cut: float = NEVER
    wrinkle: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """Everything the renderer needs to dress one body."""

    seed: float
    skin: Linear
    hair: Linear
    iris: Linear
    hairline_m: float
    """Above the eyes."""
    hair_falls_m: float
    """Below the eyes, behind; 0 for short hair."""
    face_wear: tuple[float, float, float]
    """Strength of a beard, a mask, dark glasses."""
    garments: tuple[Garment, ...]
    hat: Literal["helmet", "cap"] | None
    hat_colour: Linear

    def worn(self, layer: Layer) -> Garment | None:
        """Find a layer among the garments."""
        return next((garment for garment in self.garments if garment.layer == layer), None)


def linear(colour: Colour) -> Linear:
    """Turn sRGB into linear light, with the plain power law."""
    return np.asarray(colour, np.float64) ** 2.2


def draw_colour(
    rng: np.random.Generator,
    site: Site,
    *,
    saturation: float = 0.6,
    brightest: float = 0.9,
) -> Linear:
    """Draw a colour, mostly from the site's palette."""
    if rng.random() < site.palette_share:
        near = np.array(site.palette[rng.integers(len(site.palette))]) * rng.uniform(0.7, 1.3)
        return np.clip(near + rng.normal(0, 0.02, 3), 0.01, 1) ** 2.2
    hue, grey, bright = rng.random(), rng.random() * saturation, rng.uniform(0.05, brightest)
    return linear(colorsys.hsv_to_rgb(hue, grey, bright))


def draw_appearance(rng: np.random.Generator, site: Site) -> Appearance:
    """Dress a person for work, for the office or for the street."""
    tone = np.array(SKIN_TONES[rng.integers(len(SKIN_TONES))]) * rng.uniform(0.85, 1.05)
    tint = np.array([1.0, rng.uniform(0.95, 1.02), rng.uniform(0.9, 1.02)])
    hair = linear(HAIR[rng.choice(len(HAIR), p=(0.35, 0.3, 0.15, 0.1, 0.1))])
    hair = hair * rng.uniform(0.7, 1.3)
    hat_draw = rng.random()
    hat: Literal["helmet", "cap"] | None = (
        "helmet" if hat_draw < 0.33 else "cap" if hat_draw < 0.45 else None
    )
    upper = _upper_body(rng, site)
    gloves = _gloves(rng, site) if rng.random() < 0.35 else None
    garments = [_plain(Layer.SKIN), _trousers(rng, site, upper), upper, _boots(rng, site)]
    if rng.random() < 0.33:
        garments.append(_vest(rng, site, upper.offset_m))
    garments.append(gloves or _plain(Layer.HANDS))
    hair_falls_m = 0.0
    if rng.random() < (0.2 if hat else 0.35):
        hair_falls_m = rng.uniform(0.08, LONGEST_HAIR_M)
        hair_m = rng.uniform(0.04, 0.06)
        garments.append(replace(_plain(Layer.HAIR, offset_m=hair_m), swell=LONG_HAIR_SWELL))
    elif hat is not None or rng.random() < 0.9:
        thickness_m = 0.004 if hat else rng.uniform(0.006, 0.026)
        garments.append(_plain(Layer.HAIR, offset_m=thickness_m))
    return Appearance(
        seed=rng.uniform(0, 100),
        skin=np.clip(linear(tuple(np.clip(tone * tint, 0, 1))), 0.01, 0.85),
        hair=hair,
        iris=linear(IRISES[rng.integers(len(IRISES))]),
        hairline_m=rng.uniform(0.067, 0.097),
        hair_falls_m=hair_falls_m,
        face_wear=_face_wear(rng),
        garments=tuple(garments),
        hat=hat,
        hat_colour=linear(site.hats[rng.integers(len(site.hats))]),
    )


def _face_wear(rng: np.random.Generator) -> tuple[float, float, float]:
    beard = rng.uniform(0.3, 0.95) if rng.random() < 0.2 else 0.0
    mask = 1.0 if rng.random() < 0.06 else 0.0
    glasses = rng.uniform(0.5, 1.0) if rng.random() < 0.12 else 0.0
    return beard, mask, glasses


def _plain(layer: Layer, *, offset_m: float = 0.0) -> Garment:
    return Garment(layer=layer, offset_m=offset_m, colour=np.ones(3), second_colour=np.ones(3))


def _hi_vis(rng: np.random.Generator, site: Site) -> Linear:
    return linear(site.hi_vis[rng.integers(len(site.hi_vis))])


def _upper_body(rng: np.random.Generator, site: Site) -> Garment:
    sleeve_draw = rng.random()
    if sleeve_draw < 0.55:
        sleeve = rng.uniform(1.75, 1.97)
    elif sleeve_draw < 0.65:
        sleeve = rng.uniform(0.9, 1.3)
    elif sleeve_draw < 0.95:
        sleeve = rng.uniform(0.35, 0.75)
    else:
        sleeve = rng.uniform(0.05, 0.2)
    pattern = Pattern(int(rng.choice(6, p=(0.46, 0.12, 0.12, 0.12, 0.08, 0.10))))
    is_coat = rng.random() < 0.08
    return Garment(
        layer=Layer.SHIRT,
        offset_m=rng.uniform(0.006, 0.032),
        swell=SHIRT_SWELL,
        colour=_hi_vis(rng, site)
        if pattern is Pattern.BANDS
        else draw_colour(rng, site, saturation=0.85, brightest=0.97),
        second_colour=draw_colour(rng, site, saturation=0.9),
        pattern=pattern,
        sleeve=sleeve,
        hem=rng.uniform(-0.5, -0.3) if is_coat else rng.uniform(-0.12, 0.1),
        wrinkle=rng.uniform(0.3, 1.0),
    )


def _trousers(rng: np.random.Generator, site: Site, upper: Garment) -> Garment:
    colour_draw = rng.random()
    if colour_draw < 0.18:
        colour = upper.colour
    elif colour_draw < 0.35:
        colour = 0.8 * _hi_vis(rng, site)
    else:
        colour = draw_colour(rng, site, saturation=0.5, brightest=0.7)
    return Garment(
        layer=Layer.TROUSERS,
        offset_m=rng.uniform(0.006, 0.03),
        swell=TROUSERS_SWELL,
        colour=colour,
        second_colour=colour,
        leg_cut=1.93 if rng.random() < 0.85 else rng.uniform(0.55, 1.1),
        wrinkle=rng.uniform(0.3, 0.9),
    )


def _vest(rng: np.random.Generator, site: Site, shirt_offset_m: float) -> Garment:
    colour = _hi_vis(rng, site)
    return Garment(
        layer=Layer.VEST,
        offset_m=shirt_offset_m + rng.uniform(0.008, 0.02),
        swell=VEST_SWELL,
        colour=colour,
        second_colour=colour,
        pattern=Pattern.BANDS,
        sleeve=0.35,
        hem=rng.uniform(-0.05, 0.12),
        wrinkle=0.4,
    )


def _gloves(rng: np.random.Generator, site: Site) -> Garment:
    colour = draw_colour(rng, site, saturation=0.8, brightest=0.95)
    return Garment(
        layer=Layer.GLOVES,
        offset_m=rng.uniform(0.0015, 0.004),
        colour=colour,
        second_colour=colour,
        sleeve=rng.uniform(1.7, 2.0),
        wrinkle=0.3,
    )


def _boots(rng: np.random.Generator, site: Site) -> Garment:
    colour = draw_colour(rng, site, saturation=0.5, brightest=0.8)
    return Garment(
        layer=Layer.BOOTS,
        offset_m=rng.uniform(0.008, 0.014),
        colour=colour,
        second_colour=colour,
        leg_cut=rng.uniform(1.55, 1.9),
        wrinkle=0.15,
    )
