"""What leaves the device is limited here, before any message is made: joints nobody asked for stay.

In: everything that sinks take.  Out: the same, in which other joints have no place and no
probability.  Events are made before this, and say nothing of joints.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from edge_pose.pipeline import Background, Sink
from edge_pose.skeleton import JOINTS
from edge_pose.types import Frame, Pose3D, Stats


class Limited:
    """Stands before a sink that must not see all joints."""

    def __init__(self, sink: Sink, joints: Collection[str]) -> None:
        self._sink = sink
        self._hidden = np.array([name not in joints for name in JOINTS])

    def start(self, meta: Mapping[str, object]) -> None:
        """Pass on what holds for all frames; it names all joints, so that indices stay the same."""
        self._sink.start(meta)

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Pass on the people with what may be known of them."""
        self._sink.send(frame, [self._limited(pose) for pose in poses], stats)

    def status(self, camera: str) -> None:
        """Pass on the camera's state."""
        self._sink.status(camera)

    def raise_if_dead(self) -> None:
        """Pass on what ended the sink's own thread, where it has one."""
        if isinstance(self._sink, Background):
            self._sink.raise_if_dead()

    def close(self) -> None:
        """Leave closing to whoever opened the sink."""

    def _limited(self, pose: Pose3D) -> Pose3D:
        joints_m, joints_px = pose.joints_m.copy(), pose.joints_px.copy()
        joints_m[self._hidden] = joints_px[self._hidden] = np.nan
        return replace(
            pose,
            joints_m=joints_m,
            joints_px=joints_px,
            scores=np.where(self._hidden, np.float32(0.0), pose.scores),
            predicted=pose.predicted & ~self._hidden,
        )


def limited(sinks: Collection[Sink], joints: Collection[str] | None) -> list[Sink]:
    """Put a limit before every sink, where there is one."""
    if joints is None:
        return list(sinks)
    return [Limited(sink, joints) for sink in sinks]
