"""Lights are drawn as light is: it only adds, is brightest in the disc, and spreads no farther."""

import numpy as np

from train.lamps import with_lamps

ROOM = np.full((168, 300, 3), 90, np.uint8)


def test_light_only_adds_and_saturates_somewhere() -> None:
    for seed in range(30):
        lit = with_lamps(ROOM, np.random.default_rng(seed))
        assert lit.shape == ROOM.shape
        assert (lit >= ROOM).all()
        assert (lit > ROOM).any()
    brightest = [with_lamps(ROOM, np.random.default_rng(seed)).max() for seed in range(30)]
    assert np.mean(np.array(brightest) == 255) > 0.9


def test_a_picture_keeps_most_of_what_it_shows() -> None:
    """Whoever is to be found is still there to be found."""
    dice = (np.random.default_rng(seed) for seed in range(60))
    lost = [np.mean(with_lamps(ROOM, rng).min(axis=2) == 255) for rng in dice]
    assert np.mean(lost) < 0.15
    assert np.median(lost) < 0.05


def test_lights_come_from_the_dice_alone_and_leave_the_picture_given_as_it_was() -> None:
    before = ROOM.copy()
    first, again, other = (with_lamps(ROOM, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(ROOM, before)
