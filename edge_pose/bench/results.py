"""What a benchmark found, summed up: percentiles of every stage, and rates; kept as JSON.

In: the rows of one or more cameras that ran at once, or a file.  Out: frozen dataclasses, or JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_pose.bench.ledger import STAGES, Row
from edge_pose.bench.machine import Machine
from edge_pose.bench.measure import Measured
from edge_pose.errors import ConfigError

SCHEMA: Final = 1
WHOLE: Final = "whole"
NETWORKS: Final = "networks"
OVERHEAD: Final = "overhead"
REST: Final = "rest"
LINES: Final = (*STAGES, REST, WHOLE, NETWORKS, OVERHEAD)
"""Stages and `rest` sum up to `whole`; `overhead` is `whole` less `capture` and `networks`."""
_MS_PER_S: Final = 1000.0
_SHORTEST_MS: Final = 1e-6
"""Clocks of tests may stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of one line, over the frames in which it ran."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    """Over all frames, also those in which it did not run, so that means sum up."""
    share: float
    """Of the frames in which it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What so many people before so many cameras cost."""

    source: str
    people: int | None
    """Shown at a time; None in a recording of the user's."""
    seen: float
    """Mean number of people seen."""
    cameras: int
    size_px: tuple[int, int]
    frames: int
    """Measured, all cameras together."""
    costs: dict[str, Cost]
    pipeline_hz: float
    """Frames a second, all cameras together, as fast as they go, until the last is done."""
    networks_hz: float
    """The same if there were nothing but the networks: their own runs once more."""
    hottest_c: float | None
    """Right afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of `edge-pose bench`."""

    schema: int
    created: str
    version: str
    model: str
    engine: str
    machine: Machine
    cases: tuple[Case, ...]


def case_of(
    runs: Sequence[Measured], *, source: str, people: int | None, hottest_c: float | None
) -> Case:
    """Sum up what cameras that ran at the same time cost."""
    rows = [row for run in runs for row in run.rows]
    return Case(
        source=source,
        people=people,
        seen=float(np.mean([row.people for row in rows])),
        cameras=len(runs),
        size_px=runs[0].size_px,
        frames=len(rows),
        costs={name: cost for name in LINES if (cost := _cost(name, rows)) is not None},
        pipeline_hz=_rate_hz(rows, [sum(row.whole_ms for row in run.rows) for run in runs]),
        networks_hz=_rate_hz(rows, [run.networks_alone_ms for run in runs]),
        hottest_c=hottest_c,
    )


def _rate_hz(rows: Sequence[Row], spans_ms: Sequence[float]) -> float:
    """Until the last camera was done: those that go on alone are faster, but not together."""
    return len(rows) / max(*spans_ms, _SHORTEST_MS) * _MS_PER_S


_ALWAYS: Final[Mapping[str, Callable[[Row], float]]] = {
    REST: lambda row: row.whole_ms - sum(row.stages_ms.values()),
    WHOLE: lambda row: row.whole_ms,
    NETWORKS: lambda row: row.networks_ms,
    OVERHEAD: lambda row: row.whole_ms - row.networks_ms - row.stages_ms.get("capture", 0.0),
}


def _cost(name: str, rows: Sequence[Row]) -> Cost | None:
    """None for a stage that no frame needed."""
    if name in _ALWAYS:
        spent_ms = [_ALWAYS[name](row) for row in rows]
    else:
        spent_ms = [row.stages_ms[name] for row in rows if name in row.stages_ms]
    if not spent_ms:
        return None
    p50, p95, p99 = (float(value) for value in np.percentile(spent_ms, (50, 95, 99)))
    return Cost(
        p50_ms=round(p50, 4),
        p95_ms=round(p95, 4),
        p99_ms=round(p99, 4),
        mean_ms=round(sum(spent_ms) / len(rows), 4),
        share=round(len(spent_ms) / len(rows), 4),
    )


def write(results: Results, path: Path) -> None:
    """Write JSON."""
    text = json.dumps(asdict(results), indent=1) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> Results:
    """Read what `write` wrote; anything else is an error."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The results {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(
            f"{path} is not JSON; `edge-pose bench --json FILE` writes results"
        ) from None
    found = table.get("schema") if isinstance(table, dict) else None
    if found != SCHEMA:
        raise ConfigError(
            f"{path} holds no results of schema {SCHEMA} (found {found!r}); "
            "`edge-pose bench --json FILE` writes them"
        )
    try:
        return Results(
            **{
                **_known(Results, table),
                "machine": Machine(**_known(Machine, table["machine"])),
                "cases": tuple(map(_case, table["cases"])),
            }
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} is no complete set of results ({type(error).__name__}: {error}); measure again"
        ) from None


def _case(table: dict[str, Any]) -> Case:
    width_px, height_px = table["size_px"]
    costs = {
        str(name): Cost(**{key: float(value) for key, value in _known(Cost, cost).items()})
        for name, cost in table["costs"].items()
    }
    return Case(
        **{**_known(Case, table), "size_px": (int(width_px), int(height_px)), "costs": costs}
    )


def _known(kind: Any, table: dict[str, Any]) -> dict[str, Any]:
    """Take the keys of a dataclass, all of them and no other."""
    names = {field.name for field in fields(kind)}
    if table.keys() != names:
        wrong = ", ".join(sorted(names ^ table.keys()))
        raise ValueError(f"{kind.__name__} lacks or has no use for {wrong}")
    return table
