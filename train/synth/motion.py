"""A body that moves: in goes a stretch of motion capture, out comes one body, moment after moment.

Shape, hands and the twists that places cannot tell stay the same throughout.  How far somebody
walks is measured in legs, so that feet do not slide on longer ones.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from train.synth.anatomy import BodyModel, PosedBody
from train.synth.kinematics import Posture
from train.synth.measures import Measures
from train.synth.mocap import TRACKED, Clip, mirrored
from train.synth.retarget import retarget
from train.synth.rotations import about_z

_LEGS: Final = np.array(
    [[TRACKED.index(f"{joint}.{side}") for joint in ("hip", "knee", "ankle")] for side in "LR"]
)
_RATE_TOLERANCE: Final = 0.05
"""By which a recording may seem faster or slower than it was."""


def cut_stretch(
    rng: np.random.Generator, clip: Clip, *, moments: int, rate_hz: int
) -> Float32[np.ndarray, "moments tracked 3"] | None:
    """Cut a piece somewhere out of a recording, as it is or mirrored, so many moments a second.

    None where the recording is too short, too slow, or does not say how fast it is.
    """
    if clip.frame_s is None:
        return None
    every = round(1 / (rate_hz * clip.frame_s))
    length = (moments - 1) * every + 1
    too_slow = abs(every * clip.frame_s * rate_hz - 1) > _RATE_TOLERANCE
    if too_slow or len(clip.places) < length:
        return None
    start = int(rng.integers(len(clip.places) - length + 1))
    places = clip.places[start : start + length : every]
    if rng.random() < 0.5:
        places = mirrored(places)
    return places


def move(
    model: BodyModel,
    recorded: Float32[np.ndarray, "moments tracked 3"],
    *,
    rng: np.random.Generator,
) -> list[PosedBody]:
    """Let a body of chance do what was recorded, turned anyhow, its lowest point on the floor.

    `recorded` are places of the tracked joints in our axes, in the recording's own unit.
    """
    rest = model.rest(1, rng=rng)
    measures = rest.measures[0]
    places = recorded.astype(np.float64) @ about_z(float(rng.uniform(-np.pi, np.pi))).T
    seed = int(rng.integers(2**63))
    postures = [
        _posture(now, hips_m, measures=measures, rng=np.random.default_rng(seed))
        for now, hips_m in zip(places, _walk_m(places, measures), strict=True)
    ]
    vertices_m, posed_from_rest = model.pose(rest, postures)
    lowest_m = vertices_m[:, :, 2].min()
    return [
        model.body(
            posture,
            vertices_m=vertices_m[moment],
            posed_from_rest=posed_from_rest[moment],
            rest_vertices_m=rest.vertices_m[0],
            rise_m=-lowest_m,
            activity="mocap",
            facing_rad=_facing_rad(posture),
        )
        for moment, posture in enumerate(postures)
    ]


def _facing_rad(posture: Posture) -> float:
    left = posture.world_turn("root") @ np.array([1.0, 0.0, 0.0])
    return float(np.arctan2(left[1], left[0]))


def _walk_m(
    places: Float64[np.ndarray, "moments tracked 3"], measures: Measures
) -> Float64[np.ndarray, "moments 3"]:
    """Tell where the middle of the hips is, from where it begins, for legs of the body's own."""
    legs = places[:, _LEGS]
    recorded = float(np.linalg.norm(np.diff(legs, axis=2), axis=3).sum(axis=2).mean())
    hips = legs[:, :, 0].mean(axis=1)
    return np.asarray((hips - hips[0]) * (measures.thigh_m + measures.shin_m) / recorded)


def _posture(
    places: Float64[np.ndarray, "tracked 3"],
    hips_m: Float64[np.ndarray, "3"],
    *,
    measures: Measures,
    rng: np.random.Generator,
) -> Posture:
    posture = retarget(dict(zip(TRACKED, places, strict=True)), measures=measures, rng=rng)
    now_m = (posture.head_m("upperleg01.L") + posture.head_m("upperleg01.R")) / 2.0
    posture.root_m = posture.root_m + hips_m - now_m
    posture.update()
    return posture
