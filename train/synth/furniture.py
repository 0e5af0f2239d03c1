"""What people work at, sit on, hold and wear on their heads."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float64

from train.synth.appearance import Linear, draw_colour, linear
from train.synth.garments import PART, Wardrobe
from train.synth.person import Person
from train.synth.site import Site
from train.synth.things import Finish, Shape, Thing, placed, raised, turned

CARDBOARD: Final = (0.65, 0.48, 0.3)
HAT_AIR_M: Final = {"helmet": 0.022, "cap": 0.009}
HARD: Final = (Finish.PLAIN, Finish.BRUSHED, Finish.SPECKLED)
ANY: Final = (*HARD, Finish.TILES, Finish.HAZARD, Finish.CONCRETE)
UPRIGHT: Final = np.eye(3)


def draw_finish(rng: np.random.Generator, among: tuple[Finish, ...]) -> Finish:
    """Choose a texture."""
    return among[rng.integers(len(among))]


def box(
    rng: np.random.Generator,
    *,
    turn: Float64[np.ndarray, "3 3"],
    centre_m: Float64[np.ndarray, "3"],
    size_m: Float64[np.ndarray, "3"],
    colour: Linear,
    among: tuple[Finish, ...] = ANY,
    shape: Shape = "cube",
) -> Thing:
    """Place a box or cylinder with a random texture."""
    return Thing(
        shape=shape,
        world_from_shape=placed(turn, centre_m, size_m),
        colour=colour,
        finish=draw_finish(rng, among),
        roughness=rng.uniform(0.15, 0.95),
        texture_scale=rng.uniform(0.5, 3),
    )


def furniture(
    rng: np.random.Generator,
    site: Site,
    person: Person,
    wardrobe: Wardrobe,
) -> Iterator[Thing]:
    """Give a person the bench, seat, box, tool and hat that belong to the pose."""
    props = person.body.props
    if props.bench_height_m is not None and rng.random() < 0.85:
        yield from _bench(rng, site, person, props.bench_height_m)
    if props.seat is not None:
        yield from _seat(rng, site, person)
    if props.box_between_hands:
        yield _held_box(rng, site, person)
    elif rng.random() < 0.3:
        yield _tool(rng, site, person)
    if props.ladder:
        yield from _ladder(rng, site, person)
    if person.appearance.hat is not None:
        yield _hat(person, wardrobe)


def _bench(
    rng: np.random.Generator,
    site: Site,
    person: Person,
    height_m: float,
) -> Iterator[Thing]:
    props, turn = person.body.props, turned(person.body.facing_rad)
    depth_m, length_m = rng.uniform(0.45, 0.9), rng.uniform(0.9, 2.2)
    middle_m = (
        person.root_m * [1, 1, 0]
        + person.forward * (props.bench_near_m + 0.02 + depth_m / 2)
        + turn[:, 0] * rng.normal(0, 0.15)
    )
    colour = draw_colour(rng, site)
    if props.is_machine or rng.random() < 0.2:
        size_m = np.array([length_m, depth_m, height_m])
        centre_m = middle_m + raised(height_m / 2)
        yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)
    else:
        size_m = np.array([length_m, depth_m, 0.04])
        centre_m = middle_m + raised(height_m - 0.02)
        yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)
        leg_m = np.array([0.05, 0.05, height_m - 0.04])
        for x in (-1, 1):
            for y in (-1, 1):
                corner = np.array([x * (length_m / 2 - 0.05), y * (depth_m / 2 - 0.05), 0])
                foot_m = middle_m + turn @ corner + raised(leg_m[2] / 2)
                yield box(rng, turn=turn, centre_m=foot_m, size_m=leg_m, colour=0.5 * colour)
    for _ in range(rng.integers(0, 6)):
        size_m = rng.uniform(0.04, 0.25, 3)
        spot = np.array([rng.uniform(-0.4, 0.4) * length_m, -rng.uniform(-0.1, 0.45) * depth_m, 0])
        yield box(
            rng,
            turn=turn @ turned(rng.normal(0, 0.5)),
            centre_m=middle_m + turn @ spot + raised(height_m + size_m[2] / 2),
            size_m=size_m,
            colour=draw_colour(rng, site, saturation=0.9),
            shape="cylinder" if rng.random() < 0.4 else "cube",
        )


def _seat(rng: np.random.Generator, site: Site, person: Person) -> Iterator[Thing]:
    seat = person.body.props.seat
    assert seat is not None
    turn = turned(person.body.facing_rad)
    floor_m = person.root_m * [1, 1, 0] + np.array([*seat.centre_m, 0.0])
    colour = draw_colour(rng, site, saturation=0.5)
    board_m = min(0.06, seat.height_m)
    width_m = rng.uniform(0.36, 0.46)
    yield box(
        rng,
        turn=turn,
        centre_m=floor_m + raised(seat.height_m - board_m / 2),
        size_m=np.array([width_m, width_m, board_m]),
        colour=colour,
        among=HARD,
    )
    yield box(
        rng,
        turn=UPRIGHT,
        centre_m=floor_m + raised((seat.height_m - board_m) / 2),
        size_m=np.array([0.08, 0.08, max(seat.height_m - board_m, 0.01)]),
        colour=0.4 * colour,
        shape="cylinder",
    )
    if rng.random() < 0.4:
        back_m = floor_m - person.forward * (width_m / 2 + 0.03)
        yield box(
            rng,
            turn=turn,
            centre_m=back_m + raised(seat.height_m + 0.25),
            size_m=np.array([width_m, 0.04, 0.42]),
            colour=colour,
            among=HARD,
        )


def _held_box(rng: np.random.Generator, site: Site, person: Person) -> Thing:
    left_m, right_m = person.hands_m
    across = left_m - right_m
    width_m = float(np.linalg.norm(across))
    x = across / max(width_m, 1e-6)
    y = person.forward - x * (x @ person.forward)
    y = y / max(float(np.linalg.norm(y)), 1e-6)
    depth_m = rng.uniform(0.25, 0.4)
    is_cardboard = rng.random() < 0.6
    return box(
        rng,
        turn=np.stack([x, y, np.cross(x, y)], axis=1),
        centre_m=(left_m + right_m) / 2 + person.forward * (0.3 * depth_m + 0.05),
        size_m=np.array([max(width_m - 0.03, 0.1), depth_m, rng.uniform(0.15, 0.35)]),
        colour=linear(CARDBOARD) * rng.uniform(0.6, 1.2)
        if is_cardboard
        else draw_colour(rng, site, saturation=0.8),
        among=(Finish.PLAIN, Finish.BRUSHED),
    )


def _tool(rng: np.random.Generator, site: Site, person: Person) -> Thing:
    axis = rng.standard_normal(3)
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, person.forward)
    side = side / max(float(np.linalg.norm(side)), 1e-6)
    length_m = rng.uniform(0.12, 0.5)
    return box(
        rng,
        turn=np.stack([side, np.cross(axis, side), axis], axis=1),
        centre_m=person.hands_m[rng.integers(2)] + axis * rng.uniform(-0.3, 0.3) * length_m,
        size_m=np.array([*rng.uniform(0.02, 0.07, 2), length_m]),
        colour=draw_colour(rng, site, saturation=0.9),
        among=HARD,
        shape="cylinder" if rng.random() < 0.6 else "cube",
    )


def _ladder(rng: np.random.Generator, site: Site, person: Person) -> Iterator[Thing]:
    turn = turned(person.body.facing_rad)
    colour = draw_colour(rng, site, saturation=0.9)
    hands_m = person.hands_m.mean(axis=0)
    ankles_m = person.joints_m[15:17].mean(axis=0)
    rise = hands_m - ankles_m
    rise = rise / max(float(rise[2]), 0.3)
    foot_m = ankles_m + person.forward * 0.08 - rise * ankles_m[2]
    height_m = float(hands_m[2]) + rng.uniform(0.2, 1.0)
    lean = np.stack([turn[:, 0], np.cross(rise, turn[:, 0]), rise], axis=1)
    for side in (-0.22, 0.22):
        centre_m = foot_m + rise * height_m / 2 + turn[:, 0] * side
        size_m = np.array([0.04, 0.07, height_m])
        yield box(rng, turn=lean, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)
    for height in np.arange(0.28, height_m, 0.28):
        size_m = np.array([0.42, 0.03, 0.03])
        centre_m = foot_m + rise * height
        yield box(rng, turn=turn, centre_m=centre_m, size_m=size_m, colour=colour, among=HARD)


def _hat(person: Person, wardrobe: Wardrobe) -> Thing:
    hat = person.appearance.hat
    assert hat is not None
    scalp_m = person.body.rest_vertices_m[wardrobe.scalp].astype(np.float64)
    low_m, high_m = scalp_m.min(axis=0), scalp_m.max(axis=0)
    air_m = HAT_AIR_M[hat]
    size_m = np.array([*((high_m - low_m)[:2] / 2 + air_m), high_m[2] - low_m[2] + air_m / 2])
    middle_m = np.array([*((low_m + high_m)[:2] / 2), low_m[2] + 0.02, 1.0])
    posed_from_rest = person.body.bone_transforms[wardrobe.head_bone].astype(np.float64)
    return Thing(
        shape=hat,
        world_from_shape=placed(
            posed_from_rest[:3, :3],
            posed_from_rest[:3] @ middle_m + person.shift_m,
            size_m,
        ),
        colour=person.appearance.hat_colour,
        roughness=0.25 if hat == "helmet" else 0.9,
        texture_scale=0.3,
        person=person.number,
        part=PART["hat"],
    )
