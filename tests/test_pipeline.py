"""The loop sends every frame, tells changes of state and size, beats, and ends when it should."""

import threading
from collections.abc import Mapping

import numpy as np
import pytest

from edge_pose.clock import NS_PER_MS
from edge_pose.errors import BrokerError
from edge_pose.pipeline import Background, Estimator, Sink, Source, Work, run
from edge_pose.types import Frame, Pose3D, Stats


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Tell the time."""
        return self.now_ns


class Playlist:
    """A camera that gives what it was told to: a frame of a width, or a state without a frame."""

    skipped = 3
    reconnects = 1

    def __init__(self, *items: int | str, live: bool = True) -> None:
        self._items = list(items)
        self._sequence = 0
        self.live = live
        self.state = "online"

    @property
    def ended(self) -> bool:
        """Tell whether the list was played."""
        return not self._items

    def read(self, timeout_s: float) -> Frame | None:
        """Play the next item."""
        assert timeout_s < 1.0, "the watchdog waits"
        item = self._items.pop(0)
        if isinstance(item, str):
            self.state = item
            return None
        self.state = "online"
        self._sequence += 1
        return Frame(
            image=np.zeros((10, item, 3), np.uint8),
            sequence=self._sequence - 1,
            captured_ns=0,
            captured_at_ms=0,
        )

    def close(self) -> None:
        """Hold nothing."""


class Thinker:
    """Finds nobody, and takes ten milliseconds for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forgotten = 0

    def forget(self) -> None:
        """Forget, and remember that."""
        self.forgotten += 1

    def process(self, frame: Frame) -> list[Pose3D]:
        """Think."""
        assert frame.image.size
        self._clock.now_ns += 10 * NS_PER_MS
        return []


class Diary:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.stats: list[Stats] = []

    def start(self, meta: Mapping[str, object]) -> None:
        """Note what holds."""
        self.entries.append(meta["size"])

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Note the frame."""
        assert poses == []
        self.entries.append(frame.sequence)
        self.stats.append(stats)

    def status(self, camera: str) -> None:
        """Note the state."""
        self.entries.append(camera)

    def close(self) -> None:
        """Hold nothing."""


def play(source: Playlist, *, frames: int | None = None) -> tuple[Diary, int, int]:
    """Run the loop; give the diary, how many frames were done and how often it beat."""
    clock, diary, beats = Clock(), Diary(), []
    done = run(
        source,
        Thinker(clock),
        [diary],
        Work(
            describe=lambda width, height: {"size": (width, height)},
            beat=lambda: beats.append(1),
            stop=threading.Event(),
            frames=frames,
            clock=clock,
        ),
    )
    return diary, done, len(beats)


def test_the_fakes_are_what_they_stand_for() -> None:
    assert isinstance(Playlist(), Source)
    assert isinstance(Thinker(Clock()), Estimator)
    assert isinstance(Diary(), Sink)


def test_a_camera_that_comes_and_goes_in_two_sizes_is_told_in_order() -> None:
    diary, done, _ = play(Playlist("offline", 20, 20, "stale", "offline", "offline", 30))
    assert diary.entries == [
        "offline",
        "online", (20, 10), 0, 1,
        "stale",
        "offline",
        "online", (30, 10), 2,
    ]  # fmt: skip
    assert done == 3


def test_the_loop_beats_for_every_frame_and_for_every_wait() -> None:
    assert play(Playlist("offline", 20, "offline"))[2] == 3


def test_the_statistics_are_those_of_the_clock() -> None:
    diary, _, _ = play(Playlist(*[20] * 400))
    last = diary.stats[-1]
    assert (last.infer_ms, last.skipped, last.reconnects) == (10.0, 3, 1)
    assert last.total_ms == 4000.0
    assert abs(last.fps - 100.0) < 1e-9


def test_a_recording_has_no_latency() -> None:
    diary, _, _ = play(Playlist(20, live=False))
    assert diary.stats[0].total_ms is None


def test_it_ends_after_as_many_frames_as_were_asked_for() -> None:
    diary, done, _ = play(Playlist(*[20] * 9), frames=2)
    assert (done, diary.stats[-1].skipped) == (2, 3)


def test_it_ends_at_once_when_asked_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    work = Work(describe=lambda _w, _h: {}, beat=lambda: None, stop=stop)
    assert run(Playlist(20), Thinker(Clock()), [], work) == 0


def test_while_paused_nobody_is_looked_for_and_whoever_was_there_is_forgotten() -> None:
    """Frames are read on and thrown away, the watchdog is petted, and sinks hear the state."""
    clock, diary, beats = Clock(), Diary(), []
    thinker = Thinker(clock)
    asked = iter([False, True, True, True, False])
    done = run(
        Playlist(20, 20, "offline", 20, 20),
        thinker,
        [diary],
        Work(
            describe=lambda width, height: {"size": (width, height)},
            beat=lambda: beats.append(1),
            stop=threading.Event(),
            clock=clock,
            paused=lambda: next(asked),
        ),
    )
    assert diary.entries == ["online", (20, 10), 0, "paused", "online", 3]
    assert (done, len(beats), thinker.forgotten) == (2, 5, 1)
    assert clock.now_ns == 20 * NS_PER_MS, "the networks rest"


class Refused(Diary):
    """A sink whose own thread ends when it was asked a few times how it does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def raise_if_dead(self) -> None:
        """Count, and end."""
        self.asked += 1
        if self.asked == 3:
            raise BrokerError("refused")


def test_a_sink_that_fails_ends_the_loop_also_while_no_frame_comes() -> None:
    refused = Refused()
    assert isinstance(refused, Background)
    assert not isinstance(Diary(), Background)
    work = Work(describe=lambda _w, _h: {}, beat=lambda: None, stop=threading.Event())
    source = Playlist(*["offline"] * 9)
    with pytest.raises(BrokerError):
        run(source, Thinker(Clock()), [Diary(), refused], work)
    assert refused.entries == ["offline"]
    assert not source.ended
