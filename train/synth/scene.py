"""Rooms and open ground around people: floor, walls, clutter behind them, occluders before them."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt8

from train.synth.appearance import draw_colour
from train.synth.camera import Camera
from train.synth.furniture import ANY, HARD, UPRIGHT, box, furniture
from train.synth.garments import Wardrobe
from train.synth.lighting import draw_light
from train.synth.person import Person
from train.synth.rendering import Scene
from train.synth.site import Site
from train.synth.things import Finish, Thing, placed, raised, turned

FLOORS: Final = (Finish.TILES, Finish.CONCRETE, Finish.PLAIN, Finish.SPECKLED)
WALLS: Final = (Finish.PLAIN, Finish.TILES, Finish.CONCRETE, Finish.BRUSHED)
CLUTTER: Final = {"hall": (6, 24), "room": (1, 8), "outdoors": (1, 8)}
OCCLUDERS: Final = (0.45, 0.3, 0.15, 0.1)
"""How often 0, 1, 2, 3 things stand between camera and people."""


def build_scene(  # one more than the limit, all named
    rng: np.random.Generator,
    *,
    site: Site,
    camera: Camera,
    people: Sequence[Person],
    wardrobe: Wardrobe,
    centre_m: Float64[np.ndarray, "3"],
    photo: UInt8[np.ndarray, "height width 3"] | None,
    with_occluders: bool,
) -> Scene:
    """Furnish and light the place that the camera sees."""
    away = centre_m - camera.position_m
    away = away * [1, 1, 0]
    away = away / max(float(np.linalg.norm(away)), 1e-6)
    axes = np.stack([np.array([-away[1], away[0], 0]), away, np.array([0, 0, 1.0])], axis=1)
    reach_m = max((float((person.root_m - centre_m) @ away) for person in people), default=0.0)
    things: list[Thing] = []
    if photo is None:
        kind = str(rng.choice(list(CLUTTER), p=(0.6, 0.25, 0.15)))
        things += _surroundings(rng, site, kind, axes=axes, centre_m=centre_m, reach_m=reach_m)
        backdrop = _plain_backdrop(rng, site, camera, is_sky=kind == "outdoors")
    else:
        things.append(_floor(np.zeros(3), Finish.CATCHER, 1.0))
        backdrop = photo
    for person in people:
        things += furniture(rng, site, person, wardrobe)
    if with_occluders and people:
        things += _occluders(rng, site, camera, people)
    spread_m = max(
        (float(np.linalg.norm(person.root_m - centre_m)) for person in people),
        default=0.0,
    )
    return Scene(
        people=[person.drawn for person in people],
        things=things,
        light=draw_light(rng, site, at_m=centre_m, away=away),
        centre_m=centre_m,
        radius_m=2.2 + spread_m,
        backdrop=backdrop,
    )


def _floor(colour: Float64[np.ndarray, "3"], finish: Finish, scale: float) -> Thing:
    return Thing(
        world_from_shape=placed(UPRIGHT, np.array([0, 0, -0.05]), np.array([120, 120, 0.1])),
        colour=colour,
        finish=finish,
        roughness=0.7,
        texture_scale=scale,
    )


def _surroundings(
    rng: np.random.Generator,
    site: Site,
    kind: str,
    *,
    axes: Float64[np.ndarray, "3 3"],
    centre_m: Float64[np.ndarray, "3"],
    reach_m: float,
) -> Iterator[Thing]:
    """Build what lies around and behind; columns of `axes` are left, away from the camera, up."""
    floor_finish = FLOORS[rng.integers(len(FLOORS))]
    yield _floor(
        draw_colour(rng, site, saturation=0.3, brightest=0.8),
        floor_finish,
        rng.uniform(0.5, 3),
    )
    ground_m = centre_m * [1, 1, 0]
    gap_m = rng.uniform(3, 14) if kind == "outdoors" else rng.uniform(0.9, 5)
    wall_m = ground_m + axes[:, 1] * (reach_m + gap_m)
    if kind != "outdoors" or rng.random() < 0.4:
        height_m = rng.uniform(2.6, 7)
        turn = axes @ turned(rng.normal(0, 0.25))
        colour = draw_colour(rng, site, saturation=0.35, brightest=0.95)
        yield box(
            rng,
            turn=turn,
            centre_m=wall_m + axes[:, 1] * 0.1 + raised(height_m / 2),
            size_m=np.array([40, 0.2, height_m]),
            colour=colour,
            among=WALLS,
        )
        yield from _on_the_wall(rng, site, axes=turn, wall_m=wall_m, top_m=height_m)
    if kind == "room" or rng.random() < 0.2:
        side = rng.choice([-1.0, 1.0])
        yield box(
            rng,
            turn=axes,
            centre_m=ground_m + axes[:, 0] * side * rng.uniform(2.5, 5) + raised(1.5),
            size_m=np.array([0.2, 30, 3]),
            colour=draw_colour(rng, site, saturation=0.35, brightest=0.95),
            among=WALLS,
        )
    low, high = CLUTTER[kind]
    for _ in range(rng.integers(low, high)):
        spot_m = (
            wall_m
            - axes[:, 1] * rng.uniform(0.3, max(0.4, min(gap_m - 0.4, 2.5)))
            + axes[:, 0] * rng.uniform(-1, 1) * (4 + reach_m)
        )
        yield from _clutter(rng, site, spot_m)


def _on_the_wall(
    rng: np.random.Generator,
    site: Site,
    *,
    axes: Float64[np.ndarray, "3 3"],
    wall_m: Float64[np.ndarray, "3"],
    top_m: float,
) -> Iterator[Thing]:
    """Hang panels, signs, doors and shining windows."""
    has_windows = rng.random() < 0.35
    for _ in range(rng.integers(0, 7)):
        width_m, height_m = rng.uniform(0.2, 1.8, 2)
        middle_m = rng.uniform(height_m / 2, max(top_m - height_m / 2, height_m / 2 + 0.01))
        shines = has_windows and rng.random() < 0.5
        yield Thing(
            world_from_shape=placed(
                axes,
                wall_m + axes[:, 0] * rng.uniform(-5, 5) + raised(middle_m),
                np.array([width_m, 0.06, height_m]),
            ),
            colour=rng.uniform(0.8, 4.0) * np.array([0.9, 0.95, 1.0])
            if shines
            else draw_colour(rng, site, saturation=0.9),
            finish=Finish.GLOWING if shines else ANY[rng.integers(len(ANY))],
            roughness=rng.uniform(0.2, 0.9),
            texture_scale=rng.uniform(0.5, 3),
        )


def _clutter(
    rng: np.random.Generator,
    site: Site,
    spot_m: Float64[np.ndarray, "3"],
) -> Iterator[Thing]:
    colour = draw_colour(rng, site, saturation=0.8)
    kind = rng.random()
    if kind < 0.25:
        size_m = np.array([*np.full(2, rng.uniform(0.05, 0.5)), rng.uniform(0.5, 3)])
        centre_m = spot_m + raised(size_m[2] / 2)
        yield box(
            rng,
            turn=UPRIGHT,
            centre_m=centre_m,
            size_m=size_m,
            colour=colour,
            shape="cylinder",
        )
    elif kind < 0.4:
        yield from _shelf(rng, site, spot_m)
    else:
        size_m = rng.uniform(0.2, 1.4, 3) * [1, 1, 1.3]
        lift_m = rng.choice([0.0, rng.uniform(0, 2)])
        yield box(
            rng,
            turn=turned(rng.uniform(0, 3)),
            centre_m=spot_m + raised(lift_m + size_m[2] / 2),
            size_m=size_m,
            colour=colour,
        )


def _shelf(
    rng: np.random.Generator,
    site: Site,
    spot_m: Float64[np.ndarray, "3"],
) -> Iterator[Thing]:
    turn = turned(rng.uniform(0, np.pi))
    colour = draw_colour(rng, site, saturation=0.8)
    height_m = rng.uniform(1.2, 2.6)
    for side in (-0.6, 0.6):
        centre_m = spot_m + turn[:, 0] * side + raised(height_m / 2)
        size_m = np.array([0.05, 0.4, height_m])
        yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)
    for level_m in np.arange(0.3, height_m, 0.55):
        centre_m = spot_m + np.array([0, 0, level_m])
        size_m = np.array([1.2, 0.4, 0.03])
        yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)
        for _ in range(rng.integers(0, 3)):
            size_m = rng.uniform(0.12, 0.35, 3)
            offset_m = turn[:, 0] * rng.uniform(-0.45, 0.45) + raised(size_m[2] / 2 + 0.015)
            item = draw_colour(rng, site, saturation=0.9)
            yield box(
                rng,
                turn=turn,
                centre_m=centre_m + offset_m,
                size_m=size_m,
                colour=item,
                among=HARD,
            )


def _occluders(
    rng: np.random.Generator,
    site: Site,
    camera: Camera,
    people: Sequence[Person],
) -> Iterator[Thing]:
    """Put pillars, boxes and benches between the camera and someone."""
    for _ in range(rng.choice(len(OCCLUDERS), p=OCCLUDERS)):
        person = people[int(rng.integers(len(people)))]
        ray_m = camera.position_m - person.middle_m
        side = np.array([-ray_m[1], ray_m[0], 0]) / max(float(np.hypot(*ray_m[:2])), 1e-6)
        spot_m = person.middle_m + ray_m * rng.uniform(0.3, 0.65) + side * rng.normal(0, 0.45)
        colour = draw_colour(rng, site, saturation=0.8)
        kind = rng.random()
        if kind < 0.3:
            size_m = np.array([*np.full(2, rng.uniform(0.03, 0.14)), 3.5])
            centre_m = spot_m * [1, 1, 0] + raised(1.7)
            turn = turned(rng.uniform(0, 3))
            yield box(
                rng,
                turn=turn,
                centre_m=centre_m,
                size_m=size_m,
                colour=colour,
                shape="cylinder",
            )
        elif kind < 0.6:
            size_m = np.array([rng.uniform(0.8, 2.5), rng.uniform(0.3, 0.7), rng.uniform(0.4, 1.1)])
            turn = np.stack([side, np.cross([0, 0, 1.0], side), np.array([0, 0, 1.0])], axis=1)
            centre_m = spot_m * [1, 1, 0] + raised(size_m[2] / 2)
            yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour)
        else:
            size_m = rng.uniform(0.12, 0.55, 3)
            height_m = np.clip(spot_m[2] - rng.uniform(-0.1, 0.5), 0.1, 2.5)
            centre_m = np.array([*spot_m[:2], height_m])
            turn = turned(rng.uniform(0, 3))
            yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour)


def _plain_backdrop(
    rng: np.random.Generator,
    site: Site,
    camera: Camera,
    *,
    is_sky: bool,
) -> UInt8[np.ndarray, "height width 3"]:
    """Fill what no wall hides: a sky or the dusk of a hall, paler towards the bottom."""
    top = (
        np.array([0.45, 0.62, 0.88]) * rng.uniform(0.6, 1.1)
        if is_sky
        else draw_colour(rng, site, saturation=0.3) ** (1 / 2.2)
    )
    bottom = top + (rng.uniform(0.5, 0.95) - top) * rng.uniform(0, 0.9)
    rows = np.linspace(0, 1, camera.height_px)[:, None, None]
    column = np.clip(top * (1 - rows) + bottom * rows, 0, 1) * 255
    return np.ascontiguousarray(
        np.broadcast_to(column, (camera.height_px, camera.width_px, 3)).astype(np.uint8),
    )
