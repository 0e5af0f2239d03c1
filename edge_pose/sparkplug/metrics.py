"""What a camera tells as metrics: poses and statistics in, values by name out.

The metrics are fixed at birth, so there are as many slots for people as can be followed at a time.
What is not known, a joint or a whole slot, has no value: it is left out here and null on the wire.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_pose.skeleton import INDEX
from edge_pose.sparkplug.payload import DataType, Value
from edge_pose.types import Pose3D, Stats

PROBABILITY_DEADBAND: Final = 0.05
"""The network's doubt trembles with every frame; only what changes by more is told."""
RATE_DEADBAND_HZ: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A metric as it is declared at birth."""

    name: str
    datatype: DataType
    unit: str | None = None
    deadband: float = 0.0
    """A value is told when it is off by more than this from what was told last."""


def camera_metrics(
    *, joints: Sequence[str], people: int, deadband_m: float
) -> tuple[Definition, ...]:
    """Declare everything that a camera will ever tell."""
    return (
        Definition(name="Pose/Persons", datatype=DataType.INT32),
        *(
            metric
            for slot in range(people)
            for metric in _person_metrics(f"Pose/P{slot}", joints, deadband_m)
        ),
        Definition(name="Stats/fps", datatype=DataType.FLOAT, unit="Hz", deadband=RATE_DEADBAND_HZ),
    )


def _person_metrics(folder: str, joints: Sequence[str], deadband_m: float) -> Iterator[Definition]:
    yield Definition(name=f"{folder}/stale", datatype=DataType.BOOLEAN)
    for joint in joints:
        for axis in "xyz":
            yield Definition(
                name=f"{folder}/{joint}/{axis}",
                datatype=DataType.FLOAT,
                unit="m",
                deadband=deadband_m,
            )
        yield Definition(
            name=f"{folder}/{joint}/c", datatype=DataType.FLOAT, deadband=PROBABILITY_DEADBAND
        )


def camera_values(
    poses: Sequence[Pose3D], stats: Stats, *, slots: Mapping[int, int], joints: Sequence[str]
) -> dict[str, Value]:
    """Give the values of one frame; people stand in the slots that their tracks have."""
    values: dict[str, Value] = {"Pose/Persons": len(poses), "Stats/fps": float(stats.fps)}
    for pose in poses:
        folder = f"Pose/P{slots[pose.track]}"
        values[f"{folder}/stale"] = pose.stale
        for joint in joints:
            row = INDEX[joint]
            place_m = [float(coordinate_m) for coordinate_m in pose.joints_m[row]]
            if all(math.isfinite(coordinate_m) for coordinate_m in place_m):
                told = {**dict(zip("xyz", place_m, strict=True)), "c": float(pose.scores[row])}
                values |= {f"{folder}/{joint}/{leaf}": value for leaf, value in told.items()}
    return values


def changes(
    metrics: Mapping[str, Definition], told: Mapping[str, Value], now: Mapping[str, Value]
) -> dict[str, Value]:
    """Give the values of now that are worth a message."""
    return {
        name: now[name]
        for name, metric in metrics.items()
        if has_changed(metric, told[name], now[name])
    }


def has_changed(metric: Definition, told: Value, now: Value) -> bool:
    """Tell whether a value is worth a message."""
    if isinstance(told, int | float) and isinstance(now, int | float):
        return abs(now - told) > metric.deadband
    return told != now
