"""What happens before a camera, as it is published: one frozen type per kind of event, all flat."""

from dataclasses import dataclass
from typing import Final, Literal

CameraState = Literal["online", "offline", "stale", "paused"]
Reason = Literal["out", "lost", "camera", "stopped"]
"""Why somebody is not in a zone now: walked out, is not seen, nor is anything, or we end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Happened:
    """What every event says first."""

    ts: int
    """When it was seen, milliseconds since 1970 in UTC."""
    seq: int | None = None
    """Grows by one with each event of this camera, also over restarts; the spool gives it."""
    cam: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEnter(_Happened):
    """A person came into a zone."""

    type: Literal["zone_enter"] = "zone_enter"
    zone: str
    id: int
    inside: int
    """How many are in the zone now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneLeave(_Happened):
    """A person is no longer in a zone, as far as can be told."""

    type: Literal["zone_leave"] = "zone_leave"
    zone: str
    id: int
    inside: int
    reason: Reason
    dwell_s: float
    """How long the person was seen there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People(_Happened):
    """As many people as this have been there for a while."""

    type: Literal["people"] = "people"
    persons: int
    before: int | None = None
    """Left out when it was not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraChange(_Happened):
    """The camera came or went."""

    type: Literal["camera"] = "camera"
    state: CameraState
    was: CameraState | None = None
    """Left out when we have just started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded(_Happened):
    """The networks run on something slower than they should; told at every start."""

    type: Literal["degraded"] = "degraded"
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(_Happened):
    """What the camera shows is no longer what the model was made for."""

    type: Literal["drift"] = "drift"
    measure: str
    value: float
    limit: float


Event = ZoneEnter | ZoneLeave | People | CameraChange | Degraded | Drift
EVENTS: Final = {
    "zone_enter": ZoneEnter,
    "zone_leave": ZoneLeave,
    "people": People,
    "camera": CameraChange,
    "degraded": Degraded,
    "drift": Drift,
}
"""Every kind of event by its name, which is the last level of its topic."""
