"""The detector is woken by a newcomer, not by noise, by whom it knows, or by what it has seen."""

import numpy as np
import pytest
from jaxtyping import UInt8

from edge_pose.change import Boxes, ChangeDetector
from edge_pose.clock import NS_PER_S

Image = UInt8[np.ndarray, "height width 3"]
WIDTH_PX, HEIGHT_PX = 1280, 720
WHOLE = [np.array([0, 0, WIDTH_PX, HEIGHT_PX], np.float32)]
RIGHT_HALF = [np.array([WIDTH_PX / 2, 0, WIDTH_PX, HEIGHT_PX], np.float32)]


def hall(seed: int = 0, noise: float = 10.0) -> Image:
    """Take a picture of the same hall; only the camera's noise is another one each time."""
    place = np.random.default_rng(0).integers(40, 200, (HEIGHT_PX // 40, WIDTH_PX // 40, 3))
    image = np.kron(place, np.ones((40, 40, 1)))
    image += np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def with_somebody(image: Image, x: int, *, height: int = 72) -> Image:
    image = image.copy()
    image[300 : 300 + height, x : x + height // 3] = (20, 20, 20)
    return image


def box(x: int, height: int = 72) -> np.ndarray:
    return np.array([x, 300, x + height // 3, 300 + height], np.float32)


class Watch:
    """A change detector that is asked about a picture a second."""

    def __init__(self) -> None:
        self.detector = ChangeDetector()
        self.at_ns = 0

    def keep(self, image: Image, people_px: Boxes, parts_px: Boxes) -> None:
        """Look."""
        self.detector.keep(image, people_px, parts_px)

    def changed(self, image: Image, people_px: Boxes) -> bool:
        """Compare, a second later."""
        self.at_ns += NS_PER_S
        return self.detector.changed(image, people_px, self.at_ns)


def test_before_anything_was_seen_everything_is_a_change() -> None:
    assert Watch().changed(hall(), [])


def test_noise_alone_wakes_nobody() -> None:
    change = Watch()
    change.keep(hall(), [], WHOLE)
    assert not any(change.changed(hall(seed), []) for seed in range(1, 40))


@pytest.mark.parametrize("x", [0, 400, WIDTH_PX - 24])
def test_somebody_a_tenth_of_the_picture_high_is_a_change(x: int) -> None:
    change = Watch()
    change.keep(hall(), [], WHOLE)
    assert change.changed(with_somebody(hall(1), x), [])


def test_whoever_is_followed_may_move_and_leave_without_waking_it() -> None:
    change = Watch()
    change.keep(with_somebody(hall(), 400), [box(400)], WHOLE)
    assert not change.changed(with_somebody(hall(1), 500), [box(500)])
    assert not change.changed(hall(2), [])
    assert change.changed(with_somebody(with_somebody(hall(3), 500), 900), [box(500)])


def test_a_change_stays_one_until_its_part_of_the_picture_was_looked_at() -> None:
    change = Watch()
    change.keep(hall(), [], WHOLE)
    newcomer = with_somebody(hall(1), 400)
    change.keep(newcomer, [], RIGHT_HALF)
    assert change.changed(newcomer, [])
    change.keep(newcomer, [], WHOLE)
    assert not change.changed(with_somebody(hall(2), 400), [])


def test_a_picture_of_another_size_is_a_change() -> None:
    change = Watch()
    change.keep(hall(), [], WHOLE)
    assert change.changed(hall()[:400], [])


@pytest.mark.parametrize("size", [(3, 3), (3, 300), (64, 48), (2160, 3840)])
def test_pictures_of_any_size_can_be_compared(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 100, np.uint8)
    change = Watch()
    change.keep(image, [], [np.array([0, 0, size[1], size[0]], np.float32)])
    assert not change.changed(image, [])
    assert change.changed(image + np.uint8(100), []) == (max(size) > 3)


def test_it_looks_at_most_ten_times_a_second_and_again_when_time_begins_anew() -> None:
    detector = ChangeDetector()
    detector.keep(hall(), [], WHOLE)
    newcomer = with_somebody(hall(1), 400)
    assert not detector.changed(hall(), [], NS_PER_S)
    assert not detector.changed(newcomer, [], NS_PER_S * 109 // 100)
    assert detector.changed(newcomer, [], NS_PER_S * 111 // 100)
    assert detector.changed(newcomer, [], 0)
