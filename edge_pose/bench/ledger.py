"""What frames cost, a row each, and what the networks were asked meanwhile.

In: times of stages and runs of engines, as they happen.  Out: rows, and the engines' runs once more
with nothing between them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_pose.clock import NS_PER_MS, Clock, monotonic_ns
from edge_pose.engines import Answer
from edge_pose.types import Frame

STAGES: Final = (
    "capture", "crop", "detect", "pose", "decode", "track", "place", "message", "publish",
)  # fmt: skip
"""In the order in which a frame meets them; no stage contains another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one frame cost."""

    stages_ms: Mapping[str, float]
    """Stages that ran in this frame."""
    whole_ms: float
    """From the end of the frame before to the end of this one."""
    networks_ms: float
    """Inside the engines; part of the stages detect and pose."""
    people: int
    """Seen in this frame."""


_Key = tuple[int, int]
"""Which engine, and how many pictures it was given."""


class Ledger:
    """Rows of frames.  One owner thread."""

    def __init__(self, *, skip: int = 0, clock: Clock = monotonic_ns) -> None:
        """Write down nothing of the first `skip` frames."""
        self.rows: list[Row] = []
        self.size_px: tuple[int, int] = (0, 0)
        self._skip = skip
        self._clock = clock
        self._stages_ms: defaultdict[str, float] = defaultdict(float)
        self._inside_ns = 0
        self._networks_ns = 0
        self._asked: list[_Key] = []
        self._calls: list[list[_Key]] = []
        self._samples: dict[_Key, Callable[[], Answer]] = {}
        self._people: int | None = None
        self._begun_ns = clock()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Book the time inside on a stage; less what a stage within it books on itself."""
        outside_ns, self._inside_ns = self._inside_ns, 0
        start_ns = self._clock()
        yield
        spent_ns = self._clock() - start_ns
        self.book(stage, (spent_ns - self._inside_ns) / NS_PER_MS)
        self._inside_ns = outside_ns + spent_ns

    def book(self, stage: str, spent_ms: float) -> None:
        """Add to a stage of this frame."""
        self._stages_ms[stage] += spent_ms

    def ask(self, engine: object, pictures: int, start: Callable[[], Answer]) -> Answer:
        """Have an engine begin with so many pictures; `start` may be called again."""
        # One input of each kind: all of them would fill the memory of a small device.
        key = (id(engine), pictures)
        self._samples[key] = start
        self._asked.append(key)
        with self._inside_networks():
            begun = start()

        def answer() -> dict[str, np.ndarray]:
            with self._inside_networks():
                return begun()

        return answer

    @contextmanager
    def _inside_networks(self) -> Iterator[None]:
        start_ns = self._clock()
        yield
        self._networks_ns += self._clock() - start_ns

    def replay(self) -> float:
        """Run the engines as often as in the rows, with nothing between; return milliseconds.

        What a frame asked for is begun together, so that an engine may do it as fast as it can.
        """
        start_ns = self._clock()
        for keys in self._calls:
            begun = [self._samples[key]() for key in keys]
            for answer in reversed(begun):
                answer()
        return (self._clock() - start_ns) / NS_PER_MS

    def see(self, frame: Frame, people: int) -> None:
        """Note what the frame was and whom it showed."""
        height_px, width_px = frame.image.shape[:2]
        self.size_px, self._people = (width_px, height_px), people

    def end_frame(self, pause: Callable[[], None] = lambda: None) -> None:
        """Close the row; `pause` is called once, after the last frame that is skipped.

        A look at the source that gave no frame is no row.
        """
        now_ns = self._clock()
        if self._people is not None and self._skip == 0:
            self._calls.append(self._asked)
            self.rows.append(
                Row(
                    stages_ms={name: ms for name, ms in self._stages_ms.items() if ms > 0.0},
                    whole_ms=(now_ns - self._begun_ns) / NS_PER_MS,
                    networks_ms=self._networks_ns / NS_PER_MS,
                    people=self._people,
                )
            )
        elif self._people is not None:
            self._skip -= 1
            if self._skip == 0:
                pause()
        self._stages_ms.clear()
        self._asked = []
        self._networks_ns, self._people = 0, None
        self._begun_ns = self._clock()
