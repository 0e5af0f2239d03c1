"""What was refused is left alone for a while, and only that."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_pose.refusals import QUIET_NS, Refusals

COAT = np.array([100, 100, 200, 400], np.float32)


def refused() -> Refusals:
    refusals = Refusals()
    refusals.add(COAT, 5)
    return refusals


@given(st.integers(min_value=5, max_value=3 * QUIET_NS))
def test_a_coat_on_a_hook_is_left_alone_for_a_second(at_ns: int) -> None:
    assert refused().cover(COAT + np.float32(3), at_ns) == (at_ns < 5 + QUIET_NS)


def test_somebody_who_steps_out_from_behind_it_is_looked_at() -> None:
    assert not refused().cover(COAT + np.array([60, 0, 60, 0], np.float32), 10)
    assert not refused().cover(COAT * np.array([1, 1, 1, 1.6], np.float32), 10)


def test_nothing_refused_covers_nothing_and_all_can_be_forgotten() -> None:
    assert not Refusals().cover(COAT, 10)
    refusals = refused()
    refusals.clear()
    assert not refusals.cover(COAT, 10)


def test_a_clock_that_begins_again_forgets() -> None:
    refusals = Refusals()
    refusals.add(COAT, 10 * QUIET_NS)
    assert not refusals.cover(COAT, 0)
