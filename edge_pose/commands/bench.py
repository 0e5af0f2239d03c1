"""`edge-pose bench`: what a frame costs here, stage by stage, and how two releases compare.

In: a recording, or the bundle's golden pictures.  Out: tables on standard output, and JSON.
"""

import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TextIO

from edge_pose import __version__
from edge_pose.bench.machine import this_machine
from edge_pose.bench.measure import WARM_UP
from edge_pose.bench.results import SCHEMA, Case, Results, case_of, read, write
from edge_pose.bench.scenes import write_scene
from edge_pose.bench.table import (
    case_title,
    comparison,
    in_both,
    machine_lines,
    overhead_verdict,
    stages,
    summary,
)
from edge_pose.bench.workers import measure_together
from edge_pose.config import Config
from edge_pose.config.read import DEFAULT, Effective
from edge_pose.device import hottest_c
from edge_pose.errors import EXIT_OK, ConfigError
from edge_pose.feed import is_device, is_stream
from edge_pose.store import chosen_bundle

log = logging.getLogger(__name__)

FRAMES: Final = 120
GOLDEN: Final = "golden pictures"
PEOPLE: Final = (1, 4, 10)
CAMERAS: Final = (1, 4)
_MOST_CAMERAS: Final = 16


def main(settings: Effective, arguments: Namespace) -> int:
    """Measure, or compare what was measured before."""
    if arguments.compare is not None:
        old, new = (read(path) for path in arguments.compare)
        compare(old, new, sys.stdout)
        return EXIT_OK
    into: Path | None = arguments.json
    if into is not None and not into.parent.is_dir():
        raise ConfigError(f"There is no folder {into.parent} to write {into.name} into")
    # Ends as Ctrl-C does: by way of everything that has to be cleared away.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = bench(settings, arguments, sys.stdout)
    finally:
        signal.signal(signal.SIGTERM, former)
    if into is not None:
        write(results, into)
    return EXIT_OK


def compare(old: Results, new: Results, out: TextIO) -> None:
    """Write a table of ratios, below what each was measured on."""
    if not in_both(old, new):
        raise ConfigError("the two results have no case in common; measure the same cases twice")
    for name, results in (("old", old), ("new", new)):
        out.writelines(f"{name} {line}\n" for line in machine_lines(results))
    out.write(f"\n{comparison(old, new)}\n")


def bench(settings: Effective, arguments: Namespace, out: TextIO) -> Results:
    """Measure all cases and write tables, each when it is known."""
    config = settings.config
    cameras = _numbers(arguments.cameras, CAMERAS, "--cameras", _MOST_CAMERAS)
    machine = this_machine()
    model = engine = ""
    cases: list[Case] = []
    with TemporaryDirectory(prefix="edge-pose-bench-") as folder:
        for people, watched in _sources(settings, arguments, Path(folder)):
            for count in cameras:
                source = GOLDEN if people is not None else Path(config.camera.source).name
                several = [
                    replace(watched, camera=replace(watched.camera, name=f"bench{number}"))
                    for number in range(count)
                ]
                log.info("Measuring %s, cameras: %d", source, count)
                runs = measure_together(several, frames=config.output.frames or FRAMES)
                model, engine = runs[0].model, runs[0].engine
                cases.append(case_of(runs, source=source, people=people, hottest_c=hottest_c()))
                out.write(f"## {case_title(cases[-1])}\n\n{stages(cases[-1])}\n\n")
                out.flush()
    results = Results(
        schema=SCHEMA,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        model=model,
        engine=engine,
        machine=machine,
        cases=tuple(cases),
    )
    out.write(f"## Together\n\n{summary(results)}\n\n")
    out.writelines(f"{line}\n" for line in machine_lines(results))
    if verdict := overhead_verdict(results):
        out.write(f"{verdict}\n")
    return results


def _sources(
    settings: Effective, arguments: Namespace, folder: Path
) -> Iterator[tuple[int | None, Config]]:
    """Give what cameras see, and how many people that shows where we made it."""
    config = settings.config
    if settings.origins["camera.source"] != DEFAULT:
        if arguments.people is not None:
            raise ConfigError("--people is for golden pictures; a recording has its own")
        if is_device(config.camera.source) or is_stream(config.camera.source):
            raise ConfigError(
                f"--camera is {config.camera.source}, which is never the same twice; "
                "record some of it and name the file"
            )
        yield None, replace(config, camera=replace(config.camera, realtime=False))
        return
    bundle = chosen_bundle(config.model, os.environ)
    for people in _numbers(arguments.people, PEOPLE, "--people", None):
        path = folder / f"{people}.avi"
        write_scene(bundle, people, WARM_UP + (config.output.frames or FRAMES), path)
        yield (
            people,
            replace(
                config,
                camera=replace(config.camera, source=str(path), realtime=False),
                model=replace(config.model, max_people=max(people, config.model.max_people)),
            ),
        )
        path.unlink()


def _numbers(
    given: list[int] | None, default: tuple[int, ...], flag: str, most: int | None
) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(given or default))
    for number in numbers:
        if number < 1 or (most is not None and number > most):
            raise ConfigError(
                f"{flag} has {number}; wanted 1{f' to {most}' if most else ' or more'}"
            )
    return numbers
