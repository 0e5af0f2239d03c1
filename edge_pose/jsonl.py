"""Poses go out as lines of JSON: first what holds for all frames, then one line a frame."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge_pose.event import Event
from edge_pose.message import as_mapping, encode, frame_message, jsonl_frame, jsonl_meta
from edge_pose.types import Frame, Pose3D, Stats


@runtime_checkable
class Lines(Protocol):
    """Where lines can go: any stream of text, or something that stands before one."""

    def write(self, text: str, /) -> int:
        """Take text."""
        ...

    def flush(self) -> None:
        """Hand over what was taken."""
        ...


class JsonlSink:
    """Writes to a stream and flushes every line, so that a reader is never behind.

    When what holds for all frames changes (a new frame size), another such line comes first.
    """

    def __init__(self, stream: Lines, *, cam: str) -> None:
        self._stream = stream
        self._cam = cam

    def start(self, meta: Mapping[str, object]) -> None:
        """Write what holds for all frames from here on, as a line of its own."""
        self._write(jsonl_meta(meta))

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Write one line."""
        self._write(jsonl_frame(frame_message(frame, poses, stats, cam=self._cam)))

    def event(self, event: Event) -> None:
        """Write a line between those of the frames."""
        self._write(encode({"event": as_mapping(event)}))

    def status(self, camera: str) -> None:
        """Say nothing: a reader of lines sees that none come; the log tells why."""

    def close(self) -> None:
        """Leave the stream to its owner."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
