"""One labelled picture: place people and a camera, furnish, render, label, photograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from train.synth.anatomy import PosedBody
from train.synth.camera import Camera
from train.synth.framing import close_camera, hall_view
from train.synth.garments import PART, Wardrobe
from train.synth.person import Person, stage_person
from train.synth.photograph import photograph
from train.synth.renderer import Renderer
from train.synth.rendering import Rendering
from train.synth.scene import build_scene
from train.synth.site import Site
from train.synth.visibility import PersonLabel, label_people

View: TypeAlias = Literal["close", "hall"]
HALL_SHARE: Final = 1 / 6
HALL_PEOPLE: Final = (0.1, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15)
"""How often a hall shows 0, 1, … 6 people."""
CLOSE_PEOPLE: Final = (0.03, 0.75, 0.22)
HALL_SIZE: Final = (1.75, 1.3125)
"""Width and height of a hall view over the side of a close view: 448 x 336 beside 256."""
UPPER_BODY_SHARE: Final = 0.2
PHOTO_SHARE: Final = 0.35
LEAST_VISIBLE: Final = 0.2
"""A close view of which less can be seen is taken again without occluders."""
LEGS: Final = tuple(
    PART[f"{side}_{part}"] for side in ("left", "right") for part in ("thigh", "shin", "foot")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlan:
    """What a picture is to show, before anything is drawn by chance but this."""

    view: View
    people: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """All that stays the same from picture to picture."""

    site: Site
    wardrobe: Wardrobe
    renderer: Renderer
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    """RGB; shown behind the people in some pictures, if there are any."""
    size_px: int
    """Side of a close view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrame:
    """A picture with everything known about it."""

    image: UInt8[np.ndarray, "height width 3"]
    """RGB."""
    person: UInt8[np.ndarray, "height width"]
    """Number of the person seen, 0 for none."""
    soft: UInt8[np.ndarray, "height width"]
    depth_m: Float32[np.ndarray, "height width"]
    """Of people only; 0 elsewhere."""
    camera: Camera
    people: Sequence[PersonLabel]
    seed: int


def plan_frames(
    rng: np.random.Generator, count: int, *, hall_share: float = HALL_SHARE
) -> list[FramePlan]:
    """Decide views and head counts of a number of pictures."""
    plans = []
    for _ in range(count):
        is_hall = rng.random() < hall_share
        shares = HALL_PEOPLE if is_hall else CLOSE_PEOPLE
        plans.append(
            FramePlan(
                view="hall" if is_hall else "close",
                people=int(rng.choice(len(shares), p=shares)),
                seed=int(rng.integers(2**63)),
            ),
        )
    return plans


def compose_frame(studio: Studio, plan: FramePlan, bodies: Sequence[PosedBody]) -> LabelledFrame:
    """Make the picture that a plan and its bodies describe; twice the same, on one renderer."""
    assert len(bodies) == plan.people
    rng = np.random.default_rng(plan.seed)
    people, camera = (_hall if plan.view == "hall" else _close)(rng, studio, bodies)
    photo = _photo(rng, studio, camera)
    scene_seed = int(rng.integers(2**63))
    rendering, labels = _shoot(studio, people, camera, photo, scene_seed, with_occluders=True)
    hidden = not labels or labels[0].number != 1 or labels[0].visible_fraction < LEAST_VISIBLE
    if plan.view == "close" and people and hidden:
        rendering, labels = _shoot(studio, people, camera, photo, scene_seed, with_occluders=False)
    return LabelledFrame(
        image=photograph(rng, studio.site, rendering.image, rendering.depth_m),
        person=rendering.person,
        soft=rendering.soft,
        depth_m=np.where(rendering.person > 0, rendering.depth_m, np.float32(0)),
        camera=camera,
        people=labels,
        seed=plan.seed,
    )


def _shoot(  # one more than the limit, all named
    studio: Studio,
    people: Sequence[Person],
    camera: Camera,
    photo: UInt8[np.ndarray, "height width 3"] | None,
    seed: int,
    *,
    with_occluders: bool,
) -> tuple[Rendering, list[PersonLabel]]:
    centre_m = (
        np.mean([person.middle_m for person in people], axis=0)
        if people
        else camera.position_m + 3.0 * camera.camera_from_world[2, :3]
    )
    scene = build_scene(
        np.random.default_rng(seed),
        site=studio.site,
        camera=camera,
        people=people,
        wardrobe=studio.wardrobe,
        centre_m=centre_m,
        photo=photo,
        with_occluders=with_occluders,
    )
    rendering = studio.renderer.render(scene, camera)
    return rendering, label_people(people, camera, rendering, studio.renderer)


def _close(
    rng: np.random.Generator,
    studio: Studio,
    bodies: Sequence[PosedBody],
) -> tuple[list[Person], Camera]:
    people = []
    for number, body in enumerate(bodies, start=1):
        bearing, distance_m = rng.uniform(-np.pi, np.pi), rng.uniform(0.55, 2)
        aside_m = np.array([np.cos(bearing), np.sin(bearing)]) * distance_m
        people.append(
            stage_person(
                body,
                number=number,
                at_m=np.zeros(2) if number == 1 else aside_m,
                wardrobe=studio.wardrobe,
                site=studio.site,
                rng=rng,
            ),
        )
    focus_m = np.array([[-0.5, -0.5, 0], [0.5, 0.5, 1.8]], np.float32)
    if people:
        focus_m = people[0].vertices_m
        if rng.random() < UPPER_BODY_SHARE:
            focus_m = focus_m[~np.isin(studio.wardrobe.vertex_data[:, -1].astype(int), LEGS)]
    camera = close_camera(
        rng,
        studio.site,
        focus_m=focus_m,
        size_px=studio.size_px,
        keep_clear_m=np.array([person.middle_m for person in people]).reshape(-1, 3),
    )
    return people, camera


def _hall(
    rng: np.random.Generator,
    studio: Studio,
    bodies: Sequence[PosedBody],
) -> tuple[list[Person], Camera]:
    width_px, height_px = (round(studio.size_px * side) for side in HALL_SIZE)
    camera, places_m = hall_view(
        rng, studio.site, len(bodies), width_px=width_px, height_px=height_px
    )
    people = [
        stage_person(
            body,
            number=number,
            at_m=place_m,
            wardrobe=studio.wardrobe,
            site=studio.site,
            rng=rng,
        )
        for number, (body, place_m) in enumerate(zip(bodies, places_m, strict=True), start=1)
    ]
    return people, camera


def _photo(
    rng: np.random.Generator,
    studio: Studio,
    camera: Camera,
) -> UInt8[np.ndarray, "height width 3"] | None:
    """Cut a backdrop of the picture's shape from one of the photos, in a share of the pictures."""
    if not studio.photos or rng.random() > PHOTO_SHARE:
        return None
    photo = studio.photos[int(rng.integers(len(studio.photos)))]
    height, width = photo.shape[:2]
    aspect = camera.width_px / camera.height_px
    tall = min(height, width / aspect) * rng.uniform(0.6, 1.0)
    rows, columns = int(tall), int(tall * aspect)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    cut = photo[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        cut = np.ascontiguousarray(cut[:, ::-1])
    return cv2.resize(cut, (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA)
