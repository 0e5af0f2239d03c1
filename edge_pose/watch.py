"""From poses to events: what happens before the camera comes in, everybody who listens hears of it.

In: the tracked people of one frame after the other, and the camera's states.  Out: events in the
order in which they were seen, without numbers, which whoever sends them gives.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

import numpy as np
from jaxtyping import Float64

from edge_pose.clock import NS_PER_S, utc_ms
from edge_pose.event import CameraChange, CameraState, Degraded, Event, People, ZoneEnter, ZoneLeave
from edge_pose.level import on_floor_m
from edge_pose.presence import Move, Presence
from edge_pose.skeleton import INDEX, ROOT
from edge_pose.types import Frame, Pose3D, Stats
from edge_pose.zone import Part, Place, Zone

STEADY_NS: Final = 1 * NS_PER_S
"""A number of people is told once it has been the same for so long."""
FEET: Final = [INDEX["left_ankle"], INDEX["right_ankle"]]

Hear = Callable[[Event], None]


class Watch:
    """Takes what sinks take, and tells those who listen what it means."""

    def __init__(
        self,
        listeners: Sequence[Hear],
        *,
        cam: str,
        zones: Sequence[Zone] = (),
        up: Float64[np.ndarray, "3"],
        degraded: str | None = None,
    ) -> None:
        self._listeners = listeners
        self._cam = cam
        self._zones = zones
        self._up = up
        self._presence = Presence(zones)
        self._camera: CameraState | None = None
        self._persons: int | None = None
        self._other_number: tuple[int, int] | None = None
        """A number of people that is not told yet, and since when it has been the same."""
        self._ts = 0
        if degraded is not None:
            self._tell(Degraded(ts=utc_ms(), cam=cam, why=degraded))

    def start(self, meta: Mapping[str, object]) -> None:
        """Nothing happens when the size of the picture changes: zones are parts of it."""

    def send(self, frame: Frame, poses: list[Pose3D], _stats: Stats) -> None:
        """Take in the people of one frame."""
        self._ts = frame.captured_at_ms
        places = {pose.track: dict(self._places(frame, pose)) for pose in poses if not pose.stale}
        for move in self._presence.see(places, frame.captured_ns):
            self._tell_move(move)
        self._count(len(poses), frame.captured_ns)

    def status(self, camera: str) -> None:
        """Take in that the camera is now `online`, `offline` or `stale`; unseen is unknown."""
        self._ts = utc_ms()
        state, was = cast("CameraState", camera), self._camera
        self._camera = state
        self._tell(CameraChange(ts=self._ts, cam=self._cam, state=state, was=was))
        if state != "online":
            self._persons = self._other_number = None
            for move in self._presence.empty("camera"):
                self._tell_move(move)

    def close(self) -> None:
        """Say of everybody in a zone that we no longer see them there."""
        for move in self._presence.empty("stopped"):
            self._tell_move(move)

    def _places(self, frame: Frame, pose: Pose3D) -> Iterator[tuple[str, Place]]:
        """Where this person is for each zone; nothing where that cannot be told."""
        height_px, width_px = frame.image.shape[:2]
        for zone in self._zones:
            if zone.space == "picture":
                u, v = _middle(pose.joints_px, zone.part).tolist()
                place = ((u + 0.5) / width_px, (v + 0.5) / height_px)
            else:
                place = on_floor_m(_middle(pose.joints_m, zone.part), self._up)
            if np.isfinite(place).all():
                yield zone.name, place

    def _count(self, number: int, at_ns: int) -> None:
        if number == self._persons:
            self._other_number = None
            return
        other = self._other_number
        if other is None or other[0] != number or at_ns < other[1]:
            self._other_number = other = (number, at_ns)
        if at_ns - other[1] >= STEADY_NS:
            before, self._persons, self._other_number = self._persons, number, None
            self._tell(People(ts=self._ts, cam=self._cam, persons=number, before=before))

    def _tell_move(self, move: Move) -> None:
        if move.reason is None:
            self._tell(
                ZoneEnter(
                    ts=self._ts, cam=self._cam, zone=move.zone, id=move.track, inside=move.inside
                )
            )
            return
        self._tell(
            ZoneLeave(
                ts=self._ts,
                cam=self._cam,
                zone=move.zone,
                id=move.track,
                inside=move.inside,
                reason=move.reason,
                dwell_s=round(move.dwell_s, 1),
            )
        )

    def _tell(self, event: Event) -> None:
        for hear in self._listeners:
            hear(event)


def _middle(joints: np.ndarray, part: Part) -> Float64[np.ndarray, "axes"]:
    """Between the ankles, or the hips."""
    middle = joints[FEET].mean(axis=0) if part == "feet" else joints[ROOT]
    return np.asarray(middle, np.float64)
