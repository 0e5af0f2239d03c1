"""Results of `edge-pose bench` as a machine that does not exist would give them."""

from dataclasses import replace
from typing import Final

from edge_pose.bench.machine import Machine
from edge_pose.bench.results import LINES, SCHEMA, Case, Cost, Results

RESULTS: Final = Results(
    schema=SCHEMA,
    created="2026-01-01T00:00:00+00:00",
    version="0.0.1",
    model="stand-in 0.0.1",
    engine="made up",
    machine=Machine(
        name="A made up board",
        cores=2,
        system="Linux aarch64",
        python="3.10.12",
        power_mode="1 7W",
        governor=None,
        load=0.1,
    ),
    cases=(
        Case(
            source="golden pictures",
            people=1,
            seen=1.0,
            cameras=1,
            size_px=(1280, 720),
            frames=100,
            costs={
                name: Cost(p50_ms=1.0, p95_ms=1.5, p99_ms=2.0, mean_ms=1.1, share=1.0)
                for name in LINES
            },
            pipeline_hz=50.0,
            networks_hz=60.0,
            hottest_c=None,
        ),
    ),
)


def scaled(results: Results, factor: float) -> Results:
    """Take so many times as long for everything."""
    return replace(results, cases=tuple(_case(case, factor) for case in results.cases))


def _case(case: Case, factor: float) -> Case:
    return replace(
        case,
        costs={
            name: replace(
                cost,
                p50_ms=cost.p50_ms * factor,
                p95_ms=cost.p95_ms * factor,
                p99_ms=cost.p99_ms * factor,
                mean_ms=cost.mean_ms * factor,
            )
            for name, cost in case.costs.items()
        },
        pipeline_hz=case.pipeline_hz / factor,
        networks_hz=case.networks_hz / factor,
    )
