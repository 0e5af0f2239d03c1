"""One target after another: what a network learns of the next, and what it forgets of the others.

In: a finished run of the second stage, targets in their order, and folders to measure in.  Out: a
run for each target, begun where the one before it ended, and a reading of the forgetting meter
before the first and after each.

What was trained and measured is not done again; a target may be added at the end.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from torch import nn

from edge_pose.errors import ConfigError
from train import checkpoint, run_recipe
from train.ablation import Variant
from train.adapt_stage import Plan, adapt_in_turn, method_of
from train.adaptation_methods import read_method, require_selectable
from train.confidence import markdown_table
from train.data_words import data_words, needs_teachers
from train.domain_errors import FLAT, POSITION, errors_in, reading_of
from train.domains import Domain, held_out_domain, source_domain, target_domain
from train.fit import Batch, Schedule
from train.forgetting import ForgettingMeter, Reading
from train.label_cache import is_labelled
from train.mim_run import NETWORKS, STUDENT
from train.pose_data import RealPeople
from train.synth.dataset import is_rendered
from train.workflow_stages import (
    Assignment,
    for_supply,
    new_network,
    share_of_rate,
    supply_for,
    words_of,
)

READINGS: Final = "forgetting.jsonl"
_START: Final = "start"
"""What `adapt_in_turn` calls the stage before the first target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A network's way from where an adaptation ended through several targets."""

    begin: Path
    """A finished run of the second stage."""
    source_folders: tuple[Path, ...]
    targets: tuple[Path, ...]
    """In the order in which they are learned."""
    test_folders: tuple[Path, ...]
    method: str
    """Of `train.adaptation_methods.METHODS`, or several joined by `+`."""
    preset_name: str
    share_of_steps: float
    learning_rate: float
    seed: int
    most: int
    """People measured in each domain."""
    bound_mm: float | None
    """What a stage may forget of any domain."""
    out: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What a run left."""

    name: str
    """One of `train.mim_run.NETWORKS`."""
    begin: Path | None
    """Where the student's fixed part is from, as in `Assignment`: the run itself."""
    network: nn.Module


def follow(course: Course) -> None:
    """Adapt to each target in turn; read the meter before the first and after each.

    Raises:
        ConfigError: the course cannot be followed, or its folder holds another one.
        SourceError: a folder does not hold what it should.
        ForgotTooMuch: a stage lost more of a domain than the course allows.

    """
    require_selectable(course.method)
    names = _target_names(course.targets)
    begun = _begun(course.begin)
    source = source_domain(course.source_folders)
    tests = _tests(course)
    recipe = _recipe(course)
    for number, path in enumerate(course.targets, start=1):
        if needs_teachers(path):
            # What the teachers say of one place must not be taken for another's.
            run_recipe.remember(course.out, {f"target {number}": path.resolve()})
    # The teachers may now label for hours: whatever can be refused without them has been.
    tasks = {
        name: _assignment(course, begun, name, path, source)
        for name, path in zip(names, course.targets, strict=True)
    }
    tests += _held_out(course, tasks)
    run_recipe.remember(course.out, recipe)
    meter = ForgettingMeter(course.out / READINGS, bound_mm=course.bound_mm)
    known = {reading.stage: reading.errors for reading in meter.readings}

    def measure(stage: str, _learner: nn.Module) -> None:
        before = known.get(stage, {})
        new = [test for test in tests if test.name not in before]
        found = {
            test.name: reading_of(errors_in(begun.network, test, most=course.most)) for test in new
        }
        every = {**before, **found}
        meter.add(stage, {test.name: every[test.name] for test in tests})

    first = tasks[names[0]]
    effort = first.effort(first.preset.adapt, course.seed)
    learner = for_supply(begun.network, supply_for(first, course.seed))
    opinion = copy.deepcopy(learner) if read_method(course.method).pseudo_labels else None
    adapt_in_turn(
        learner,
        {name: partial(_batches, course, task, opinion) for name, task in tasks.items()},
        Plan(
            method=course.method,
            schedule=Schedule(steps=effort.steps, learning_rate=course.learning_rate),
            options=effort.options(
                {
                    "variant": course.method,
                    **words_of(begun.name, begun.begin),
                    "seed": course.seed,
                }
            ),
            share_of_rate=share_of_rate(begun.name),
        ),
        course.out / "second",
        measure=measure,
    )


def _batches(
    course: Course, task: Assignment, opinion: nn.Module | None, first: int
) -> Iterable[Batch]:
    """Draw for one target; what a supply keeps in memory goes when its target is learned."""
    variant = Variant(first=None, method=course.method)
    return supply_for(task, course.seed).batches(variant, opinion)(first)


def forgetting_table(readings: Sequence[Reading]) -> str:
    """Write a row a stage, a column a domain: its error and, in brackets, what was forgotten."""
    domains = {
        name: FLAT if error.mm is None else POSITION for name, error in readings[-1].errors.items()
    }
    head = ("stage", *(f"{name}: {metric} (F)" for name, metric in domains.items()))
    rows = [(reading.stage, *(_cell(reading, name) for name in domains)) for reading in readings]
    return markdown_table(head, rows)


def _cell(reading: Reading, domain: str) -> str:
    error = reading.errors[domain]
    value, forgotten = error.mm, reading.forgotten_mm
    if value is None:
        value, forgotten = error.crop_percent, reading.forgotten_crop_percent
    return f"{value:.1f}" + (f" ({forgotten[domain]:+.1f})" if domain in forgotten else "")


def _target_names(folders: Sequence[Path]) -> list[str]:
    """Name the targets after their folders; so are their stages and their runs."""
    names = _distinct(folders, "--targets")
    if _START in names:
        raise ConfigError(
            f"--targets names {folders[names.index(_START)]}, but {_START!r} is the stage before "
            "the first target; rename the folder"
        )
    return names


def _distinct(folders: Sequence[Path], option: str) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{option} names {names.count(name)} folders that are called {name!r}, and they "
                "are told apart by what they are called; name each once, or rename one"
            )
    return names


def _begun(folder: Path) -> _Begun:
    """Open the network of a finished run of the second stage."""
    require_selectable(method_of(folder))
    average, saved = checkpoint.averaged(folder), checkpoint.read(folder)
    assert saved is not None
    steps = saved.words.get("steps", saved.step)
    if saved.step < steps:
        raise ConfigError(
            f"the run in {folder} stopped after step {saved.step} of {steps}, and another target "
            "follows only a finished one; first start the command again that began it"
        )
    name = run_recipe.read(folder).get("network", "nothing")
    if name not in NETWORKS:
        raise ConfigError(
            f"{folder / run_recipe.RECIPE} gives the network as {name}, known are "
            f"{', '.join(NETWORKS)}; name a run that `python -m train adapt` made"
        )
    begin = folder.resolve() if name == STUDENT else None
    network = new_network(name, begin)
    network.load_state_dict(average, strict=False)
    return _Begun(name=name, begin=begin, network=network.eval())


def _tests(course: Course) -> list[Domain]:
    """Open the folders that the user named to measure in."""
    _distinct(course.test_folders, "--test")
    rendered = [path for path in course.targets if is_rendered(path)]
    if rendered and not course.test_folders:
        raise ConfigError(
            f"{rendered[0]} is rendered, and of such a folder nothing is held out; name another "
            "one with --test, made with another --seed"
        )
    tests = [held_out_domain(folder) for folder in course.test_folders]
    if course.bound_mm is not None and not any(test.has_3d for test in tests):
        raise ConfigError(
            f"--forget-at-most is {course.bound_mm:g} mm, and no folder of --test has 3D truth to "
            "measure millimetres by; name one made by `python -m train synth`"
        )
    return tests


def _recipe(course: Course) -> dict[str, object]:
    """Say what the course is made of; refuse to go on with another one.

    Targets and folders to measure in may be added.
    """
    digest = hashlib.sha256((course.begin / checkpoint.TENSORS).read_bytes()).hexdigest()
    now: dict[str, object] = {
        "begin": f"{course.begin.resolve().name}, sha256 {digest[:12]}",
        **data_words("source", course.source_folders, out=course.out),
        "method": course.method,
        "preset": course.preset_name,
        "share_of_steps": course.share_of_steps,
        "learning_rate": course.learning_rate,
        "seed": course.seed,
        "most": course.most,
    }
    for number, path in enumerate(course.targets, start=1):
        now |= data_words(f"target {number}", [path], out=course.out)
    for path in course.test_folders:
        now |= data_words(f"test {path.resolve().name}", [path], out=course.out)
    run_recipe.refuse_another(course.out, run_recipe.read(course.out), now, free=frozenset())
    return now


def _assignment(course: Course, begun: _Begun, name: str, path: Path, source: Domain) -> Assignment:
    labels = course.out / "labels" / name
    target = target_domain(path, labels)
    return Assignment(
        source_folders=course.source_folders,
        target_folder=path if is_rendered(path) or is_labelled(path) else labels,
        source=source,
        target=target,
        preset_name=course.preset_name,
        network=begun.name,
        begin=begun.begin,
        learning_rate=course.learning_rate,
        out=course.out,
        share_of_steps=course.share_of_steps,
    )


def _held_out(course: Course, tasks: Mapping[str, Assignment]) -> list[Domain]:
    """Open what is held out of the targets that have labels and are not measured in already."""
    named = {folder.resolve() for folder in course.test_folders}
    found = []
    for name, task in tasks.items():
        folder = task.target_folder
        if is_rendered(folder) or folder.resolve() in named:
            continue
        # Without --test there is nothing else to measure in, and a target of which nothing is held
        # out is refused.
        if not named or len(RealPeople([folder], held_out=True)):
            found.append(replace(held_out_domain(folder), name=f"{name} held out"))
    return found
