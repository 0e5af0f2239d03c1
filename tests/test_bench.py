"""`edge-pose bench`: its account of a frame adds up, its results can be kept and compared."""

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from appliance import start, write_clip
from bench_results import RESULTS, scaled
from benchmarks import bench_page
from bundles import make_bundle
from edge_pose.__main__ import main
from edge_pose.bench.ledger import STAGES, Ledger
from edge_pose.bench.machine import this_machine
from edge_pose.bench.measure import WARM_UP, Measured, measure
from edge_pose.bench.results import LINES, OVERHEAD, WHOLE, case_of, read, write
from edge_pose.bench.scenes import HEIGHT_PX, WIDTH_PX, scene
from edge_pose.bench.table import comparison, markdown, overhead_verdict
from edge_pose.clock import NS_PER_MS
from edge_pose.config import Config
from edge_pose.engines import begin
from edge_pose.people import STAGES as PEOPLE_STAGES
from edge_pose.types import Frame
from machines import JETSON, write_machine

FRAME = Frame(image=np.zeros((6, 8, 3), np.uint8), sequence=0, captured_ns=0, captured_at_ms=0)


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Tell the time."""
        return self.now_ns

    def wait_ms(self, span_ms: int) -> None:
        """Let time pass."""
        self.now_ns += span_ms * NS_PER_MS


class Engine:
    """Takes five milliseconds for each picture."""

    description = "made up"
    at_once = 2

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Think."""
        self._clock.wait_ms(5 * len(inputs["image"]))
        return dict(inputs)

    def close(self) -> None:
        """Hold nothing."""


FRAMES = 45
"""So long that the detector looks round at least once."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def measured(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    clip = write_clip(tmp_path_factory.mktemp("clip") / "walk.avi", frames=WARM_UP + FRAMES + 3)
    plain = Config()
    return measure(
        replace(
            plain,
            camera=replace(plain.camera, source=str(clip)),
            model=replace(plain.model, bundle=bundle, threads=1),
        ),
        frames=FRAMES,
    )


def test_a_stage_within_a_stage_is_counted_once() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    with ledger.timed("message"):
        clock.wait_ms(3)
        with ledger.timed("publish"):
            clock.wait_ms(2)
        clock.wait_ms(1)
    ledger.see(FRAME, 1)
    clock.wait_ms(4)
    ledger.end_frame()
    (row,) = ledger.rows
    assert row.stages_ms == {"message": 4.0, "publish": 2.0}
    assert row.whole_ms == 10.0


def test_the_warm_up_and_looks_without_a_frame_are_no_rows() -> None:
    clock, pauses = Clock(), list[int]()
    ledger = Ledger(skip=2, clock=clock)
    for people in (1, None, 2, 3, None, 4):
        clock.wait_ms(7)
        if people is not None:
            ledger.see(FRAME, people)
        ledger.end_frame(lambda: pauses.append(clock.now_ns))
    assert [row.people for row in ledger.rows] == [3, 4]
    assert [row.whole_ms for row in ledger.rows] == [7.0, 7.0]
    assert pauses == [21 * NS_PER_MS]
    assert ledger.size_px == (8, 6)


def test_the_networks_alone_do_again_what_they_did_in_the_rows() -> None:
    clock = Clock()
    ledger, engine = Ledger(skip=1, clock=clock), Engine(clock)
    for pictures in (4, 1, 2):
        inputs = {"image": np.zeros((pictures, 1))}
        ledger.ask(engine, pictures, partial(begin, engine, inputs))()
        ledger.see(FRAME, pictures)
        clock.wait_ms(1)
        ledger.end_frame()
    assert [row.networks_ms for row in ledger.rows] == [5.0, 10.0]
    assert ledger.replay() == 15.0


def test_every_stage_of_the_estimator_has_a_line() -> None:
    assert set(PEOPLE_STAGES) - {"total"} <= set(STAGES)


def test_stages_sum_to_about_the_whole(measured: Measured) -> None:
    case = case_of([measured], source="walk.avi", people=None, hottest_c=None)
    costs = case.costs
    assert case.frames == FRAMES
    assert case.size_px == (320, 240)
    assert case.seen == 1.0
    assert set(costs) >= set(LINES)
    assert costs["detect"].share < 1.0 == costs["pose"].share
    parts = [cost.mean_ms for name, cost in costs.items() if name in (*STAGES, "rest")]
    assert sum(parts) == pytest.approx(costs[WHOLE].mean_ms, abs=0.01)
    assert 0.0 <= costs["rest"].p50_ms < 0.25 * costs[WHOLE].p50_ms
    assert 0.0 < costs["networks"].mean_ms < costs[WHOLE].mean_ms
    assert all(cost.p50_ms <= cost.p95_ms <= cost.p99_ms for cost in costs.values())
    assert case.pipeline_hz == pytest.approx(1000 / costs[WHOLE].mean_ms, rel=0.01)


def test_cameras_that_run_together_add_their_rates(measured: Measured) -> None:
    one = case_of([measured], source="", people=1, hottest_c=None)
    two = case_of([measured, measured], source="", people=1, hottest_c=None)
    assert two.pipeline_hz == pytest.approx(2 * one.pipeline_hz)
    assert (two.cameras, two.frames) == (2, 2 * FRAMES)
    assert two.costs[WHOLE].mean_ms == pytest.approx(one.costs[WHOLE].mean_ms)


def test_results_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write(RESULTS, path)
    assert read(path) == RESULTS


def test_a_comparison_tells_ratios_of_what_both_have() -> None:
    table = comparison(RESULTS, scaled(RESULTS, 1.5)).splitlines()
    ratios = [line.split("|")[-2].strip() for line in table[2:]]
    assert ratios[-2:] == ["0.67", "0.67"]
    assert set(ratios[:-2]) == {"1.50"}
    assert len(ratios) == len(RESULTS.cases[0].costs) + 3


def test_the_overhead_is_held_against_its_limit() -> None:
    assert "within" in (overhead_verdict(RESULTS) or "")
    assert "BEYOND" in (overhead_verdict(scaled(RESULTS, 10.0)) or "")
    assert RESULTS.cases[0].costs[OVERHEAD].p50_ms < 3.0


def test_columns_are_aligned() -> None:
    lines = markdown(("a", "long head"), [("first cell", "1"), ("b", "22")]).splitlines()
    assert all(len(line) == len(after) for line, after in pairwise(lines))
    assert lines[2] == "| first cell |         1 |"


def test_the_machine_is_read_from_its_files(tmp_path: Path) -> None:
    machine = this_machine(write_machine(tmp_path, JETSON))
    assert machine.name == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (machine.power_mode, machine.governor) == ("1 7W", "schedutil")


def test_a_machine_that_tells_nothing_has_a_name_all_the_same(tmp_path: Path) -> None:
    assert this_machine(tmp_path).name


@pytest.mark.parametrize("people", [1, 4, 10])
def test_everybody_has_a_place_of_their_own_in_a_scene(people: int) -> None:
    tiles = [np.full((64, 64, 3), 200 + index, np.uint8) for index in range(2)]
    image = scene(tiles, people, 3)
    assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    side_px = np.sqrt((image[..., 0] >= 200).sum() / people)
    assert side_px == round(side_px)
    assert (scene(tiles, people, 8) != image).any()


def test_bench_measures_keeps_and_compares(bundle: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    words = ("--people", "1", "--cameras", "1", "2", "--frames", "10", "--threads", "1")
    with start("bench", "--bundle", bundle, *words, "--json", kept) as child:
        out, err = child.communicate(timeout=110)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    results = read(kept)
    assert [(case.cameras, case.frames) for case in results.cases] == [(1, 10), (2, 20)]
    assert results.machine.name in out
    assert "stand-in" in out
    assert "overhead outside the networks, 1 person, 1 camera" in out
    with start("bench", "--compare", kept, kept) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    ratios = {line.split("|")[-2].strip() for line in out.splitlines() if line.startswith("| 1 p")}
    assert ratios == {"1.00"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_leaves_nothing_behind(
    bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    clip = write_clip(tmp_path / "walk.avi", frames=3000)
    words = ("--bundle", bundle, "--camera", clip, "--frames", "2900")
    with start("bench", *words, environ={"TMPDIR": str(tmp_path)}) as child:
        assert child.stderr is not None
        assert "Measuring" in child.stderr.readline()
        child.send_signal(number)
        _, told = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "Traceback" not in told
    assert not list(tmp_path.glob("edge-pose-*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--people", "0"], "--people has 0; wanted 1 or more"),
        (["--people", "21"], "--people has 21; wanted 1 to 20"),
        (["--cameras", "99"], "--cameras has 99; wanted 1 to 16"),
        (["--camera", "0"], "--camera is 0, which is never the same twice"),
        (["--camera", "walk.avi", "--people", "1"], "--people is for golden pictures"),
        (["--camera", "wlak.avi", "--cameras", "1"], "There is no file or folder wlak.avi"),
        (["--camera", "walk.avi", "--cameras", "1"], "leaves 0 frames to measure"),
        (["--json", "nowhere/kept.json"], "There is no folder nowhere"),
        (["--compare", "good.json", "none.json"], "The results none.json cannot be read"),
        (["--compare", "good.json", "walk.avi"], "walk.avi is not JSON"),
        (["--compare", "good.json", "other.json"], "other.json holds no results of schema 1"),
        (["--compare", "good.json", "half.json"], "half.json is no complete set of results"),
        (["--compare", "good.json", "else.json"], "have no case in common"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    words: list[str],
    sentence: str,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "walk.avi", frames=5)
    write(RESULTS, tmp_path / "good.json")
    half = json.loads((tmp_path / "good.json").read_text())
    del half["cases"][0]["seen"]
    (tmp_path / "half.json").write_text(json.dumps(half))
    (tmp_path / "other.json").write_text('{"schema": 7}')
    write(replace(RESULTS, cases=(replace(RESULTS.cases[0], people=9),)), tmp_path / "else.json")
    code = main(["bench", "--bundle", str(bundle), *words])
    out, err = capfd.readouterr()
    assert code == 78, err
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert "|" not in out


def test_the_page_names_the_machine_and_holds_every_case(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.json", tmp_path / "page.md"
    write(RESULTS, kept)
    assert bench_page.main([str(kept), "--out", str(out)]) == 0
    text = out.read_text()
    assert "## A made up board" in text
    assert "### 1 person, 1 camera (golden pictures, 100 frames)" in text


def test_a_page_of_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_page.main([str(tmp_path / "none.json"), "--out", str(tmp_path / "x.md")]) == 78
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "x.md").exists()


def test_the_page_in_docs_is_made_of_the_results_beside_the_script() -> None:
    kept = sorted((Path(bench_page.__file__).parent / "results").glob("*.json"))
    assert kept
    assert bench_page.page([read(path) for path in kept]) == bench_page.OUT.read_text()
