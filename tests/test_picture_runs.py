"""What is held out of real pictures: known sets as ever, runs by their number; clips go through."""

from pathlib import Path

import numpy as np

from mim_folders import labelled_folder
from train.picture_runs import run_of, whole_of
from train.pose_data import RealPeople, is_held_out


def test_what_was_held_out_of_published_sets_still_is() -> None:
    """Figures that were published stand on these."""
    workers = [number for number in range(60) if is_held_out(f"workers/{number:04d}")]
    assert workers == [12, 27, 32, 45, 50]
    others = ("sign-language/A01", "sitting-man/cam0_test", "own/.", "hall/.", "frames/.")
    assert [is_held_out(name) for name in others] == [False, False, False, True, True]


def test_a_tenth_of_the_runs_is_held_out_and_one_of_any_two() -> None:
    runs = [run_of("line/clip", 20 * number) for number in range(300)]
    assert [number for number, run in enumerate(runs) if is_held_out(run)] == [*range(1, 300, 10)]
    assert run_of("line/clip", 19) == runs[0] != run_of("line/clip", 20) == runs[1]
    assert {whole_of(run) for run in runs} == {"line/clip"}
    assert whole_of("workers/0012") == "workers/0012"


def test_a_clip_goes_on_from_run_to_run_but_not_across_one_that_is_held_out(
    tmp_path: Path,
) -> None:
    for number in range(5):
        labelled_folder(tmp_path, 2, group=run_of("line/clip", 20 * number))
    learned = RealPeople([tmp_path], held_out=False)
    assert len(learned) == 8
    for first, shown in ((1, (1, 1, 1)), (2, (2, 3, 4)), (3, (3, 4, 5))):
        for person, number in zip(learned.clip(first, 3), shown, strict=True):
            np.testing.assert_array_equal(person.image, learned.person(number).image)
