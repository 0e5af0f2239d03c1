"""One monotonic clock, handed in wherever time matters; wall time only where a message leaves."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

Clock = Callable[[], int]
"""Returns nanoseconds that never jump."""

Timed = Callable[[str], AbstractContextManager[None]]
"""Measures what runs inside `with timed("stage"):`."""

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

monotonic_ns: Clock = time.monotonic_ns


def utc_ms() -> int:
    """Milliseconds since 1970 in UTC, for time stamps and for what passes between two runs."""
    return time.time_ns() // NS_PER_MS


_NOTHING: Final = nullcontext()


def untimed(_stage: str) -> AbstractContextManager[None]:
    """Measure nothing, where nobody asked."""
    return _NOTHING
