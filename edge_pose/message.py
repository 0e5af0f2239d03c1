"""What is on the wire: frozen types of every message, and pure builders of them.

In: poses, statistics, intrinsics.  Out: one line of JSON each.  Metres are rounded to millimetres,
pixels to tenths, probabilities to thousandths, and every measured number carries decimals (`0.0`,
never `0`), because some SCADA products fix the type of a tag by its first value.  A field that is
`None` is left out; a coordinate that is not known is `null`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.angles import angles_deg
from edge_pose.event import Event
from edge_pose.skeleton import EDGES, JOINTS, NAME, PARENTS, ROOT
from edge_pose.types import Frame, Intrinsics, Pose3D, Stats

VERSION: Final = 1
MAX_PERSONS: Final = 32
CERTAIN: Final = 0.5
"""Least probability of a joint from which an angle is made."""
FRAME_HEADER: Final = ("v", "cam", "skel", "unit", "frame")
"""What a frame repeats of the meta message, so that it can be understood alone; JSONL omits it."""

Coordinate = float | None
Keypoint = tuple[Coordinate, Coordinate, Coordinate, float]
"""x, y, z in metres in camera axes (x right, y down, z forward); probability that it is right."""
Pixel = tuple[Coordinate, Coordinate]
"""u, v in frame pixels; pixel centres are at integers."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in frame pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person of a frame."""

    id: int
    score: float
    box: Box
    kp: tuple[Keypoint, ...]
    kp_px: tuple[Pixel, ...]
    predicted: tuple[int, ...] | None = None
    """Joints whose place comes from motion or anatomy rather than from this frame's pixels."""
    stale: bool | None = None
    """True when the person was not seen in this frame and the pose is carried over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMs:
    """How old the answer is."""

    infer: float
    total: float | None = None
    """From the grab to the poses; absent when a file is played as fast as it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMessage:
    """Everybody seen in one frame."""

    v: Literal[1] = VERSION
    seq: int
    """Index of the frame in its source, from 0; gaps are frames that were skipped."""
    ts: int
    """Time of the grab, milliseconds since 1970 in UTC."""
    cam: str
    skel: str = NAME
    unit: Literal["m"] = "m"
    frame: Literal["camera"] = "camera"
    size: tuple[int, int]
    """Width and height of the picture in pixels."""
    lat_ms: LatencyMs
    persons: tuple[Person, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """The pinhole camera that turned pixels into metres."""

    fx: float
    fy: float
    cx: float
    cy: float
    assumed: bool
    """True when nobody measured the focal length: distances are then off by a common factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which model bundle the poses come from."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What holds for all frames of a camera until the next meta message."""

    v: Literal[1] = VERSION
    schema: str = f"urn:edge-pose:frame:{VERSION}"
    cam: str
    skeleton: str = NAME
    joints: tuple[str, ...] = JOINTS
    parents: tuple[int, ...] = PARENTS
    edges: tuple[tuple[int, int], ...] = EDGES
    unit: Literal["m"] = "m"
    frame: Literal["camera"] = "camera"
    axes: str = "x right, y down, z forward"
    size: tuple[int, int]
    intrinsics: Lens
    model: Model
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What holds for a device while it is connected."""

    version: str
    machine: str
    model: Model
    engine: str
    degraded: str | None = None
    """Why a faster runtime or precision that should have worked is not used."""
    started: int
    """Milliseconds since 1970 in UTC."""
    clock_synchronised: bool | None = None
    """Whether somebody kept the wall clock right when it was started; absent where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsMessage:
    """How a camera's pipeline did since the last such message; one level deep, for tags."""

    ts: int
    seq: int
    fps: float
    persons: int
    infer_ms_p50: float
    infer_ms_p95: float
    total_ms_p50: float | None = None
    total_ms_p95: float | None = None
    skipped: int
    reconnects: int
    unsent: int
    """Messages dropped since the start because the broker was away."""
    spooled: int | None = None
    """Events and summaries that wait for somebody who reads them."""
    spool_dropped: int | None = None
    """Of these, how many were too old or too many, since the start."""
    spool_ok: bool | None = None
    """False: what ought to be on the disk is in memory only, or was lost with a broken file."""


Message = Person | FrameMessage | Meta | Info | StatsMessage | Event


def rounded(value: float, digits: int) -> float:
    """Round; never a negative zero, which some consumers show as `-0`."""
    return round(value, digits) + 0.0


def _rows(
    values: Float32[np.ndarray, "rows columns"], digits: int
) -> tuple[tuple[Coordinate, ...], ...]:
    """Round a table, with None for what is not known."""
    table = (np.round(values.astype(np.float64), digits) + 0.0).tolist()
    if np.isfinite(values).all():
        return tuple(map(tuple, table))
    return tuple(tuple(v if math.isfinite(v) else None for v in row) for row in table)


def person(pose: Pose3D) -> Person:
    """Put one tracked person on the wire."""
    scored = np.column_stack([pose.joints_m, pose.scores])
    (box,) = _rows(pose.box_px[np.newaxis], 1)
    return Person(
        id=pose.track,
        score=rounded(pose.score, 3),
        box=cast("Box", box),
        kp=cast("tuple[Keypoint, ...]", _rows(scored, 3)),
        kp_px=cast("tuple[Pixel, ...]", _rows(pose.joints_px, 1)),
        predicted=tuple(pose.predicted.nonzero()[0].tolist()) or None,
        stale=True if pose.stale else None,
    )


def frame_message(frame: Frame, poses: Sequence[Pose3D], stats: Stats, *, cam: str) -> FrameMessage:
    """Put one frame on the wire: the nearest `MAX_PERSONS` of its people, by number."""
    height_px, width_px = frame.image.shape[:2]
    nearest = sorted(poses, key=lambda pose: float(pose.joints_m[ROOT, 2]))[:MAX_PERSONS]
    total = stats.total_ms
    return FrameMessage(
        seq=frame.sequence,
        ts=frame.captured_at_ms,
        cam=cam,
        size=(width_px, height_px),
        lat_ms=LatencyMs(
            infer=rounded(stats.infer_ms, 1), total=None if total is None else rounded(total, 1)
        ),
        persons=tuple(person(pose) for pose in sorted(nearest, key=lambda pose: pose.track)),
    )


def lens(intrinsics: Intrinsics) -> Lens:
    """Put a camera on the wire."""
    matrix = intrinsics.matrix
    return Lens(
        fx=rounded(float(matrix[0, 0]), 2),
        fy=rounded(float(matrix[1, 1]), 2),
        cx=rounded(float(matrix[0, 2]), 2),
        cy=rounded(float(matrix[1, 2]), 2),
        assumed=intrinsics.assumed,
    )


def meta(*, cam: str, intrinsics: Intrinsics, model: Model, engine: str) -> Meta:
    """Say what holds for all frames of a camera."""
    size = (intrinsics.width_px, intrinsics.height_px)
    return Meta(cam=cam, size=size, intrinsics=lens(intrinsics), model=model, engine=engine)


def flat_person(
    frame: FrameMessage, one: Person, up: Float64[np.ndarray, "3"] | None = None
) -> dict[str, int | float | bool]:
    """One person one level deep: `nose_x … right_toe_c`; a joint that is not known is left out.

    `distance` is that of the pelvis from the camera in metres.  Angles are those of joints that
    were seen and are more likely right than not; `up` in camera axes where it is known.
    """
    flat: dict[str, int | float | bool] = {
        "ts": frame.ts,
        "seq": frame.seq,
        "id": one.id,
        "score": one.score,
        "stale": bool(one.stale),
    }
    root = one.kp[ROOT][:3]
    if None not in root:
        flat["distance"] = rounded(math.hypot(*(value or 0.0 for value in root)), 3)
    for name, (x, y, z, score) in zip(JOINTS, one.kp, strict=True):
        if x is not None and y is not None and z is not None:
            flat |= {f"{name}_x": x, f"{name}_y": y, f"{name}_z": z, f"{name}_c": score}
    table = np.array(one.kp, np.float64)  # null becomes not a number
    known = table[:, 3] >= CERTAIN
    known[list(one.predicted or ())] = False
    angles = angles_deg(table[:, :3], known, up)
    return flat | {name: rounded(angle, 1) for name, angle in angles.items()}


def stats_message(
    window: Sequence[Stats], *, ts: int, seq: int, persons: int, unsent: int
) -> StatsMessage:
    """Sum up the frames since the last such message; the window holds at least one."""
    last = window[-1]
    infer_ms = [stats.infer_ms for stats in window]
    total_ms = [stats.total_ms for stats in window if stats.total_ms is not None]
    return StatsMessage(
        ts=ts,
        seq=seq,
        fps=rounded(last.fps, 2),
        persons=persons,
        infer_ms_p50=_percentile(infer_ms, 0.50),
        infer_ms_p95=_percentile(infer_ms, 0.95),
        total_ms_p50=_percentile(total_ms, 0.50) if total_ms else None,
        total_ms_p95=_percentile(total_ms, 0.95) if total_ms else None,
        skipped=last.skipped,
        reconnects=last.reconnects,
        unsent=unsent,
    )


def _percentile(values: Sequence[float], fraction: float) -> float:
    """Nearest rank: the smallest value that this fraction of the values does not exceed."""
    return rounded(sorted(values)[max(math.ceil(fraction * len(values)) - 1, 0)], 1)


def as_mapping(message: Message) -> dict[str, Any]:
    """Turn a message into plain containers, without the fields that are left out."""
    plain: dict[str, Any] = _plain(message)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        nested = bool(value) and hasattr(value[0], "__dataclass_fields__")
        return [_plain(item) for item in value] if nested else value
    if hasattr(value, "__dataclass_fields__"):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(item) for name, item in pairs if item is not None}
    return value


def encode(message: Message | Mapping[str, object]) -> str:
    """One line of JSON."""
    plain = message if isinstance(message, Mapping) else as_mapping(message)
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def jsonl_meta(meta: Meta | Mapping[str, object]) -> str:
    """Write a line of `--output jsonl` that says what holds from there on."""
    plain = meta if isinstance(meta, Mapping) else as_mapping(meta)
    return encode({"meta": plain})


def jsonl_frame(frame: FrameMessage) -> str:
    """Write one further line of `--output jsonl`: the frame without what holds for all."""
    plain = as_mapping(frame)
    return encode({name: value for name, value in plain.items() if name not in FRAME_HEADER})
