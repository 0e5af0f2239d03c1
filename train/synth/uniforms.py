"""What the shaders are told: in go people, garments, light and camera, out come their uniforms."""

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from train.synth.appearance import Garment
from train.synth.camera import Camera
from train.synth.garments import Layer
from train.synth.lighting import Light
from train.synth.opengl import clip_from_world
from train.synth.rendering import DressedBody

NEAR_M: Final = 0.1
FAR_M: Final = 60.0
NOISE_UNIT, FRACTAL_UNIT, SHADOW_UNIT, BACKDROP_UNIT = range(4)
"""Where the textures are bound."""


def view_uniforms(
    light: Light,
    camera: Camera,
    *,
    shadow_from_world: Float64[np.ndarray, "4 4"],
    picture_size: tuple[int, int],
    eye_m: Float32[np.ndarray, "3"],
) -> dict[str, object]:
    """Say what everything in a picture shares; `picture_size` is width, height in samples."""
    return {
        "u_clip_from_world": clip_from_world(camera, near_m=NEAR_M, far_m=FAR_M),
        "u_depth_from_world": camera.camera_from_world[2],
        "u_camera": camera.position_m,
        "u_sun_direction": light.direction,
        "u_sun_colour": light.colour,
        "u_sky_colour": light.sky,
        "u_ground_colour": light.ground,
        "u_lamp_positions": light.lamp_positions_m,
        "u_lamp_colours": light.lamp_colours,
        "u_shadow_from_world": shadow_from_world,
        "u_shadow_softness": light.shadow_softness,
        "u_exposure": light.exposure,
        "u_noise": NOISE_UNIT,
        "u_fractal": FRACTAL_UNIT,
        "u_shadow": SHADOW_UNIT,
        "u_backdrop": BACKDROP_UNIT,
        "u_backdrop_texel": np.array([1 / picture_size[0], 1 / picture_size[1]]),
        "u_eye": eye_m,
    }


def person_uniforms(person: DressedBody) -> dict[str, object]:
    """Say what all layers of one person share: skin, hair, and where clothes end."""
    look = person.appearance
    shirt, trousers = look.worn(Layer.SHIRT), look.worn(Layer.TROUSERS)
    gloves, boots = look.worn(Layer.GLOVES), look.worn(Layer.BOOTS)
    covered = (
        shirt.sleeve if shirt else -9.0,
        trousers.leg_cut if trousers else -9.0,
        gloves.sleeve if gloves else 9.0,
        boots.leg_cut if boots else 9.0,
    )
    return {
        "u_person": float(person.number),
        "u_skin": look.skin,
        "u_hair": look.hair,
        "u_iris": look.iris,
        "u_hairline": look.hairline_m,
        "u_hair_falls": look.hair_falls_m,
        "u_face_wear": np.array(look.face_wear),
        "u_covered": np.array(covered),
        "u_covered_hem": shirt.hem if shirt else 9.0,
    }


def garment_uniforms(garment: Garment, seed: float) -> dict[str, object]:
    """Say how one garment is cut and coloured."""
    swell, more_swell = garment.swell
    return {
        "u_offset": garment.offset_m,
        "u_seed": seed + 3.1 * garment.layer,
        "u_swell": np.array(swell, np.float64),
        "u_more_swell": np.array(more_swell, np.float64),
        "u_colour": garment.colour,
        "u_second_colour": garment.second_colour,
        "u_pattern": int(garment.pattern),
        "u_sleeve": garment.sleeve,
        "u_hem": garment.hem,
        "u_leg_cut": garment.leg_cut,
        "u_wrinkle": garment.wrinkle,
    }
