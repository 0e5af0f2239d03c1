"""What stands between a camera and somebody: boards, machines, the edges of tables.

In: a crop and where its joints are.  Out: the crop with something before the person, and who and
what is still to be seen.  A teacher saw the person before, so a network learns from real pictures
too where hidden joints are; no label of a picture in which somebody is really hidden says that.

Half of what is drawn is a board before some joint, the head more often than others, for whose face
is hidden shows neither where they look nor which side is left; a quarter ends the person along a
line, as tables, doors and machines do; a quarter is a rectangle anywhere.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from edge_pose import skeleton

BOARD_SHARE: Final = 0.55
EDGE_SHARE: Final = 0.25
BOARD_SIDES: Final = (0.07, 0.44)
"""Of the crop's side."""
BOARD_TILT_DEG: Final = 25.0
OFF_THE_JOINT: Final = 0.45
"""Of the board's sides: how far its middle may lie from the joint that it hides."""
_HEAD_WEIGHT: Final = 3.0
_SHOULDER_WEIGHT: Final = 2.0
EDGE_DEG: Final = ((90.0, 0.6), (0.0, 0.15), (180.0, 0.15), (270.0, 0.1))
"""Towards what an edge hides, clockwise from the right, and how often: mostly below a table's."""
EDGE_TILT_DEG: Final = 12.0
LEFT_ABOVE: Final = (0.3, 0.85)
"""Of the joints, on the side of an edge that stays in sight."""
BEAM_SHARE: Final = 0.4
"""Of edges: what hides ends again, as a rail does."""
BEAM_SIDES: Final = (0.12, 0.62)
RECTANGLE_SIDES: Final = (0.1, 0.4)
FEWEST_IN_SIGHT: Final = 3
"""Joints; of whom less would be left stays as they were, for nobody could tell where they are."""
FEWEST_FOR_EDGE: Final = 4
_SOFT_PX: Final = (0.4, 1.4)
OF_THE_PICTURE: Final = 0.45
"""How often a board looks like a piece of the picture's rim, else plain, mottled or marked."""
PIECE: Final = 0.3
"""Of the crop's side: how large that piece is."""
_MARKED: Final = 0.3


def hide(
    image: UInt8[np.ndarray, "side side 3"],
    joints_px: Float32[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, "joints"],
    foreground: UInt8[np.ndarray, "side side"] | None,
    rng: np.random.Generator,
) -> tuple[
    UInt8[np.ndarray, "side side 3"],
    Bool[np.ndarray, "joints"],
    UInt8[np.ndarray, "side side"] | None,
]:
    """Put something before a person; joints and pixels of people behind it are in sight no more.

    Args:
        image: the crop, BGR.
        joints_px: where joints are in it, hidden or not.
        visible: those in sight; where there are none, nobody is known to be there.
        foreground: share of each pixel that shows people, 0 to 255, or None.
        rng: what is drawn and where.

    """
    side_px = len(image)
    before = _before(joints_px, visible, side_px, rng)
    looks = look_of_board(image, rng)
    at = np.clip(np.rint(joints_px), 0, side_px - 1).astype(int)
    inside = ((joints_px >= 0) & (joints_px <= side_px - 1)).all(axis=1)
    in_sight = visible & ~(inside & (before[at[:, 1], at[:, 0]] > 0.5))
    if visible.any() and in_sight.sum() < FEWEST_IN_SIGHT:
        return image, visible, foreground
    share = before[..., None]
    hidden = (image * (1 - share) + looks * share).astype(np.uint8)
    if foreground is not None:
        foreground = (foreground * (1 - before)).astype(np.uint8)
    return hidden, in_sight, foreground


def _before(
    joints_px: Float32[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, "joints"],
    side_px: int,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "side side"]:
    """Draw where something stands, 0 to 1, with edges as soft as a lens makes them."""
    mask = np.zeros((side_px, side_px), np.uint8)
    lot = rng.random()
    if lot < BOARD_SHARE and visible.any():
        _draw_board(mask, joints_px, visible, rng)
    elif lot < BOARD_SHARE + EDGE_SHARE and visible.sum() >= FEWEST_FOR_EDGE:
        _draw_edge(mask, joints_px[visible], rng)
    else:
        size_px = rng.uniform(*RECTANGLE_SIDES, 2) * side_px
        x0, y0 = np.maximum(rng.uniform(-0.1, 0.9, 2) * side_px, 0)
        x1, y1 = x0 + size_px[0], y0 + size_px[1]
        mask[int(y0) : int(y1), int(x0) : int(x1)] = 255
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(*_SOFT_PX))
    return np.asarray(soft, np.float32) / 255


def _draw_board(
    mask: UInt8[np.ndarray, "side side"],
    joints_px: Float32[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, "joints"],
    rng: np.random.Generator,
) -> None:
    weights = WEIGHTS * visible
    joint_px = joints_px[rng.choice(len(weights), p=weights / weights.sum())]
    size_px = rng.uniform(*BOARD_SIDES, 2) * len(mask)
    middle_px = joint_px + rng.uniform(-OFF_THE_JOINT, OFF_THE_JOINT, 2) * size_px
    tilt_deg = BOARD_TILT_DEG * rng.standard_normal()
    fill_rectangle(mask, middle_px, size_px, float(tilt_deg))


def fill_rectangle(
    mask: UInt8[np.ndarray, "height width"],
    middle_px: Float64[np.ndarray, "2"],
    size_px: Float64[np.ndarray, "2"],
    tilt_deg: float,
) -> None:
    """Draw a turned rectangle into a mask."""
    corners = cv2.boxPoints((_pair(middle_px), _pair(size_px), tilt_deg))
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 255)


def _draw_edge(
    mask: UInt8[np.ndarray, "side side"],
    joints_px: Float32[np.ndarray, "known 2"],
    rng: np.random.Generator,
) -> None:
    directions, shares = zip(*EDGE_DEG, strict=True)
    towards_rad = np.radians(rng.choice(directions, p=shares) + EDGE_TILT_DEG * rng.normal())
    towards = np.array([np.cos(towards_rad), np.sin(towards_rad)])
    begins_px = np.quantile(joints_px @ towards, rng.uniform(*LEFT_ABOVE))
    deep_px = rng.uniform(*BEAM_SIDES) * len(mask) if rng.random() < BEAM_SHARE else np.inf
    rows, columns = np.mgrid[: len(mask), : len(mask)]
    behind_px = columns * towards[0] + rows * towards[1] - begins_px
    mask[(behind_px > 0) & (behind_px < deep_px)] = 255


def look_of_board(
    image: UInt8[np.ndarray, "side side 3"], rng: np.random.Generator
) -> Float32[np.ndarray, "side side 3"]:
    """Draw a surface as large as the crop: a piece of its rim, or something plain or mottled."""
    side_px = len(image)
    if rng.random() < OF_THE_PICTURE:
        piece_px = round(PIECE * side_px)
        x, y = (int(value) * (side_px - piece_px) for value in rng.integers(0, 2, 2))
        piece = cv2.resize(image[y : y + piece_px, x : x + piece_px], (side_px, side_px))
        turned = np.rot90(piece, int(rng.integers(4))).astype(np.float32)
        surface = turned * np.exp(0.3 * rng.standard_normal()) + 12 * rng.standard_normal(3)
    else:
        colour = _colour(rng)
        down, across = np.mgrid[-0.5 : 0.5 : side_px * 1j, -0.5 : 0.5 : side_px * 1j]
        shade = rng.uniform(-30, 30) * across + rng.uniform(-30, 30) * down
        mottled = rng.uniform(0, 14) * rng.standard_normal((side_px, side_px))
        surface = np.ascontiguousarray(colour + (shade + mottled)[..., None], np.float32)
        if rng.random() < _MARKED:
            for _ in range(rng.integers(1, 4)):
                x0, y0, x1, y1 = (int(value) for value in rng.integers(0, side_px, 4))
                cv2.rectangle(surface, (x0, y0), (x1, y1), _colour(rng).tolist(), -1)
    return np.clip(surface, 0, 255).astype(np.float32)


def _colour(rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    """Draw any colour, or a grey one."""
    if rng.random() < 0.5:
        return rng.uniform(10, 250, 3).astype(np.float32)
    return (rng.uniform(20, 235) + 8 * rng.standard_normal(3)).astype(np.float32)


def _pair(values: Float64[np.ndarray, "2"]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _weights() -> Float32[np.ndarray, "joints"]:
    weights = np.ones(skeleton.NUM_JOINTS, np.float32)
    for name in ("left_shoulder", "right_shoulder", "neck"):
        weights[skeleton.INDEX[name]] = _SHOULDER_WEIGHT
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        weights[skeleton.INDEX[name]] = _HEAD_WEIGHT
    return weights


WEIGHTS: Final = _weights()
"""How often each joint is the one that a board hides."""
