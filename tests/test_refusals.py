"""What was refused is left alone for a while, and only that."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_pose.refusals import LONGEST_QUIET_NS, QUIET_NS, Refusals

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


def test_what_is_refused_again_is_left_alone_twice_as_long_but_not_for_ever() -> None:
    refusals = refused()
    at_ns, quiet_ns = 5, []
    for _ in range(4):
        ahead = next(n for n in range(1, 99) if not refusals.cover(COAT, at_ns + n * QUIET_NS // 4))
        quiet_ns.append(ahead * QUIET_NS // 4)
        at_ns += quiet_ns[-1]
        refusals.add(COAT + np.float32(2), at_ns)
    assert quiet_ns == [QUIET_NS, 2 * QUIET_NS, LONGEST_QUIET_NS, LONGEST_QUIET_NS]


def test_who_was_just_lost_is_looked_for_sooner() -> None:
    refusals = refused()
    assert refusals.cover(COAT, QUIET_NS // 2)
    assert not refusals.cover(COAT, QUIET_NS // 2, longest_ns=QUIET_NS // 10)


def test_a_clock_that_begins_again_forgets() -> None:
    refusals = Refusals()
    refusals.add(COAT, 10 * QUIET_NS)
    assert not refusals.cover(COAT, 0)
