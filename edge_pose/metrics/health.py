"""Is it well?  Who is being watched comes in; verdicts and families of figures go out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_pose import __version__, device
from edge_pose.clock import utc_ms
from edge_pose.message import Info
from edge_pose.metrics.exposition import Family, by_label, counter, gauge
from edge_pose.metrics.tally import Linked, Tally
from edge_pose.notify import Heartbeat
from edge_pose.time_sync import time_sync

FRAME_LIMIT_S: Final = 5.0
"""Older than this, the last frame does not show that we are ready."""
MS_PER_S: Final = 1000
LOOP_LIMIT_S: Final = 20.0
"""A loop that did nothing for so long hangs; the unit's watchdog has the same patience."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is known once the model is open."""

    tally: Tally
    info: Info
    links: Sequence[Linked]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer for a supervisor, and why."""

    well: bool
    reasons: Mapping[str, object]


@dataclass(slots=True)
class Watched:
    """One process; `work` is set when the model is open."""

    heartbeat: Heartbeat
    data: Path
    """A folder on the disk that must not run full."""
    root: Path = device.ROOT
    work: Work | None = None
    _started_ms: int = field(default_factory=utc_ms)

    def begin(
        self, times_ms: Callable[[], Mapping[str, float]], info: Info, sinks: Sequence[object]
    ) -> Tally:
        """Know that the model is open; the tally that is given must be one of the sinks."""
        tally = Tally(times_ms)
        self.work = Work(tally, info, [sink for sink in sinks if isinstance(sink, Linked)])
        return tally

    def alive(self) -> Verdict:
        """Tell whether the loop makes progress, be it by waiting for the camera on purpose."""
        silence_s = self.heartbeat.silence_s()
        return Verdict(
            well=silence_s is None or silence_s < LOOP_LIMIT_S,
            reasons={"loop": "not begun" if silence_s is None else _rounded(silence_s)},
        )

    def ready(self) -> Verdict:
        """Tell whether people are being seen now; the broker may be away meanwhile."""
        work = self.work
        if work is None:
            return Verdict(well=False, reasons={"model": "opening"})
        age_s = work.tally.frame_age_s()
        return Verdict(
            well=age_s is not None and age_s < FRAME_LIMIT_S,
            reasons={
                "model": "ready",
                "camera": work.tally.camera,
                "frame_age_s": None if age_s is None else _rounded(age_s),
                "broker": _broker(work.links),
            },
        )

    def families(self) -> Iterator[Family]:
        """Give every figure that is known."""
        yield gauge("edge_pose_model_ready", "Whether the model is open.", self.work is not None)
        if self.work is not None:
            yield from _of_work(self.work)
        yield gauge(
            "edge_pose_loop_silence_seconds",
            "How long ago the loop last did something.",
            self.heartbeat.silence_s(),
        )
        yield from _of_device(self.root, self.data)
        yield from _of_clock()
        yield from _of_process(self.root, self._started_ms)


def _broker(links: Sequence[Linked]) -> str:
    if not links:
        return "none"
    return "up" if all(link.online for link in links) else "down"


def _of_work(work: Work) -> Iterator[Family]:
    tally, last, age_s = work.tally, work.tally.last, work.tally.frame_age_s()
    yield gauge(
        "edge_pose_info",
        "What runs here; always 1.",
        1,
        version=__version__,
        model=work.info.model.name,
        model_version=work.info.model.version,
        engine=work.info.engine,
    )
    yield gauge(
        "edge_pose_degraded",
        "Whether something faster that should have worked is not used.",
        work.info.degraded is not None,
    )
    yield counter("edge_pose_frames_total", "Frames looked at.", tally.frames)
    fresh = last is not None and age_s is not None and age_s < FRAME_LIMIT_S
    yield gauge(
        "edge_pose_frames_per_second",
        "Frames looked at per second, over the last two seconds; 0 while none come.",
        last.fps if fresh and last is not None else 0,
    )
    yield gauge("edge_pose_frame_age_seconds", "How long ago the last frame was done.", age_s)
    yield gauge("edge_pose_people", "People seen in the last frame.", tally.people)
    yield gauge("edge_pose_camera_up", "Whether frames come.", tally.camera == "online")
    if last is not None:
        yield counter(
            "edge_pose_frames_skipped_total",
            "Frames that a newer one replaced before they were looked at.",
            last.skipped,
        )
        yield counter(
            "edge_pose_camera_reconnects_total", "How often the camera came back.", last.reconnects
        )
    yield Family(
        "edge_pose_stage_seconds",
        "histogram",
        "What each stage of a frame took, where it was needed.",
        tuple(tally.stages.samples()),
    )
    for name, meaning, histogram in (
        ("inference", "From taking a frame to having its poses.", tally.inference),
        ("latency", "From the grab to having the poses, of a camera.", tally.latency),
    ):
        yield Family(f"edge_pose_{name}_seconds", "histogram", meaning, tuple(histogram.samples()))
    if work.links:
        yield gauge(
            "edge_pose_broker_up",
            "Whether every broker has let us in.",
            _broker(work.links) == "up",
        )
        yield counter(
            "edge_pose_messages_unsent_total",
            "Messages dropped because a broker was away.",
            sum(link.unsent for link in work.links),
        )


def _of_device(root: Path, data: Path) -> Iterator[Family]:
    memory = device.memory(root)
    yield by_label(
        "edge_pose_temperature_celsius",
        "gauge",
        "Thermal zones of the machine.",
        "zone",
        device.temperatures_c(root),
    )
    yield by_label(
        "edge_pose_throttle_events_total",
        "counter",
        "How often the machine slowed down to protect itself, since it was started.",
        "reason",
        device.throttle_events(root),
    )
    yield gauge(
        "edge_pose_gpu_load_ratio", "How busy a Jetson's GPU is, 0 to 1.", device.gpu_load(root)
    )
    yield gauge(
        "edge_pose_memory_available_bytes",
        "What a process could still get without swapping.",
        None if memory is None else memory.available_bytes,
    )
    yield gauge(
        "edge_pose_disk_free_bytes",
        "What can still be written where the appliance keeps its files.",
        device.disk_free_bytes(data),
    )


def _of_clock() -> Iterator[Family]:
    sync = time_sync()
    yield gauge(
        "edge_pose_clock_synchronised",
        "Whether somebody keeps the wall clock right.",
        None if sync is None else sync.synchronised,
    )
    yield gauge(
        "edge_pose_clock_error_seconds",
        "How far the wall clock may be off, as far as the kernel knows.",
        None if sync is None else sync.error_ms / MS_PER_S,
    )


def _of_process(root: Path, started_ms: int) -> Iterator[Family]:
    """Use the names that every Prometheus client uses for these."""
    yield gauge(
        "process_resident_memory_bytes",
        "Memory that this process holds.",
        device.resident_bytes(root),
    )
    yield counter(
        "process_cpu_seconds_total", "Processor time of this process.", time.process_time()
    )
    yield gauge(
        "process_start_time_seconds",
        "When it was started, in seconds since 1970.",
        started_ms / 1000,
    )


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
