"""From a labelled source to a network for a line: every stage, every way, measured.

In: an `Assignment`, variants, seeds and places to measure in.  Out, in the assignment's folder: a
run for each stage, `results.json` and `report.html`, and the table of what each step gave.

Whatever was finished is not done again.  Nothing is selected by a target's labels: schedules are
fixed, and which variant teaches the student is named beforehand.
"""

import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from train.ablation import FirstStage, Variant
from train.detector_command import load_detector
from train.detector_refresh import HIGHER_IS_BETTER, detector_rows, refresh_detector
from train.domain_errors import Errors, Who, crops_of, errors_in, reading_of, rows_of
from train.domains import Domain
from train.drift import Probe, attention_drift
from train.forgetting import Drift, ForgettingMeter
from train.insight import attention_picture, unit_picture
from train.label_cache import is_labelled
from train.latents import latents_of
from train.mim_run import STUDENT
from train.presets import Effort
from train.pretrain import PICTURE
from train.report_files import read_results, write_results
from train.report_page import report
from train.report_results import (
    SOURCE_ONLY,
    Cost,
    DataSet,
    Network,
    Picture,
    Provenance,
    Results,
    Row,
    Stage,
)
from train.report_rows import stages
from train.workflow_stages import (
    Assignment,
    encoder_from,
    first_stage,
    new_network,
    second_stage,
    starting_network,
    supply_for,
    third_stage,
)

RESULTS: Final = "results.json"
REPORT: Final = "report.html"
SHIPPED: Final = "student_shipped"
DISTILLED: Final = "student_distilled"
PROBED: Final = "linear probe before adaptation, mm"
_PROBE_PEOPLE: Final = 16
_SHOWN_PEOPLE: Final = 6
_JUDGED_PEOPLE: Final = 200
_START: Final = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared, and where it is measured."""

    variants: Mapping[str, Variant]
    seeds: Sequence[int]
    tests: Sequence[Domain]
    most: int
    """People measured in each domain."""
    teacher: str | None
    """The variant that the student learns from; None leaves the student as it is."""
    student: Path
    """The bundle that the student starts from."""
    bound_mm: float | None
    """What a stage may forget of any domain."""
    first_stage_only: bool
    """Whether encoders are compared by what a probe reads from them, and nothing is adapted."""
    errors_only: bool = False
    """Whether nobody looks inside: no probes, no latents, no pictures of units and attention."""


@dataclass(slots=True)
class _Found:
    """What has been measured so far."""

    rows: list[Row] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    latents: list[Network] = field(default_factory=list)


def run_workflow(task: Assignment, plan: Comparison, *, commands: Sequence[str]) -> Results:
    """Run every stage of every variant; after each seed write what has come of it so far."""
    found = _Found()
    for seed in plan.seeds:
        _one_seed(task, plan, seed, found)
        results = _results(task, plan, found, commands)
        write_results(task.out / RESULTS, results)
        # Read back: a report finds its pictures from where its results lie.
        page = report(read_results([task.out / RESULTS]))
        (task.out / REPORT).write_text(page, encoding="utf-8")
    return results


def _results(task: Assignment, plan: Comparison, found: _Found, commands: Sequence[str]) -> Results:
    data: list[DataSet] = [task.source.data, task.target.data, *(t.data for t in plan.tests)]
    return Results(
        title=f"Adapted to {task.target_folder.name}",
        rows=tuple(found.rows),
        higher_is_better=HIGHER_IS_BETTER,
        stages=tuple(found.stages),
        representation=tuple(found.latents),
        costs=tuple(found.costs),
        data=tuple(data),
        provenance=(
            Provenance(
                commit=_commit(), commands=tuple(commands), machine=platform.platform(terse=True)
            ),
        ),
        pictures=tuple(found.pictures.values()),
    )


def _one_seed(task: Assignment, plan: Comparison, seed: int, found: _Found) -> None:
    plain: nn.Module | None = None
    before: Mapping[str, Errors] | None = None
    supply = supply_for(task, seed)
    probed: dict[FirstStage | None, tuple[_Probed, ...]] = {}
    for name, variant in plan.variants.items():
        if variant.first is not None:
            with _timed(
                found, f"first stage, seed {seed}", task.effort(task.preset.pretrain, seed)
            ):
                run = first_stage(task, variant.first, seed)
            title = f"First stage, {variant.first.recipe}, w_bg {variant.first.background_weight:g}"
            found.pictures[run.name] = Picture(
                title=title,
                caption="Source and target: what is hidden, what is seen, what is guessed.",
                path=str((run / PICTURE).relative_to(task.out)),
            )
        begun = starting_network(task, variant, seed).eval()
        who = Who(method=name, seed=seed)
        encoder = encoder_from(variant)
        if encoder not in probed:
            probed[encoder] = () if plan.errors_only else _probe_encoder(task, plan, begun)
        _keep_probed(task, plan, who, probed[encoder], found)
        if plan.first_stage_only:
            continue
        with _timed(
            found, f"second stage, {name}, seed {seed}", task.effort(task.preset.adapt, seed)
        ):
            network = second_stage(task, name, variant, supply, opinion=plain)
        errors = {test.name: errors_in(network, test, most=plan.most) for test in plan.tests}
        if name == SOURCE_ONLY:
            plain, before = network, errors
        _keep(task, plan, who, errors, found)
        drift = None
        if variant.first is not None:
            drift = attention_drift(begun, network, _probe(task.target))
        _read_meter(task, plan, who, (before, errors), drift, found)
        if seed == plan.seeds[0] and not plan.errors_only:
            _look_inside(task, plan, who, network, found)
        if name == plan.teacher and seed == plan.seeds[0]:
            _teach(task, plan, seed, network, found)


def _teach(
    task: Assignment, plan: Comparison, seed: int, teacher: nn.Module, found: _Found
) -> None:
    """Distil, and measure the student before and after."""
    assert plan.teacher is not None
    before = new_network(STUDENT, plan.student)
    with _timed(found, "third stage, the student", task.effort(task.preset.distil, seed)):
        after = third_stage(task, plan.teacher, seed, teacher, plan.student)
    named: tuple[tuple[str, nn.Module], ...] = ((SHIPPED, before), (DISTILLED, after))
    for method, network in named:
        errors = {test.name: errors_in(network, test, most=plan.most) for test in plan.tests}
        _keep(task, plan, Who(method=method, seed=seed), errors, found)
    if is_labelled(task.target_folder):
        _refresh(task, plan, seed, found)


def _refresh(task: Assignment, plan: Comparison, seed: int, found: _Found) -> None:
    """Let the detector learn the target too, and count before and after."""
    with _timed(found, "third stage, the detector", task.effort(task.preset.detector, seed)):
        after = refresh_detector(task, plan.student, seed)
    before = load_detector(plan.student)
    tests = {test.name: test.folders[0] for test in plan.tests}
    found.rows += detector_rows(before, after, tests, seed=seed, most=plan.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probed:
    """What a linear probe read from an encoder in one place."""

    test: Domain
    row: Network
    errors_mm: Float[np.ndarray, "people joints"]


def _probe_encoder(task: Assignment, plan: Comparison, begun: nn.Module) -> tuple[_Probed, ...]:
    """Measure what a linear probe reads from an encoder that a second stage begins with."""
    found = []
    for test in plan.tests:
        if test.has_3d:
            row, errors_mm = latents_of("", begun, task.source, test, most=plan.most)
            found.append(_Probed(test=test, row=row, errors_mm=errors_mm))
    return tuple(found)


def _keep_probed(
    task: Assignment, plan: Comparison, who: Who, probed: Sequence[_Probed], found: _Found
) -> None:
    for one in probed:
        seen = _is_seen(task, one.test)
        errors = {PROBED: one.errors_mm}
        found.rows += rows_of(who, one.test.name, errors, seen_target_test=seen)
        if who.seed == plan.seeds[0]:
            found.latents.append(replace(one.row, network=f"{who.name}, before adaptation"))


def _look_inside(
    task: Assignment, plan: Comparison, who: Who, network: nn.Module, found: _Found
) -> None:
    """Measure the latents where there is 3D truth; of the last variant draw what they are like."""
    with_truth = [test for test in plan.tests if test.has_3d]
    if not with_truth:
        return
    row, _ = latents_of(who.name, network, task.source, with_truth[0], most=plan.most)
    found.latents.append(row)
    if who.method != list(plan.variants)[-1]:
        return
    run = task.second_folder(who.method, who.seed)
    few = crops_of(task.target.people, most=_SHOWN_PEOPLE)
    many = crops_of(with_truth[0].people, most=_JUDGED_PEOPLE)
    found.pictures["attention"] = attention_picture(
        network, few, run / "attention.png", who=who.name, folder=task.out
    )
    found.pictures["units"] = unit_picture(
        network, many, run / "units.png", who=who.name, folder=task.out
    )


def _keep(
    task: Assignment, plan: Comparison, who: Who, errors: Mapping[str, Errors], found: _Found
) -> None:
    for test in plan.tests:
        seen = _is_seen(task, test)
        found.rows += rows_of(who, test.name, errors[test.name], seen_target_test=seen)


def _is_seen(task: Assignment, test: Domain) -> bool:
    """Tell whether pictures of a test were among the target's; of a labelled one groups are not."""
    return test.has_3d and test.data.name == task.target.data.name


def _read_meter(
    task: Assignment,
    plan: Comparison,
    who: Who,
    errors: tuple[Mapping[str, Errors] | None, Mapping[str, Errors]],
    drift: Drift | None,
    found: _Found,
) -> None:
    """Compare with what the network for the source alone knew, and stop at the bound."""
    before, now = errors
    path = task.second_folder(who.method, who.seed) / "forgetting.jsonl"
    meter = ForgettingMeter(path, bound_mm=plan.bound_mm)
    if before is not None and who.method != SOURCE_ONLY:
        meter.add(_START, {name: reading_of(error) for name, error in before.items()})
    meter.add(who.method, {name: reading_of(error) for name, error in now.items()}, drift=drift)
    found.stages += stages(who.name, meter.readings)


def _probe(target: Domain) -> Probe:
    """Take the same few target pictures every time."""
    crops = crops_of(target.people, most=_PROBE_PEOPLE)
    masks = [crop.foreground for crop in crops if crop.foreground is not None]
    return Probe(
        image=torch.from_numpy(np.stack([crop.image for crop in crops]).astype(np.float32) / 255),
        foreground=(
            torch.from_numpy(np.stack(masks).astype(np.float32) / 255)
            if len(masks) == len(crops)
            else None
        ),
    )


@contextmanager
def _timed(found: _Found, stage: str, effort: Effort) -> Iterator[None]:
    begun = time.monotonic()
    yield
    found.costs.append(
        Cost(
            stage=stage,
            device="cuda" if torch.cuda.is_available() else "cpu",
            seconds=time.monotonic() - begun,
            images=effort.steps * effort.batch_size * effort.accumulate,
        )
    )


def _commit() -> str:
    """Return the commit of the clone, or a word that there is none."""
    said = subprocess.run(  # noqa: S603 - git, on our own clone
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"
