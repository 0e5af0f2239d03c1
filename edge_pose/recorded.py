"""Messages that `--output jsonl` wrote: lines come in, frames with their poses come out again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_pose.clock import NS_PER_MS
from edge_pose.errors import SourceError
from edge_pose.skeleton import NUM_JOINTS
from edge_pose.types import Frame, Pose3D, Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One line of a recording."""

    meta: Mapping[str, object] | None
    """What holds from this frame on; None when nothing changed."""
    frame: Frame
    """Its picture is black: pictures are never recorded."""
    poses: list[Pose3D]
    stats: Stats


def recorded(path: Path) -> Iterator[Recorded]:
    """Read a file of messages; anything else in it is a SourceError with its line."""
    try:
        with path.open(encoding="utf-8") as lines:
            yield from _records(path, enumerate(lines, start=1))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"The recording {path} cannot be read: {error}") from None


def _records(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Recorded]:
    meta: Mapping[str, object] | None = None
    for number, line in lines:
        try:
            table = json.loads(line)
            meta = table.get("meta", meta)
            if "seq" not in table:
                continue
            yield _record(table, meta)
            meta = None
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise SourceError(
                f"{path}, line {number}, is no message of `edge-pose run --output jsonl` "
                f"({type(error).__name__}: {error})"
            ) from None


def _record(table: dict[str, Any], meta: Mapping[str, object] | None) -> Recorded:
    width_px, height_px = table["size"]
    captured_ns = int(table["ts"]) * NS_PER_MS
    latency = table["lat_ms"]
    return Recorded(
        meta=meta,
        frame=Frame(
            image=np.broadcast_to(np.uint8(0), (height_px, width_px, 3)),
            sequence=table["seq"],
            captured_ns=captured_ns,
            captured_at_ms=table["ts"],
        ),
        poses=[_pose(person, captured_ns) for person in table["persons"]],
        stats=Stats(
            fps=0.0,
            infer_ms=float(latency["infer"]),
            total_ms=latency.get("total"),
            skipped=0,
            reconnects=0,
        ),
    )


def _pose(person: dict[str, Any], captured_ns: int) -> Pose3D:
    # A coordinate that is not known is null on the wire and not a number in here.
    keypoints = np.array(person["kp"], np.float32).reshape(NUM_JOINTS, 4)
    predicted = np.zeros(NUM_JOINTS, np.bool_)
    predicted[person.get("predicted", [])] = True
    return Pose3D(
        track=person["id"],
        score=float(person["score"]),
        box_px=np.array(person["box"], np.float32),
        joints_m=keypoints[:, :3],
        joints_px=np.array(person["kp_px"], np.float32).reshape(NUM_JOINTS, 2),
        scores=keypoints[:, 3],
        predicted=predicted,
        stale=bool(person.get("stale", False)),
        captured_ns=captured_ns,
    )
