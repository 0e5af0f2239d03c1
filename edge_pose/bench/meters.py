"""Meters that stand between the parts of the appliance: what went through, and how long it took.

In: a source, an estimator, sinks and engines.  Out: the same, each telling a ledger.  The loop that
runs between them is the appliance's own.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import UInt8

from edge_pose.bench.ledger import Ledger
from edge_pose.engines import Answer, Engine, Engines, FrameEngine, begin
from edge_pose.jsonl import Lines
from edge_pose.people import PoseEstimator
from edge_pose.pipeline import Sink, Source
from edge_pose.types import Frame, Pose3D, Sampling, Stats


class MeteredSource:
    """A source whose reading is the stage `capture`."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    @property
    def live(self) -> bool:
        """Tell whether frames that nobody reads are lost."""
        return self._source.live

    @property
    def state(self) -> str:
        """How the camera is."""
        return self._source.state

    @property
    def ended(self) -> bool:
        """Tell whether no frame will ever come again."""
        return self._source.ended

    @property
    def skipped(self) -> int:
        """Frames that a newer one replaced."""
        return self._source.skipped

    @property
    def reconnects(self) -> int:
        """How often the camera came back."""
        return self._source.reconnects

    def read(self, timeout_s: float) -> Frame | None:
        """Give the next frame."""
        with self._ledger.timed("capture"):
            return self._source.read(timeout_s)

    def close(self) -> None:
        """Let go of the camera."""
        self._source.close()


class MeteredEstimator:
    """An estimator whose own account of its stages goes into the ledger."""

    def __init__(self, estimator: PoseEstimator, ledger: Ledger) -> None:
        self._estimator = estimator
        self._ledger = ledger

    def forget(self) -> None:
        """Let go of everybody."""
        self._estimator.forget()

    def process(self, frame: Frame) -> list[Pose3D]:
        """Find everybody in a frame."""
        poses = self._estimator.process(frame)
        for stage, spent_ms in self._estimator.times_ms.items():
            if stage != "total":
                self._ledger.book(stage, spent_ms)
        self._ledger.see(frame, sum(not pose.stale for pose in poses))
        return poses


class MeteredSink:
    """A sink whose sending is a stage."""

    def __init__(self, sink: Sink, ledger: Ledger, stage: str) -> None:
        self._sink = sink
        self._ledger = ledger
        self._stage = stage

    def start(self, meta: Mapping[str, object]) -> None:
        """Take what holds for all frames."""
        self._sink.start(meta)

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Send the people seen in one frame."""
        with self._ledger.timed(self._stage):
            self._sink.send(frame, poses, stats)

    def status(self, camera: str) -> None:
        """Tell how the camera is."""
        self._sink.status(camera)

    def close(self) -> None:
        """Give back what the sink holds."""
        self._sink.close()


class MeteredLines:
    """A stream whose writing is the stage `publish`."""

    def __init__(self, stream: Lines, ledger: Ledger) -> None:
        self._stream = stream
        self._ledger = ledger

    def write(self, text: str, /) -> int:
        """Take text."""
        with self._ledger.timed("publish"):
            return self._stream.write(text)

    def flush(self) -> None:
        """Hand over what was taken."""
        with self._ledger.timed("publish"):
            self._stream.flush()


class MeteredEngine:
    """An engine whose runs go through the ledger."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self._engine = engine
        self._ledger = ledger
        self.at_once = engine.at_once

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        return self._engine.description

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer."""
        return self._ask(inputs, lambda: partial(self._engine.run, inputs))()

    def begin(self, inputs: Mapping[str, np.ndarray]) -> Answer:
        """Begin to infer."""
        return self._ask(inputs, lambda: begin(self._engine, inputs))

    def _ask(self, inputs: Mapping[str, np.ndarray], start: Callable[[], Answer]) -> Answer:
        return self._ledger.ask(self._engine, max(map(len, inputs.values())), start)

    def close(self) -> None:
        """Nothing to give back: the engine belongs to somebody else."""


class MeteredFrameEngine:
    """An engine that cuts by itself, whose runs go through the ledger."""

    def __init__(self, engine: FrameEngine, ledger: Ledger) -> None:
        self._engine = engine
        self._ledger = ledger

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        return self._engine.description

    def show(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Take a frame."""
        self._engine.show(image)

    def run_crops(self, samplings: Sequence[Sampling]) -> dict[str, np.ndarray]:
        """Cut and infer; done again, it is done on the frame that was shown last."""
        return self._ledger.ask(
            self._engine,
            len(samplings),
            lambda: partial(self._engine.run_crops, samplings),
        )()

    def close(self) -> None:
        """Nothing to give back: the engine belongs to somebody else."""


def metered(engines: Engines, ledger: Ledger) -> Engines:
    """Put a meter before every network."""
    frames = engines.pose_in_frame
    return Engines(
        detector=MeteredEngine(engines.detector, ledger),
        pose=MeteredEngine(engines.pose, ledger),
        pose_in_frame=frames and MeteredFrameEngine(frames, ledger),
    )
