"""One person on stage: a posed body, moved to its place on the floor and dressed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from train.synth.anatomy import PosedBody
from train.synth.appearance import Appearance, draw_appearance
from train.synth.garments import Surfaces, Wardrobe, surfaces_of
from train.synth.rendering import DressedBody
from train.synth.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A body with a number, a place and clothes."""

    number: int
    body: PosedBody
    shift_m: Float64[np.ndarray, "3"]
    """From where the body was posed to where it stands."""
    vertices_m: Float32[np.ndarray, "vertices 3"]
    middle_m: Float64[np.ndarray, "3"]
    """Middle of the body's extent."""
    surfaces: Surfaces
    appearance: Appearance

    @property
    def joints_m(self) -> Float64[np.ndarray, "joints 3"]:
        """World coordinates."""
        return self.body.joints_m + self.shift_m

    @property
    def hands_m(self) -> Float64[np.ndarray, "2 3"]:
        """World coordinates, left then right."""
        return self.body.hands_m + self.shift_m

    @property
    def root_m(self) -> Float64[np.ndarray, "3"]:
        """Hip centre in the world."""
        return self.body.root_m + self.shift_m

    @property
    def forward(self) -> Float64[np.ndarray, "3"]:
        """Where the person faces; level, unit length."""
        return np.array([np.sin(self.body.facing_rad), -np.cos(self.body.facing_rad), 0.0])

    @property
    def drawn(self) -> DressedBody:
        """What the renderer needs."""
        return DressedBody(number=self.number, surfaces=self.surfaces, appearance=self.appearance)


def stage_person(
    body: PosedBody,
    *,
    number: int,
    at_m: Float64[np.ndarray, "2"],
    wardrobe: Wardrobe,
    site: Site,
    rng: np.random.Generator,
) -> Person:
    """Put the hips of a body over a point of the floor and dress it."""
    shift_m = np.array([*(at_m - body.root_m[:2]), 0.0])
    vertices_m = (body.vertices_m + shift_m).astype(np.float32)
    return Person(
        number=number,
        body=body,
        shift_m=shift_m,
        vertices_m=vertices_m,
        middle_m=((vertices_m.min(axis=0) + vertices_m.max(axis=0)) / 2).astype(np.float64),
        surfaces=surfaces_of(wardrobe, vertices_m),
        appearance=draw_appearance(rng, site),
    )
