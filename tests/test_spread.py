"""So many of many are evenly spread to the end, also where there are not twice as many."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mim_folders import rendered_folder
from train.domain_errors import crops_of
from train.pose_data import RenderedPeople
from train.spread import spread


@pytest.mark.parametrize(("count", "most"), [(3999, 2000), (2001, 2000), (100, 7), (5, 5)])
def test_from_the_first_to_the_last_in_equal_steps(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert len(chosen) == most
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    steps = {later - earlier for earlier, later in pairwise(chosen)}
    assert max(steps) - min(steps) <= 1
    assert min(steps) >= 1


def test_where_there_are_fewer_all_are_taken_and_of_none_none() -> None:
    assert spread(3, 10) == [0, 1, 2]
    assert spread(0, 10) == []
    assert spread(9, 0) == []
    assert spread(9, 1) == [0]


def test_people_that_errors_are_measured_on_reach_to_the_last(tmp_path: Path) -> None:
    people = RenderedPeople(rendered_folder(tmp_path / "people", 3))
    _, _, last = crops_of(people, most=3)
    assert np.array_equal(crops_of(people, most=2)[1].image, last.image)
