"""The loop of the appliance: frames come in, poses go out to every sink; knows no vendor."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol, runtime_checkable

from edge_pose.clock import NS_PER_MS, NS_PER_S, Clock, monotonic_ns
from edge_pose.types import Frame, Pose3D, Stats

POLL_S: Final = 0.25
"""How long the loop waits for a frame before it looks up."""
PAUSED: Final = "paused"
"""State of a camera that nobody may look through, whatever the camera itself does."""
_RATE_WINDOW_NS: Final = 2 * NS_PER_S


@runtime_checkable
class Source(Protocol):
    """Anything frames come from: a camera, a recording, a list in a test."""

    @property
    def live(self) -> bool:
        """Tell whether frames that nobody reads are lost."""
        ...

    @property
    def state(self) -> str:
        """How the camera is: `online`, `offline` or `stale`; a recording is always online."""
        ...

    @property
    def ended(self) -> bool:
        """Tell whether no frame will ever come again."""
        ...

    @property
    def skipped(self) -> int:
        """Frames that a newer one replaced before they were read."""
        ...

    @property
    def reconnects(self) -> int:
        """How often the camera came back."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Give the next frame; None when there is none within the time."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


@runtime_checkable
class Estimator(Protocol):
    """Anything that finds people: the networks, a constant in a test."""

    def process(self, frame: Frame) -> list[Pose3D]:
        """Find everybody in a frame."""
        ...

    def forget(self) -> None:
        """Let go of everybody followed or remembered."""
        ...


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
        """Tell that the camera is now `online`, `offline`, `stale` or `paused`."""
        ...

    def close(self) -> None:
        """Give back what the sink holds; nothing is sent afterwards."""
        ...


@runtime_checkable
class Background(Protocol):
    """A sink that works in a thread of its own, which may fail while nothing is sent to it."""

    def raise_if_dead(self) -> None:
        """Pass on what ended that thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the loop does besides sending, and when it ends."""

    describe: Callable[[int, int], Mapping[str, object]]
    """Width and height in pixels to what holds for all frames of that size."""
    beat: Callable[[], None]
    """Called after every pose, and after every deliberate wait for a camera."""
    stop: Event
    frames: int | None = None
    """End after so many."""
    paused: Callable[[], bool] = lambda: False
    """While it says so, frames are read and thrown away, and nobody is looked for."""
    clock: Clock = monotonic_ns


def run(source: Source, estimator: Estimator, sinks: Sequence[Sink], work: Work) -> int:
    """Turn frames into sent poses until they end or somebody asks to stop; count them."""
    done, state, size = 0, "", (0, 0)
    finished_ns: deque[int] = deque()
    background = [sink for sink in sinks if isinstance(sink, Background)]
    while not (work.stop.is_set() or source.ended or done == work.frames):
        frame = source.read(POLL_S)
        for one in background:
            one.raise_if_dead()
        now = PAUSED if work.paused() else source.state
        if now != state:
            state = now
            if state == PAUSED:
                estimator.forget()
            for sink in sinks:
                sink.status(state)
        if frame is not None and state != PAUSED:
            height_px, width_px = frame.image.shape[:2]
            if (width_px, height_px) != size:
                size = (width_px, height_px)
                meta = work.describe(*size)
                for sink in sinks:
                    sink.start(meta)
            started_ns = work.clock()
            poses = estimator.process(frame)
            now_ns = work.clock()
            finished_ns.append(now_ns)
            stats = Stats(
                fps=_rate_hz(finished_ns),
                infer_ms=(now_ns - started_ns) / NS_PER_MS,
                total_ms=(now_ns - frame.captured_ns) / NS_PER_MS if source.live else None,
                skipped=source.skipped,
                reconnects=source.reconnects,
            )
            for sink in sinks:
                sink.send(frame, poses, stats)
            done += 1
        work.beat()
    return done


def _rate_hz(finished_ns: deque[int]) -> float:
    """Frames per second over the last two seconds; forgets older stamps."""
    while finished_ns[-1] - finished_ns[0] > _RATE_WINDOW_NS:
        finished_ns.popleft()
    span_ns = finished_ns[-1] - finished_ns[0]
    return (len(finished_ns) - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0
