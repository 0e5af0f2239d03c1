"""One monotonic clock, handed in wherever time matters; wall time only where a message leaves."""

import time
from collections.abc import Callable
from typing import Final

Clock = Callable[[], int]
"""Returns nanoseconds that never jump."""

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

monotonic_ns: Clock = time.monotonic_ns


def utc_ms() -> int:
    """Milliseconds since 1970 in UTC, for message time stamps only."""
    return time.time_ns() // NS_PER_MS
