"""The loop of the appliance: frames come in, poses go out to every sink; knows no vendor."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge_pose.types import Frame, Pose3D, Stats


@runtime_checkable
class Sink(Protocol):
    """Anything poses can be sent to: MQTT, standard output, a list in a test."""

    def start(self, meta: Mapping[str, object]) -> None:
        """Take what holds for all frames; called again when it changes (a new frame size)."""
        ...

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Send the people seen in one frame."""
        ...

    def status(self, camera: str) -> None:
        """Tell that the camera is now `online`, `offline` or `stale`."""
        ...

    def close(self) -> None:
        """Give back what the sink holds; nothing is sent afterwards."""
        ...
