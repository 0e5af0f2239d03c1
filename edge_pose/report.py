"""What a supervisor and the log hear of the work: one line of state, about once a second."""

import logging
from collections.abc import Mapping
from typing import Final

from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.notify import Supervisor
from edge_pose.types import Frame, Pose3D, Stats

log = logging.getLogger(__name__)

_PERIOD_NS: Final = NS_PER_S


class ReportSink:
    """Tells systemd how we do, and the log what changes."""

    def __init__(self, supervisor: Supervisor, clock: Clock = monotonic_ns) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._told_ns: int | None = None

    def start(self, meta: Mapping[str, object]) -> None:
        """Log the frame size and the lens."""
        lens = meta.get("intrinsics")
        assumed = isinstance(lens, Mapping) and lens.get("assumed")
        log.info(
            "Frames are %s pixels; the lens is %s",
            meta.get("size"),
            "assumed (give --hfov, --fx or --intrinsics for true metres)" if assumed else "given",
        )

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Tell the supervisor, now and then."""
        now_ns = self._clock()
        if self._told_ns is None or now_ns - self._told_ns >= _PERIOD_NS:
            self._told_ns = now_ns
            self._supervisor.tell(
                f"STATUS=online, {stats.fps:.1f} frames/s, {len(poses)} people, "
                f"frame {frame.sequence}, {stats.skipped} skipped"
            )

    def status(self, camera: str) -> None:
        """Tell both that the camera came or went."""
        log.info("The camera is %s", camera)
        self._supervisor.tell(f"STATUS=camera {camera}")

    def close(self) -> None:
        """Hold nothing."""
