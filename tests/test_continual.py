"""A network learns one target after another, and what it forgets of the others is said."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pose.errors import EXIT_OPERATOR
from mim_folders import labelled_folder, rendered_folder
from tiny_poses import stream
from train import run_recipe
from train.__main__ import main
from train.adapt_stage import Plan, adapt, method_of
from train.checkpoint import averaged
from train.continual import forgetting_table
from train.domain_errors import POSITION
from train.fit import Options, Schedule
from train.forgetting import DomainError, Reading
from train.pose_data import is_held_out
from train.report_files import read_results
from train.vit import SIZES
from train.vit_pose import VitPose

ROOT = Path(__file__).resolve().parents[1]
SCHEDULE = Schedule(steps=2, learning_rate=1e-3, warmup_steps=1)
PATIENCE_S = 120


class Cut(Exception):
    """The power went away."""


def group(*, held_out: bool) -> str:
    """Find the name of a group that is held out, or one that is not."""
    names = (f"line/{number}" for number in range(100))
    return next(name for name in names if is_held_out(name) == held_out)


def finished_run(folder: Path, *, network: str = "nano", method: str = "unregularised") -> Path:
    """Leave what the second stage leaves."""
    torch.manual_seed(0)
    plan = Plan(method=method, schedule=SCHEDULE, options=Options(recipe={"network": network}))
    adapt(VitPose(SIZES["nano"]), stream, plan, folder)
    return folder


def unfinished_run(folder: Path) -> Path:
    """Leave what the second stage leaves when the power goes away after its first step."""

    def cut(first: int) -> Iterator[Mapping[str, torch.Tensor]]:
        yield from islice(stream(first), 1)
        raise Cut

    plan = Plan(
        method="unregularised",
        schedule=replace(SCHEDULE, save_every=1),
        options=Options(recipe={"network": "nano"}),
    )
    with pytest.raises(Cut):
        adapt(VitPose(SIZES["nano"]), cut, plan, folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a source, targets, a folder to measure in and a run to begin with; bars for people."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("source", "a", "b", "test"):
        rendered_folder(folder / name, 4)
    finished_run(folder / "begin")
    return folder


def command(place: Path, out: Path, *targets: str, share: float = 0.05) -> list[str]:
    return [
        *("continual", "--preset", "tiny", "--share-of-steps", str(share)),
        *("--begin", str(place / "begin"), "--source", str(place / "source"), "--out", str(out)),
        *("--test", str(place / "test"), "--targets", *(str(place / name) for name in targets)),
    ]


def readings(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "forgetting.jsonl").read_text().splitlines()]


def stages(out: Path) -> list[str]:
    return [reading["stage"] for reading in readings(out)]


def written_at(out: Path, target: str) -> int:
    return (out / "second" / target / "last.safetensors").stat().st_mtime_ns


def both(place: Path) -> list[str]:
    """Name a second folder to measure in."""
    return [str(place / "test"), str(place / "source")]


def without_test(words: list[str]) -> list[str]:
    at = words.index("--test")
    return words[:at] + words[at + 2 :]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence with which a command is refused."""
    capsys.readouterr()
    assert main(words) == EXIT_OPERATOR
    said = capsys.readouterr().err
    assert said.startswith("train continual: ")
    assert said.count("\n") == 1
    return said


def test_the_table_has_a_row_a_stage_and_says_what_was_forgotten() -> None:
    first = Reading(
        stage="start",
        errors={
            "hall": DomainError(crop_percent=3.0, mm=90.0),
            "line": DomainError(crop_percent=4.0, mm=None),
        },
    )
    second = replace(
        first,
        stage="line",
        errors={
            "hall": DomainError(crop_percent=3.5, mm=97.5),
            "line": DomainError(crop_percent=2.5, mm=None),
        },
        forgotten_mm={"hall": 7.5},
        forgotten_crop_percent={"hall": 0.5, "line": -1.5},
    )
    assert forgetting_table([first, second]).splitlines() == [
        "| stage | hall: MPJPE mm (F) | line: 2D error, % of crop (F) |",
        "| --- | ---: | ---: |",
        "| start | 90.0 | 4.0 |",
        "| line | 97.5 (+7.5) | 2.5 (-1.5) |",
    ]


def test_the_bound_stops_with_the_table_and_a_wider_one_goes_on_from_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(place, tmp_path, "a", "b")
    assert main([*words, "--forget-at-most", "-10000"]) == EXIT_OPERATOR
    said = capsys.readouterr()
    assert "stage a forgot" in said.err
    assert "allowed are -10000.0 mm" in said.err
    assert "| start |" in said.out
    assert "| a |" in said.out
    assert stages(tmp_path) == ["start", "a"]
    assert not (tmp_path / "second" / "b").exists()
    trained = written_at(tmp_path, "a")
    assert main([*words, "--forget-at-most", "10000"]) == 0
    assert stages(tmp_path) == ["start", "a", "b"]
    assert written_at(tmp_path, "a") == trained


def test_a_target_and_a_folder_to_measure_in_may_be_added_and_nothing_is_done_twice(
    place: Path, tmp_path: Path
) -> None:
    assert main(command(place, tmp_path, "a")) == 0
    trained, path = written_at(tmp_path, "a"), tmp_path / "forgetting.jsonl"
    # Nobody would measure this again, and so it is seen whether somebody does.
    first, second = readings(tmp_path)
    first["errors"]["test"]["mm"] = 12.5
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    assert main([*command(place, tmp_path, "a", "b"), "--test", *both(place)]) == 0
    start, after_a, after_b = readings(tmp_path)
    assert [start["stage"], after_a["stage"], after_b["stage"]] == ["start", "a", "b"]
    assert written_at(tmp_path, "a") == trained
    assert start["errors"]["test"]["mm"] == 12.5
    assert after_a["errors"]["test"] == second["errors"]["test"]
    assert set(start["errors"]) == set(after_b["forgotten_mm"]) == {"test", "source"}
    assert after_b["forgotten_mm"]["test"] == after_b["errors"]["test"]["mm"] - 12.5


def test_a_run_of_the_course_may_begin_another_and_each_run_begins_where_the_last_ended(
    place: Path, tmp_path: Path
) -> None:
    at_once, by_two = tmp_path / "at once", tmp_path / "by two"
    assert main(command(place, at_once, "a", "b")) == 0
    assert main(command(place, by_two / "1", "a")) == 0
    second = command(place, by_two / "2", "b")
    second[second.index("--begin") + 1] = str(by_two / "1" / "second" / "a")
    assert main(second) == 0
    whole, parts = averaged(at_once / "second" / "b"), averaged(by_two / "2" / "second" / "b")
    begun = averaged(place / "begin")
    for name, value in whole.items():
        assert torch.equal(parts[name], value)
        assert not torch.equal(begun[name], value)


@pytest.mark.parametrize("method", ["pseudo_labels", "lp_ft+l2sp"])
def test_every_way_to_adapt_can_be_taken(method: str, place: Path, tmp_path: Path) -> None:
    assert main([*command(place, tmp_path, "a"), "--method", method]) == 0
    assert method_of(tmp_path / "second" / "a") == method


def test_without_test_folders_what_is_held_out_of_labelled_targets_is_measured(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = tmp_path / "line"
    labelled_folder(line, 3, group=group(held_out=False))
    words = without_test([*command(place, tmp_path / "out"), str(line)])
    assert "label more pictures" in refused(words, capsys)
    labelled_folder(line, 2, group=group(held_out=True))
    assert "no folder of --test has 3D" in refused([*words, "--forget-at-most", "5"], capsys)
    assert main(words) == 0
    assert "| stage | line held out: 2D error, % of crop (F) |" in capsys.readouterr().out


def test_bad_folders_are_said_in_a_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, empty = command(place, tmp_path / "out", "a"), tmp_path / "empty"
    empty.mkdir()

    def said(*more: str) -> str:
        return refused([*good, *more], capsys)

    assert f"{empty} holds no adapted network" in said("--begin", str(empty))
    strange = finished_run(tmp_path / "strange", network="giant")
    assert "gives the network as giant, known are nano" in said("--begin", str(strange))
    oracle = finished_run(tmp_path / "oracle", method="oracle")
    assert "choose a run of another method" in said("--begin", str(oracle))
    assert "stopped after step 1 of 2" in said("--begin", str(unfinished_run(tmp_path / "half")))
    assert "holds no rendered people" in said("--source", str(empty))
    assert "is no folder made by" in said("--test", str(empty))
    assert f"there is no {tmp_path / 'gone'}" in said("--targets", str(tmp_path / "gone"))
    assert "names 2 folders that are called 'a'" in said("--targets", *(str(place / "a"),) * 2)
    assert "names 2 folders that are called 'a'" in said("--test", *(str(place / "a"),) * 2)
    start = rendered_folder(tmp_path / "start", 1)
    assert f"--targets names {start}" in said("--targets", str(start))
    assert "nothing is held out" in refused(without_test(good), capsys)
    assert "did you mean 'attention'" in said("--method", "atention")
    assert "choose a run of another method" in said("--method", "oracle")
    assert "--seed is -1" in said("--seed", "-1")
    assert not (tmp_path / "out").exists()


def test_another_course_does_not_go_on_in_the_same_folder(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(place, tmp_path, "a", "b")) == 0
    assert "began with target 1" in refused(command(place, tmp_path, "b", "a"), capsys)
    # Fewer targets are done already; what followed them is not forgotten.
    assert main(command(place, tmp_path, "a")) == 0
    assert "began with target 2" in refused(command(place, tmp_path, "a", "source"), capsys)
    assert "share_of_steps" in refused(command(place, tmp_path, "a", "b", share=0.1), capsys)
    other = finished_run(tmp_path / "other" / "begin", method="l2sp")
    words = [*command(place, tmp_path, "a", "b"), "--begin", str(other)]
    assert "began with begin = begin, sha256 " in refused(words, capsys)


def test_other_data_in_the_same_folders_are_another_course(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = rendered_folder(tmp_path / "line", 4)
    words = command(place, tmp_path / "out", str(line))
    assert main(words) == 0
    assert main(words) == 0
    shutil.copy(line / "chunk-00000.npz", line / "chunk-00001.npz")
    said = refused(words, capsys)
    assert f"the run in {tmp_path / 'out'} began with files of target 1 = 1 with " in said
    assert "now it is 2 with " in said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_rendered_targets_follow_an_adaptation_and_an_interruption_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, site, seed in (("a", "factory", "1"), ("b", "other", "2"), ("c", "other", "3")):
        recipe = f"synth --people 24 --site {site} --seed {seed} --processes 1 --size 128"
        assert main([*recipe.split(), "--out", str(tmp_path / name)]) == 0
    a, b, c = (str(tmp_path / name) for name in "abc")
    common = ["--preset", "tiny", "--most", "20", "--share-of-steps", "0.5", "--source", a]
    common += ["--test", a, b, c]
    words = ["adapt", *common, "--target", b, "--variants", "source_only", "--no-student"]
    assert main([*words, "--out", str(tmp_path / "adapted")]) == 0
    words = ["continual", *common, "--targets", b, c, "--begin"]
    words += [str(tmp_path / "adapted" / "second" / "source_only-seed0"), "--out"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    capsys.readouterr()
    assert main([*words, str(whole)]) == 0
    table = capsys.readouterr().out.splitlines()[:5]
    assert [line.split(" | ")[0] for line in table] == ["| stage", "| ---", "| start", "| b", "| c"]
    assert len(table[0].split(" | ")) == 4

    process = subprocess.Popen([sys.executable, "-m", "train", *words, str(broken)], cwd=ROOT)
    begun = time.monotonic()
    while not (broken / "second" / "c" / "losses.csv").exists():
        assert process.poll() is None
        assert time.monotonic() < begun + PATIENCE_S
        time.sleep(0.01)
    process.terminate()
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert stages(broken) == ["start", "b"]
    trained = written_at(broken, "b")
    assert main([*words, str(broken)]) == 0
    assert capsys.readouterr().out.splitlines()[:5] == table
    assert written_at(broken, "b") == trained


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in its exporter
def test_the_student_goes_on_from_what_its_adaptation_left(place: Path, tmp_path: Path) -> None:
    adapted = tmp_path / "adapted"
    words = ["adapt", "--preset", "tiny", "--share-of-steps", "0.05", "--network", "student"]
    words += ["--source", str(place / "source"), "--target", str(place / "a"), "--no-student"]
    words += ["--test", str(place / "test"), "--variants", "source_only", "--out", str(adapted)]
    assert main(words) == 0
    begin, out = adapted / "second" / "source_only-seed0", tmp_path / "out"
    # A run is the whole network: where it began need not be there any more.
    run_recipe.write(begin, {**run_recipe.read(begin), "begin": tmp_path / "gone"})
    assert main([*command(place, out, "a", "b"), "--begin", str(begin)]) == 0
    (measured,) = (
        row for row in read_results([adapted / "results.json"]).rows if row.metric == POSITION
    )
    start, *_ = readings(out)
    assert start["errors"]["test"]["mm"] == pytest.approx(measured.value, rel=1e-5)
    ended = [averaged(folder) for folder in (begin, out / "second" / "a", out / "second" / "b")]
    assert ended[0].keys() == ended[1].keys() == ended[2].keys()
    for first, second in pairwise(ended):
        assert not torch.equal(first["head.weight"], second["head.weight"])
    again = tmp_path / "again"
    assert main([*command(place, again, "b"), "--begin", str(out / "second" / "a")]) == 0
    assert readings(again)[0]["errors"] == readings(out)[1]["errors"]
