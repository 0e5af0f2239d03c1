"""Who looks like whom: clothes tell two people apart, light does not."""

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from edge_pose.appearance import Appearance, alikeness, appearance_of, blended, torso_of
from edge_pose.memory import STRANGER
from edge_pose.skeleton import INDEX, NUM_JOINTS

YELLOW, BLUE, GREY = (40, 210, 230), (150, 70, 40), (120, 120, 120)


def dressed(
    colour: tuple[int, int, int], *, light: float = 1.0, seed: int = 0
) -> UInt8[np.ndarray, "256 256 3"]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (256, 256, 3)).astype(np.uint8)
    cv2.rectangle(image, (90, 60), (166, 150), colour, -1)
    cloth = image[60:151, 90:167].astype(float) * light + rng.normal(0, 6, (91, 77, 3))
    image[60:151, 90:167] = np.clip(cloth, 0, 255).astype(np.uint8)
    return image


def looks(image: np.ndarray, *, half_width: float = 35.0, score: float = 0.9) -> Appearance | None:
    joints_px = np.full((NUM_JOINTS, 2), 128, np.float32)
    for side, way in (("left", 1), ("right", -1)):
        joints_px[INDEX[f"{side}_shoulder"]] = (128 + way * half_width, 65)
        joints_px[INDEX[f"{side}_hip"]] = (128 + way * half_width, 145)
    torso_px = torso_of(joints_px, np.full(NUM_JOINTS, score, np.float32))
    return None if torso_px is None else appearance_of(image, torso_px)


def alike(one: Appearance | None, other: Appearance | None) -> float:
    assert one is not None
    assert other is not None
    return alikeness(one, other)


@pytest.mark.parametrize("light", [1.0, 0.75, 1.1])
def test_the_same_clothes_in_another_light_are_the_same_person(light: float) -> None:
    assert alike(looks(dressed(YELLOW)), looks(dressed(YELLOW, light=light, seed=1))) > STRANGER


@pytest.mark.parametrize("other", [BLUE, GREY])
def test_other_clothes_are_somebody_else(other: tuple[int, int, int]) -> None:
    assert alike(looks(dressed(YELLOW)), looks(dressed(other, seed=1))) < STRANGER


def test_an_appearance_is_wholly_like_itself() -> None:
    assert alike(looks(dressed(BLUE)), looks(dressed(BLUE))) == pytest.approx(1.0, abs=1e-5)


def test_who_is_seen_from_the_side_or_hardly_seen_has_no_appearance() -> None:
    assert looks(dressed(BLUE), half_width=3.0) is None
    assert looks(dressed(BLUE), score=0.1) is None


def test_what_is_known_moves_slowly_and_never_becomes_nothing() -> None:
    yellow, blue = looks(dressed(YELLOW)), looks(dressed(BLUE))
    assert yellow is not None
    assert blended(None, yellow, 0.1) is yellow
    assert blended(yellow, None, 0.1) is yellow
    mixed = blended(yellow, blue, 0.1)
    assert mixed is not None
    assert alike(mixed, yellow) > 0.9
    assert alike(mixed, blue) > alike(yellow, blue)
    assert float(np.square(mixed).sum()) == pytest.approx(1.0, abs=1e-5)
