"""Where frames come from: a camera, whose newest frame wins, or a recording, all of it.

A camera is read by its own thread into a one-place mailbox.  When it goes away the thread says
`offline`, waits with capped and jittered back-off, and opens it again, whatever its size is then.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from edge_pose.clip import Pictures, pictures
from edge_pose.clock import NS_PER_MS, NS_PER_S, Clock, monotonic_ns, utc_ms
from edge_pose.config import CameraConfig
from edge_pose.errors import CameraLost, EdgePoseError, SourceError
from edge_pose.feed import Grab, Grabs, is_device, is_stream, opener
from edge_pose.mailbox import Mailbox
from edge_pose.types import Frame

log = logging.getLogger(__name__)

CameraState = Literal["online", "offline", "stale"]
FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 6.0
"""Opening a network camera takes two more; all is to be well ten seconds after the camera is."""
HANG_S: Final = 60.0
"""A vendor call that takes longer will never return; only a new process helps."""
_GOODBYE_S: Final = 3.0


@runtime_checkable
class Source(Protocol):
    """Anything frames come from."""

    @property
    def live(self) -> bool:
        """Tell whether frames that nobody reads are lost."""
        ...

    @property
    def state(self) -> CameraState:
        """How the camera is; a recording is always online."""
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


def open_source(camera: CameraConfig, clock: Clock = monotonic_ns) -> Source:
    """Open what the operator named.

    ConfigError for what only the operator can mend, such as a secret that cannot be read, and
    SourceError for what is not there, unless it is a camera to wait for.
    """
    if not is_device(camera.source) and not is_stream(camera.source):
        frames = pictures(Path(camera.source), camera.fps)
        if not camera.realtime:
            return Recording(frames)
        return Camera(lambda: paced(frames, clock), clock=clock, comes_back=False)
    connect = opener(camera, clock)
    ready = [] if camera.wait else [connect()]
    return Camera(
        lambda: ready.pop() if ready else connect(),
        clock=clock,
        stale_s=camera.stale_s,
    )


def paced(recording: Pictures, clock: Clock) -> Grabs:
    """Play a recording at its own rate: each picture is grabbed when its time has come."""
    start_ns = clock()
    with closing(recording):
        for picture in recording:
            time.sleep(max(start_ns + picture.own_ns - clock(), 0) / NS_PER_S)
            yield Grab(image=picture.image, captured_ns=clock(), captured_at_ms=utc_ms())


class Recording:
    """Every picture of a recording, as fast as it is asked for; the next is decoded meanwhile.

    Time is the recording's own: stamps count from its start, wall time from when it was opened.
    """

    live: Final = False
    skipped: Final = 0
    reconnects: Final = 0
    state: Final[CameraState] = "online"

    def __init__(self, recording: Pictures) -> None:
        self._pictures = recording
        self._opened_at_ms = utc_ms()
        self._sequence = 0
        self._reader = ThreadPoolExecutor(1, "recording")
        self._next = self._reader.submit(next, recording, None)
        self.ended = False

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - a recording never waits
        """Give the next frame, or None at the end."""
        picture = self._next.result()
        if picture is None:
            self.ended = True
            return None
        self._next = self._reader.submit(next, self._pictures, None)
        frame = Frame(
            image=picture.image,
            sequence=self._sequence,
            captured_ns=picture.own_ns,
            captured_at_ms=self._opened_at_ms + picture.own_ns // NS_PER_MS,
        )
        self._sequence += 1
        return frame

    def close(self) -> None:
        """Let go of the file."""
        self._reader.shutdown()
        self._pictures.close()
        self.ended = True


class Backoff:
    """How long to wait before the next try: doubling up to a cap, a random part taken off."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._ceiling_s = FIRST_DELAY_S

    def next_s(self) -> float:
        """Between half the ceiling and the ceiling, so that many devices do not come at once."""
        delay_s = self._ceiling_s * (0.5 + 0.5 * self._draw())
        self._ceiling_s = min(2 * self._ceiling_s, LONGEST_DELAY_S)
        return delay_s

    def reset(self) -> None:
        """Begin again with the shortest delay."""
        self._ceiling_s = FIRST_DELAY_S


class Camera:
    """A live camera: the newest frame, or none."""

    live: Final = True

    def __init__(
        self,
        connect: Callable[[], Grabs],
        *,
        clock: Clock = monotonic_ns,
        stale_s: float = 5.0,
        comes_back: bool = True,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._stale_s = stale_s
        self._comes_back = comes_back
        self._mailbox: Mailbox[Frame] = Mailbox()
        self._stop = threading.Event()
        self._grabbed = 0
        self._connections = 0
        self._connected = False
        self._progress_ns = clock()
        self._finished = False
        self._failure: EdgePoseError | None = None
        # Started by the first read, so that no frame is lost while the networks load.
        self._thread = threading.Thread(target=self._capture, name="capture", daemon=True)

    @property
    def state(self) -> CameraState:
        """Online while frames come; stale when a connected camera has given none for `stale_s`."""
        if not self._connected:
            return "offline"
        return "stale" if self._silence_s() > self._stale_s else "online"

    @property
    def ended(self) -> bool:
        """Tell whether a recording was played to its end and its last frame read."""
        return self._finished and self._failure is None and self._mailbox.drained

    @property
    def skipped(self) -> int:
        """Frames that a newer one replaced before they were read."""
        return self._mailbox.skipped

    @property
    def reconnects(self) -> int:
        """How often the camera came back."""
        return max(self._connections - 1, 0)

    def read(self, timeout_s: float) -> Frame | None:
        """Take the newest frame.  Raises CameraLost when capture itself is beyond help."""
        if self._thread.ident is None:
            self._progress_ns = self._clock()
            self._thread.start()
        frame = self._mailbox.take(timeout_s)
        if frame is None and self._failure is not None:
            raise self._failure
        if frame is None and not self._finished:
            if not self._thread.is_alive():
                raise CameraLost("The capture thread ended by the error above; start again")
            if self._silence_s() > HANG_S:
                raise CameraLost(f"The camera driver is silent for {HANG_S:.0f} s; start again")
        return frame

    def close(self) -> None:
        """Let go of the camera; a driver that does not answer is left behind."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_GOODBYE_S)

    def _silence_s(self) -> float:
        return (self._clock() - self._progress_ns) / NS_PER_S

    def _capture(self) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                with closing(self._connect()) as feed:
                    for grab in feed:
                        backoff.reset()
                        self._deliver(grab)
                        if self._stop.is_set():
                            break
            except (CameraLost, SourceError) as reason:
                if not self._comes_back:
                    self._failure = reason
                    break
                log.warning("%s; trying again", reason)
            self._connected = False
            self._progress_ns = self._clock()
            if not self._comes_back:
                break
            self._stop.wait(backoff.next_s())
            self._progress_ns = self._clock()
        self._finished = True
        self._mailbox.close()

    def _deliver(self, grab: Grab) -> None:
        if not self._connected:
            self._connected = True
            self._connections += 1
        self._progress_ns = grab.captured_ns
        self._mailbox.put(
            Frame(
                image=grab.image,
                sequence=self._grabbed,
                captured_ns=grab.captured_ns,
                captured_at_ms=grab.captured_at_ms,
            )
        )
        self._grabbed += 1
