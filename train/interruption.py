"""Being asked to stop: Ctrl-C and SIGTERM are remembered, and the loop ends after its step.

In: signals.  Out: whether one came and which; the error with which the command then ends carries
the exit code that shells give such an end, 128 + the signal's number.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import FrameType
from typing import Final

from edge_pose.errors import EdgePoseError

_SAME_WISH_S: Final = 2.0
"""torchrun passes on a Ctrl-C that the terminal has already given to everybody."""


class TrainingInterrupted(EdgePoseError):
    """Somebody asked to stop, and the run was saved; the same command goes on."""

    def __init__(self, message: str, number: int) -> None:
        """Keep the number of the signal for the exit code."""
        super().__init__(message)
        self.exit_code = 128 + number


@dataclass(slots=True)
class Asked:
    """The signal that asked to stop, 0 as long as none did."""

    number: int = 0
    since_s: float = 0.0


@contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Catch SIGINT and SIGTERM meanwhile; asked again later, the process ends at once."""
    asked = Asked()

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked.number and monotonic() - asked.since_s > _SAME_WISH_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not asked.number:
            asked.number, asked.since_s = number, monotonic()

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
