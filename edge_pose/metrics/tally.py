"""A sink that counts what the loop does, for others to read while it runs.

The loop's thread writes numbers, whoever answers a question reads them; nobody waits for anybody.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.metrics.exposition import Histogram, HistogramByLabel
from edge_pose.types import Frame, Pose3D, Stats

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_MS_PER_S: Final = 1000.0
_WHOLE: Final = "total"
"""The stage that contains all others."""


@runtime_checkable
class Linked(Protocol):
    """A sink that reaches its readers through a broker."""

    @property
    def online(self) -> bool:
        """Tell whether the broker has let us in."""
        ...

    @property
    def unsent(self) -> int:
        """Messages dropped since the start because the broker was away."""
        ...


class Tally:
    """Counts frames, people and time."""

    def __init__(
        self, times_ms: Callable[[], Mapping[str, float]], *, clock: Clock = monotonic_ns
    ) -> None:
        """`times_ms` gives the stages of the frame that was just sent."""
        self._times_ms = times_ms
        self._clock = clock
        self._sent_ns: int | None = None
        self.camera = "offline"
        self.frames = 0
        self.people = 0
        self.last: Stats | None = None
        self.stages = HistogramByLabel("stage", BOUNDS_S)
        self.inference = Histogram(BOUNDS_S)
        self.latency = Histogram(BOUNDS_S)

    def start(self, meta: Mapping[str, object]) -> None:
        """Need nothing of what holds for all frames."""

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:  # noqa: ARG002
        """Count one frame."""
        self._sent_ns = self._clock()
        self.frames += 1
        self.people = sum(not pose.stale for pose in poses)
        self.last = stats
        self.inference.note(stats.infer_ms / _MS_PER_S)
        if stats.total_ms is not None:
            self.latency.note(stats.total_ms / _MS_PER_S)
        for stage, spent_ms in self._times_ms().items():
            if spent_ms > 0.0 and stage != _WHOLE:  # a stage that was not needed took no time
                self.stages.note(stage, spent_ms / _MS_PER_S)

    def status(self, camera: str) -> None:
        """Remember how the camera is."""
        self.camera = camera

    def close(self) -> None:
        """Hold nothing."""

    def frame_age_s(self) -> float | None:
        """Tell how long ago the last frame was done; None before the first."""
        sent_ns = self._sent_ns
        return None if sent_ns is None else (self._clock() - sent_ns) / NS_PER_S
