"""Results as text: tables that a terminal shows and that a page of docs/ takes as they are.

In: results, one set or two.  Out: Markdown, its columns aligned.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edge_pose.bench.results import LINES, NETWORKS, OVERHEAD, WHOLE, Case, Results

OVERHEAD_LIMIT_MS: Final = 3.0
"""What the appliance may cost outside its networks, median, for one person before one camera."""
_MEANINGS: Final[Mapping[str, str]] = {
    "capture": "capture (with its decoding)",
    "crop": "crop",
    "detect": "detect",
    "pose": "pose",
    "decode": "decode of arrays",
    "track": "track",
    "place": "place (metres, smoothing)",
    "message": "message",
    "publish": "publish",
    "rest": "the rest",
    WHOLE: "whole frame",
    NETWORKS: "inside the networks",
    OVERHEAD: "outside, without capture",
}


def case_title(case: Case) -> str:
    """Say what was shown to how many cameras."""
    people = "" if case.people is None else f"{_many(case.people, 'person', 'people')}, "
    return f"{people}{_many(case.cameras, 'camera')}"


def machine_lines(results: Results) -> list[str]:
    """Say what figures depend on, a line a thing."""
    machine = results.machine
    cores = _many(machine.cores, "core")
    mode, governor = machine.power_mode or "not told", machine.governor or "not told"
    return [
        f"machine: {machine.name}, {cores}, {machine.system}, Python {machine.python}",
        f"power: mode {mode}, governor {governor}, load before {machine.load:.1f}",
        f"program: edge-pose {results.version}, {results.model}, {results.engine}",
        f"measured: {results.created}",
    ]


def summary(results: Results) -> str:
    """Tell rates: a row a case."""
    head = (
        "case", "seen", "frame p50 ms", "p99 ms", "pipeline/s", "networks alone/s", "ratio",
        "overhead p50 ms", "hottest °C",
    )  # fmt: skip
    rows = [
        (
            case_title(case),
            f"{case.seen:.1f}",
            f"{case.costs[WHOLE].p50_ms:.1f}",
            f"{case.costs[WHOLE].p99_ms:.1f}",
            f"{case.pipeline_hz:.1f}",
            f"{case.networks_hz:.1f}",
            f"{case.pipeline_hz / case.networks_hz:.2f}",
            f"{case.costs[OVERHEAD].p50_ms:.2f}",
            "not told" if case.hottest_c is None else f"{case.hottest_c:.0f}",
        )
        for case in results.cases
    ]
    return markdown(head, rows)


def stages(case: Case) -> str:
    """Tell where the time of a case's frames goes."""
    rows = [
        (
            _MEANINGS[name],
            f"{cost.p50_ms:.2f}",
            f"{cost.p95_ms:.2f}",
            f"{cost.p99_ms:.2f}",
            f"{100 * cost.share:.0f}",
            f"{cost.mean_ms:.2f}",
        )
        for name in LINES
        if (cost := case.costs.get(name))
    ]
    return markdown(("ms", "p50", "p95", "p99", "in % of frames", "mean of all frames"), rows)


def overhead_verdict(results: Results) -> str | None:
    """Hold one camera's overhead, of one person or a recording, against its limit."""
    for case in results.cases:
        if case.cameras == 1 and case.people in (1, None):
            found_ms = case.costs[OVERHEAD].p50_ms
            verdict = "within" if found_ms <= OVERHEAD_LIMIT_MS else "BEYOND"
            return (
                f"overhead outside the networks, {case_title(case)}, {case.seen:.1f} people seen: "
                f"{found_ms:.2f} ms p50, "
                f"{verdict} the limit of {OVERHEAD_LIMIT_MS:g} ms"
            )
    return None


def comparison(old: Results, new: Results) -> str:
    """Tell new over old for every line that both have: below 1 is faster, but for rates."""
    before = {_key(case): case for case in old.cases}
    rows = [
        (case_title(case), what, f"{was:.2f}", f"{now:.2f}", f"{now / was:.2f}" if was else "–")
        for case in new.cases
        if (former := before.get(_key(case)))
        for what, was, now in _pairs(former, case)
    ]
    return markdown(("case", "what", "old", "new", "new / old"), rows)


def in_both(old: Results, new: Results) -> bool:
    """Tell whether there is a case to compare."""
    return not {_key(case) for case in old.cases}.isdisjoint(_key(case) for case in new.cases)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table, first column to the left and the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    return "\n".join(map(line, (head, ruler, *rows)))


def _pairs(old: Case, new: Case) -> list[tuple[str, float, float]]:
    costs = [
        (f"{_MEANINGS[name]} p50 ms", old.costs[name].p50_ms, new.costs[name].p50_ms)
        for name in LINES
        if name in old.costs and name in new.costs
    ]
    return [
        *costs,
        ("whole frame p99 ms", old.costs[WHOLE].p99_ms, new.costs[WHOLE].p99_ms),
        ("pipeline, frames/s", old.pipeline_hz, new.pipeline_hz),
        ("networks alone, frames/s", old.networks_hz, new.networks_hz),
    ]


def _key(case: Case) -> tuple[str, int | None, int]:
    return case.source, case.people, case.cameras


def _many(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
